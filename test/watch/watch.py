#!/usr/bin/env -S python3 -B
"""Applications on official SDKs under watch(): who is dead is noticed, who lives keeps its work. Called by run, which installs the SDKs."""
import argparse
import os
import random
import signal
import time

from applications import ROLE, Account, Process, Road, Server, effects, now, pending, row, unfinished
from harness import SqlError, Tap, equal, raises, until

BACKOFF = 12.0
LONG = "n" * 60


def finished(session, timeout=60):
    until("all workflows are finished", lambda: unfinished(session) == 0, timeout)


# SDK 5.3.0 takes this for an error of the workflow when its sessions are terminated under a write, watched or not.
BROKEN_PIPE = "o.error LIKE '%EPIPE%'"


def judged(session, folder, killed=(), orders=None, broken_pipes=False):
    """Nothing is lost, nothing recorded twice, no body ran while another process was at it."""
    account = Account(os.path.join(folder, "effects.log"), killed)
    equal(account.together, [], "bodies that ran in two living processes at once")
    equal(session.query("SELECT s.workflow_uuid, s.status, s.executor_id, s.recovery_attempts, left(o.error, 300) FROM dbos.workflow_status AS s "
                        "LEFT JOIN dbos.workflow_output AS o USING (workflow_uuid) WHERE s.status <> 'SUCCESS' AND NOT " + (BROKEN_PIPE if broken_pipes else "false")), [], "unsuccessful workflows")
    known = {r[0] for r in session.query("SELECT workflow_uuid FROM dbos.workflow_status")}
    account.lost = account.started - known
    equal(account.lost, set(), "acknowledged and lost")
    if orders is not None:
        equal(len(known), orders, "workflows")
    account.twice = session.query("SELECT s.workflow_uuid FROM dbos.workflow_status AS s WHERE s.status = 'SUCCESS' AND (SELECT count(*) FROM dbos.operation_outputs AS o "
                                  "WHERE o.workflow_uuid = s.workflow_uuid AND o.function_name IN ('reserve', 'charge', 'pack', 'ship')) <> 4")
    equal(account.twice, [], "workflows without exactly one record of each step")
    return account


class Scene:
    """A database that the application made itself, and its processes."""

    def __init__(self, server, folder, database, language="ts", adopted=True, **how):
        self.server, self.database, self.language = server, database, language
        self.folder = os.path.join(folder, database)
        os.makedirs(self.folder)
        self.processes, self.how = [], how
        self.admin = None
        if adopted:
            Process(server.uri(database, language=language), self.folder, "first", language=language).ready().stop()
            self.adopt()

    def start(self, name, *, port=None, ready=True, **how):
        process = Process(self.server.uri(self.database, port, self.language), self.folder, name, **({"language": self.language} | self.how | how))
        self.processes.append(process)
        return process.ready() if ready else process

    def adopt(self):
        self.admin = self.server.session(self.database)
        self.admin.query("CREATE EXTENSION dbos_sys")
        self.admin.query("SET client_min_messages = error; SELECT dbos_sys.install()")

    def watch(self, more=""):
        name = "" if self.language == "ts" else ", session_name => 'orders_{executor}_{version}'"
        return self.admin.query(f"SELECT executor_id, state FROM dbos_sys.watch('orders', grace => '1 s'{name}{more})")

    def busy(self, process, count=3):
        until(f"{process.name} is busy", lambda: pending(self.admin, process.name) >= count, 30)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.stop()


def example(server, folder, language):
    """What examples/adopt shows."""
    with Scene(server, folder, f"example_{language}", language, adopted=False, step_ms=300) as scene:
        one = scene.start("one", orders=10)
        two = scene.start("two")
        scene.admin = server.session(scene.database)
        scene.busy(one)
        one.kill()
        stranded = pending(scene.admin, "one")
        assert stranded >= 3, stranded
        # Nothing happens for as long as one looks: ten times what the watch needs below.
        time.sleep(5)
        equal(pending(scene.admin, "one"), stranded, "workflows that strand without the extension")
        scene.adopt()
        scene.watch()
        # It died before anybody watched: the operator says so.
        equal(int(scene.admin.value("SELECT dbos_sys.recover(ARRAY['one'])")), stranded, "recovered by hand")
        finished(scene.admin)
        three = scene.start("three", orders=10)
        scene.busy(three)
        until("the watch has seen both", lambda: scene.admin.value(
            "SELECT count(DISTINCT session_name) FROM dbos_ops.watched_sessions WHERE gone_since IS NULL") == "2")
        three.kill()
        before = now()
        until("another has its work", lambda: pending(scene.admin, "three") == 0, 10)
        taken = now() - before
        finished(scene.admin)
        judged(scene.admin, scene.folder, {"one", "three"})
        print(f"# {language}: with others {taken:.1f} s after SIGKILL")
        two.stop()


def example_ts(server, folder):
    """a TypeScript process is killed: without the extension its workflows strand, with the watch another process finishes them"""
    example(server, folder, "ts")


def example_py(server, folder):
    """a Python process is killed: without the extension its workflows strand, with the watch another process finishes them"""
    example(server, folder, "py")


def alive_keeps(scene, victim, fault, after):
    """`fault` does not cost a living executor its work."""
    scene.busy(victim)
    held = {r[0] for r in scene.admin.query(f"SELECT workflow_uuid FROM dbos.workflow_status WHERE status = 'PENDING' AND executor_id = '{victim.name}'")}
    fault()
    after()
    finished(scene.admin)
    names = ",".join(f"'{order}'" for order in held)
    equal(scene.admin.query(f"SELECT DISTINCT executor_id, recovery_attempts FROM dbos.workflow_status WHERE workflow_uuid IN ({names})"),
          [[victim.name, "1"]], "owners of what it held")
    equal(judged(scene.admin, scene.folder).repeated(), 0, "bodies that ran again")


def other_roles(server, folder):
    """the application connects as another role than the tables' owner, who is no superuser: its sessions are seen all the same"""
    with Scene(server, folder, "other_roles", adopted=False, step_ms=1500) as scene:
        # The SDK's own role made the tables; the owner of the database is another one afterwards, and the worker works as that.
        Process(server.uri(scene.database), scene.folder, "first").ready().stop()
        scene.adopt()
        scene.admin.query("CREATE ROLE boss")
        scene.admin.query(f"SELECT dbos_sys.uninstall(dry_run => false); ALTER DATABASE {scene.database} OWNER TO boss; REASSIGN OWNED BY {ROLE} TO boss")
        for name, in scene.admin.query(f"SELECT datname FROM pg_database WHERE datdba = 'boss'::regrole AND datname <> '{scene.database}'"):
            scene.admin.query(f"ALTER DATABASE {name} OWNER TO {ROLE}")
        scene.admin.query(f"SET client_min_messages = error; SELECT dbos_sys.install(); SELECT dbos_sys.grant_access('{ROLE}')")
        one = scene.start("one", orders=3)
        scene.busy(one)
        equal(scene.watch(), [["one", "alive"]], "what watch() sees")
        finished(scene.admin)
        equal(scene.admin.query("SELECT DISTINCT executor_id, recovery_attempts FROM dbos.workflow_status"), [["one", "1"]], "owners")
        equal(judged(scene.admin, scene.folder).repeated(), 0, "bodies that ran again")
        two, _ = scene.start("two", orders=3), scene.start("three")
        scene.busy(two)
        until("it is seen", lambda: row(scene.admin, "SELECT state FROM dbos_sys.watched() WHERE executor_id = 'two'") == ["alive"])
        two.kill()
        until("its work is taken", lambda: pending(scene.admin, "two") == 0, 10)
        finished(scene.admin)
        judged(scene.admin, scene.folder, {"two"})


def stopped(server, folder):
    """SIGSTOP for five times the grace: its sessions are there, so it keeps its work"""
    with Scene(server, folder, "stopped") as scene:
        one, _ = scene.start("one", orders=6), scene.start("two")
        scene.watch()
        alive_keeps(scene, one, lambda: one.signal(signal.SIGSTOP), lambda: (time.sleep(5), one.signal(signal.SIGCONT)))


def terminated(server, folder):
    """an operator ends all sessions of a living executor: it has its SDK's back-off to come back, and keeps its work"""
    with Scene(server, folder, "terminated") as scene:
        one, _ = scene.start("one", orders=12), scene.start("two")
        scene.watch()
        end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'dbos_transact_one_v1'"
        alive_keeps(scene, one, lambda: [(scene.admin.query(end), time.sleep(0.3)) for _ in range(6)], lambda: None)


def long_ids(server, folder):
    """ids of 60 characters that are cut to one name: nobody can tell them apart, so nobody's work is taken, and it is said"""
    with Scene(server, folder, "long_ids") as scene:
        one, two = scene.start(LONG + "1", orders=5, step_ms=800), scene.start(LONG + "2", orders=5, step_ms=800)
        scene.watch()
        scene.busy(one), scene.busy(two)
        one.kill()
        until("both are ambiguous", lambda: scene.admin.query("SELECT DISTINCT state FROM dbos_sys.watched('orders') WHERE pending > 0") == [["ambiguous"]])
        until("the living one is done", lambda: pending(scene.admin, two.name) == 0, 30)
        # One name for one executor that holds work: its sessions are the living one's, so it counts as alive.
        equal(row(scene.admin, f"SELECT state, pending > 0 FROM dbos_sys.watched('orders') WHERE executor_id = '{one.name}'"), ["alive", "t"])
        two.stop()
        scene.start("three")
        finished(scene.admin)
        judged(scene.admin, scene.folder, {one.name})


def shared_id(server, folder):
    """processes that share the id `local` are refused, with the remedy"""
    with Scene(server, folder, "shared_id") as scene:
        scene.start("local", orders=3)
        error = raises("WF023", scene.admin, "SELECT dbos_sys.watch('orders')")
        assert "local" in error.message, error.message


def restarted(server, folder):
    """the server crashes and restarts: the living keep their work, the dead one's is taken when everybody has had the time to come back"""
    with Scene(server, folder, "restarted") as scene:
        one, two, _ = scene.start("one", orders=10, step_ms=1500), scene.start("two", orders=5, step_ms=700), scene.start("three")
        scene.watch()
        scene.busy(one), scene.busy(two)
        server.crash()
        two.kill()
        server.start()
        scene.admin = until("the server answers", lambda: server.session(scene.database), 30)
        started = float(scene.admin.value("SELECT extract(epoch FROM pg_postmaster_start_time())"))
        until("the dead one's work is taken", lambda: pending(scene.admin, "two") == 0, BACKOFF + 20)
        held = float(scene.admin.value("SELECT extract(epoch FROM now())")) - started
        assert held >= BACKOFF - 0.5, f"taken {held:.1f} s after the start"
        finished(scene.admin)
        equal(scene.admin.query("SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid LIKE 'one-%' AND recovery_attempts > 1"), [["0"]], "of the living, taken")
        judged(scene.admin, scene.folder, {"two"})


def cut_off(server, folder):
    """an executor that is cut off beyond the grace loses its work, and what it writes when it is back is refused"""
    with Scene(server, folder, "cut_off") as scene:
        road = Road(server.socket_path())
        one, two = scene.start("one", orders=5, port=road.port, step_ms=2500), scene.start("two", step_ms=200)
        scene.watch()
        scene.busy(one)
        road.cut()
        until("its work is with the other", lambda: scene.admin.value("SELECT count(*) FROM dbos.workflow_status WHERE executor_id = 'two'") == "5", 20)
        road.mend()
        finished(scene.admin)
        equal(scene.admin.query("SELECT DISTINCT executor_id, recovery_attempts FROM dbos.workflow_status"), [["two", "2"]], "owners at the end")
        account = Account(one.log, {"one"})
        equal(scene.admin.query("SELECT count(*) FROM dbos.workflow_status WHERE status <> 'SUCCESS'"), [["0"]], "unsuccessful")
        equal([key for key, count in account.begins.items() if count > 2], [], "bodies that ran more than twice")
        one.stop(), two.stop()


def upgraded(server, folder):
    """a rolling deploy: what the old version left moves to the new one under `upgrade`, nothing stays PENDING"""
    with Scene(server, folder, "upgraded") as scene:
        one, two = scene.start("one", orders=8, step_ms=600), scene.start("two", step_ms=600)
        scene.watch(", version_gone => 'upgrade', version_grace => '1 s'")
        scene.busy(one)
        scene.start("new", version="v2")
        one.stop(), two.stop()
        finished(scene.admin, 40)
        equal(scene.admin.query("SELECT count(*) > 0 FROM dbos.workflow_status WHERE application_version = 'v2'"), [["t"]], "moved")
        judged(scene.admin, scene.folder, {"one"})


def heartbeats(server, folder):
    """an executor that sends heartbeats is judged by them alone"""
    with Scene(server, folder, "heartbeats") as scene:
        one, _ = scene.start("one", orders=5, step_ms=800), scene.start("two")
        scene.watch()
        scene.busy(one)
        scene.admin.query("SELECT dbos_sys.heartbeat('one', '3 s', 'orders')")
        one.kill()
        time.sleep(2)
        assert pending(scene.admin, "one") > 0, "taken while the lease runs"
        until("taken when the lease is over", lambda: pending(scene.admin, "one") == 0, 10)
        finished(scene.admin)
        judged(scene.admin, scene.folder, {"one"})


class Siege:
    """Faults at random on a fleet that always has work; counts what became of it."""

    FAULTS = ("SIGKILL", "SIGKILL of two at once", "SIGTERM", "SIGSTOP 3 s", "sessions terminated")

    def __init__(self, scene, generator):
        self.scene, self.random, self.killed, self.number = scene, generator, set(), 0
        self.tried = {fault: 0 for fault in self.FAULTS}
        self.owned = {fault: 0 for fault in self.FAULTS}
        self.fleet = [self.fresh() for _ in range(3)]

    def fresh(self):
        self.number += 1
        return self.scene.start(f"e{self.number}", orders=100000, at_once=4, step_ms=120, ready=False)

    def victim(self):
        victim = self.random.choice(self.fleet)
        until(f"{victim.name} is busy", lambda: pending(self.scene.admin, victim.name) >= 2, 60)
        time.sleep(self.random.random() * 0.5)
        return victim

    def replace(self, victim):
        self.fleet[self.fleet.index(victim)] = self.fresh()

    def strike(self, fault):
        victims = [self.victim()]
        if fault == "SIGKILL of two at once":
            victims += [one for one in self.fleet if one is not victims[0]][:1]
        self.tried[fault] += len(victims)
        self.owned[fault] += sum(pending(self.scene.admin, one.name) for one in victims)
        if fault.startswith("SIGKILL"):
            for one in victims:
                one.signal(signal.SIGKILL)
                self.killed.add(one.name)
        elif fault == "SIGTERM":
            victims[0].stop()
            self.killed.add(victims[0].name)
        elif fault == "SIGSTOP 3 s":
            victims[0].signal(signal.SIGSTOP)
            time.sleep(3)
            victims[0].signal(signal.SIGCONT)
            return
        else:
            self.scene.admin.query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dbos_transact_{victims[0].name}_v1'")
            return
        for one in victims:
            one.process.wait()
            self.replace(one)

    def end(self):
        """The fleet goes without its work, and two fresh processes finish all of it."""
        for one in self.fleet:
            one.kill()
            self.killed.add(one.name)
        heirs = [self.scene.start(f"heir{i}", step_ms=20) for i in (1, 2)]
        finished(self.scene.admin, 120)
        for heir in heirs:
            heir.stop()


def siege(server, folder, kills, seed, table):
    """kills at random moments, among stops and terminated sessions: nothing is lost, nothing recorded twice, nothing runs in two processes at once"""
    generator = random.Random(seed)
    with Scene(server, folder, "siege") as scene:
        fleet = Siege(scene, generator)
        for one in fleet.fleet:
            one.ready()
        scene.watch()
        while len(fleet.killed) < kills:
            fleet.strike(generator.choices(Siege.FAULTS, (60, 10, 10, 5, 15))[0])
        fleet.end()
        account = judged(scene.admin, scene.folder, fleet.killed, broken_pipes=fleet.tried["sessions terminated"] > 0)
        broken = scene.admin.value(f"SELECT count(*) FROM dbos.workflow_output AS o WHERE {BROKEN_PIPE}")
        workflows = int(scene.admin.value("SELECT count(*) FROM dbos.workflow_status"))
        recovered = int(scene.admin.value("SELECT count(*) FROM dbos.workflow_status WHERE recovery_attempts > 1"))
        lines = ["| fault | times | workflows it hit | lost | recorded twice | in two processes at once |", "|---|--:|--:|--:|--:|--:|"]
        # None at all, so none of each.
        lost, twice, together = len(account.lost), len(account.twice), len(account.together)
        lines += [f"| {fault} | {fleet.tried[fault]} | {fleet.owned[fault]} | {lost} | {twice} | {together} |" for fault in Siege.FAULTS]
        lines += ["", f"{workflows} workflows of 4 steps by the TypeScript SDK, {recovered} recovered; step bodies begun again after a death: {account.repeated()} "
                  f"(those that were under way). {broken} ended in ERROR `write EPIPE`, which SDK 5.3.0 makes of a terminated session by itself. Seed {seed}."]
        for line in lines:
            print(f"# {line}")
        if table:
            with open(table, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1000000)
    parser.add_argument("--table")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    print(f"# seed {given.seed}", flush=True)
    tests = [example_ts, other_roles, stopped, terminated, long_ids, shared_id, cut_off, upgraded, heartbeats, restarted]
    if "PY_PYTHON" in os.environ:
        tests.insert(1, example_py)
    databases = ["example_ts", "example_py", *(test.__name__ for test in tests if not test.__name__.startswith("example")), "siege"]
    server, tap = Server("watch", databases, int(BACKOFF * 1000)), Tap()
    try:
        for test in tests:
            if given.only in test.__name__:
                tap.run(test, server, given.folder)
        if given.only in "siege":
            def all_of_it(*_):
                siege(server, given.folder, given.kills, given.seed, given.table)
            all_of_it.__doc__ = siege.__doc__
            tap.run(all_of_it)
    finally:
        server.destroy()
    tap.finish()


main()
