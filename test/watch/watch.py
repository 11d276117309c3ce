#!/usr/bin/env -S python3 -B
"""Applications on official SDKs under watch(): who is dead is noticed, who lives keeps its work. Called by run, which installs the SDKs."""
import argparse
import os
import signal
import subprocess
import time

from applications import PLAIN, ROLE, ROOT, Account, Pooler, Process, Road, Server, pending, row, unfinished
from harness import Tap, equal, raises, until
from scene import Scene, finished, judged, settled
from siege import besiege, last_words

# SDKs double their pauses, with a jitter of a half: they may stay away three times as long as the server did.
BACKOFF = 40.0
LONG = "n" * 60


def example(language):
    """examples/adopt runs as it says; its own checks decide."""
    done = subprocess.run([os.path.join(ROOT, "examples", "adopt", "run"), language], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=400)
    for line in done.stdout.splitlines():
        print(f"# {line}", flush=True)
    equal(done.returncode, 0, "exit status")


def example_ts(server, folder):
    """examples/adopt, TypeScript: without the extension a killed process's workflows strand, with it they are finished and follow a deploy"""
    example("typescript")


def example_py(server, folder):
    """examples/adopt, Python: without the extension a killed process's workflows strand, with it they are finished and follow a deploy"""
    example("python")


def alive_keeps(scene, victim, fault, after):
    """`fault` does not cost a living executor its work."""
    scene.busy(victim)
    held = {r[0] for r in scene.admin.query(f"SELECT workflow_uuid FROM dbos.workflow_status WHERE status = 'PENDING' AND executor_id = '{victim.name}'")}
    fault()
    after()
    settled(scene)
    names = ",".join(f"'{order}'" for order in held)
    equal(scene.admin.query(f"SELECT DISTINCT executor_id, recovery_attempts FROM dbos.workflow_status WHERE workflow_uuid IN ({names})"),
          [[victim.name, "1"]], "owners of what it held")
    equal(Account(os.path.join(scene.folder, "effects.log"), ()).repeated(), 0, "bodies that ran again")
    # What its SDK has let go of is taken when the process is gone.
    victim.stop()
    finished(scene.admin)
    judged(scene.admin, scene.folder, {victim.name}, broken_pipes=True)


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


def killed(server, folder, language):
    with Scene(server, folder, f"killed_{language}", language, step_ms=800) as scene:
        one, _ = scene.start("one", orders=5), scene.start("two")
        scene.watch()
        scene.busy(one)
        until("it is seen", lambda: row(scene.admin, "SELECT state FROM dbos_sys.watched() WHERE executor_id = 'one'") == ["alive"])
        one.kill()
        # A client that dies within a statement is counted among those that the server ended.
        until("its work is taken", lambda: pending(scene.admin, "one") == 0, BACKOFF + 10)
        finished(scene.admin)
        assert int(scene.admin.value("SELECT count(*) FROM dbos.workflow_status WHERE executor_id = 'two' AND recovery_attempts = 2")) > 0, "taken by the other"
        judged(scene.admin, scene.folder, {"one"})


def killed_ts(server, folder):
    """a TypeScript process is killed: another one goes on with its workflows, each step recorded once"""
    killed(server, folder, "ts")


def killed_py(server, folder):
    """a Python process is killed: another one goes on with its workflows, each step recorded once"""
    killed(server, folder, "py")


def stopped(server, folder):
    """SIGSTOP for five times the grace: its sessions are there, so it keeps its work"""
    with Scene(server, folder, "stopped") as scene:
        _, one = scene.start("two"), scene.start("one", orders=6)
        scene.watch()
        alive_keeps(scene, one, lambda: one.signal(signal.SIGSTOP), lambda: (time.sleep(5), one.signal(signal.SIGCONT)))


def terminated(server, folder):
    """an operator ends all sessions of a living executor: it has its SDK's back-off to come back, and keeps its work"""
    with Scene(server, folder, "terminated") as scene:
        _, one = scene.start("two"), scene.start("one", orders=12)
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
        one, two, _ = scene.start("one", orders=15, step_ms=1500), scene.start("two", orders=30, step_ms=700), scene.start("three")
        scene.watch()
        scene.busy(one), scene.busy(two)
        server.crash()
        two.kill()
        server.start()
        scene.admin = until("the server answers", lambda: server.session(scene.database), 30)
        lives_on(scene, scene.admin.value("SELECT extract(epoch FROM pg_postmaster_start_time())"))


def crashed_in_place(server, folder):
    """one backend is killed and the server restarts in place: the living keep their work, the dead one's is taken after the back-off"""
    with Scene(server, folder, "crashed_in_place") as scene:
        one, two, _ = scene.start("one", orders=15, step_ms=1500), scene.start("two", orders=30, step_ms=700), scene.start("three")
        scene.watch()
        scene.busy(one), scene.busy(two)
        server.crash_in_place("dbos_transact_one_v1", two.kill)
        scene.admin = server.session(scene.database)
        lives_on(scene, scene.admin.value("SELECT extract(epoch FROM stats_reset) FROM pg_stat_archiver"))


def failed_over(server, folder):
    """a standby is promoted under TypeScript and Python applications: the living keep their work, the dead one's is taken after the back-off"""
    languages = ["ts"] + ["py"] * ("PY_PYTHON" in os.environ)
    servers = [Server("first", [f"failed_over_{language}" for language in languages], server.backoff)]
    road, scenes = Road(servers[0].socket_path()), []
    try:
        for language in languages:
            scenes.append(Scene(servers[0], folder, f"failed_over_{language}", language))
        servers.append(servers[0].standby("second"))
        for scene in scenes:
            for name, how in (("one", {"orders": 15, "step_ms": 1500}), ("two", {"orders": 30, "step_ms": 900}), ("three", {})):
                scene.start(name, port=road.port, **how)
            scene.watch()
        for scene in scenes:
            scene.busy(scene.processes[0]), scene.busy(scene.processes[1])
        servers[0].crash()
        for scene in scenes:
            scene.processes[1].kill()
        servers[1].promote()
        road.path = servers[1].socket_path()
        for scene in scenes:
            scene.admin = servers[1].session(scene.database)
        promoted = scenes[0].admin.value("SELECT extract(epoch FROM now())")
        for scene in scenes:
            lives_on(scene, promoted)
    finally:
        for scene in scenes:
            scene.__exit__()
        for one in servers:
            one.destroy()


def lives_on(scene, since):
    """After the server's return at `since`: `two` is dead, and everybody else is not."""
    def still_here():
        for one in scene.processes[:1] + scene.processes[2:]:
            equal(one.process.poll(), None, f"exit of {one.name}, which is to live ({last_words(one)})")
    until("the dead one's work is taken", lambda: pending(scene.admin, "two") == 0, BACKOFF + 60)
    held = float(scene.admin.value("SELECT extract(epoch FROM now())")) - float(since)
    assert held >= BACKOFF - 0.5, f"taken {held:.1f} s after the server's return"
    still_here()
    settled(scene, 120)
    still_here()
    equal(scene.admin.query("SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid LIKE 'one-%' AND recovery_attempts > 1"), [["0"]], "of the living, taken")
    # The dead one may have given up on its orders before it died, as the server was gone first: settled() does not wait for these.
    until("of the dead, taken", lambda: scene.admin.value("SELECT count(*) > 0 FROM dbos.workflow_status WHERE workflow_uuid LIKE 'two-%' AND recovery_attempts > 1") == "t", 30)
    # What the living one's SDK has let go of is taken when the process is gone.
    scene.processes[0].stop()
    finished(scene.admin)
    judged(scene.admin, scene.folder, {"one", "two"}, broken_pipes=True)


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


def seldom(server, folder):
    """without a worker, maintain() comes every seven seconds only: a dead one's work is taken, and nobody else's"""
    with Scene(server, folder, "seldom") as scene:
        one, _, two = scene.start("one", orders=40, step_ms=1500), scene.start("three"), scene.start("two", orders=10, step_ms=1500)
        scene.watch()
        scene.busy(one), scene.busy(two)
        begun = time.monotonic()

        def round_over():
            scene.admin.query("SELECT count(*) FROM dbos_sys.maintain()")
            if one.process.poll() is None and time.monotonic() - begun > 10:
                one.kill()
            time.sleep(7)
            return pending(scene.admin, "one") == 0
        until("the dead one's work is taken", round_over, BACKOFF + 60)
        equal(scene.admin.query("SELECT max(recovery_attempts) FROM dbos.workflow_status WHERE workflow_uuid LIKE 'two-%'"), [["1"]], "attempts of the living")
        assert int(scene.admin.value("SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid LIKE 'one-%' AND recovery_attempts = 2")) > 0, "of the dead, taken"
        finished(scene.admin)
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


def pooled(server, folder):
    """behind a pooler that lends sessions their names come and go: nobody is taken for dead by them, and it is said what to do"""
    with Scene(server, folder, "pooled") as scene:
        pooler = Pooler(server, 2)
        try:
            for name in ("one", "two", "three", "four"):
                scene.start(name, port=pooler.port, orders=8, step_ms=4000, ready=False)
            for one in scene.processes:
                one.ready()
            scene.watch(", force => true, version_gone => 'upgrade', version_grace => '1 s'")
            said = []

            def over():
                said.extend(scene.admin.query("SELECT executor_id FROM dbos_sys.watched('orders') WHERE state = 'pooled' AND advice LIKE '%heartbeat%'"))
                return unfinished(scene.admin) == 0
            until("all workflows are finished", over, 120)
            equal(scene.admin.query("SELECT DISTINCT recovery_attempts FROM dbos.workflow_status"), [["1"]], "attempts")
            equal(judged(scene.admin, scene.folder, orders=32).repeated(), 0, "bodies that ran again")
            assert said, "nobody was called pooled"
        finally:
            for one in scene.processes:
                one.stop()
            pooler.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1000000)
    parser.add_argument("--table")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    print(f"# seed {given.seed}", flush=True)
    tests = [example_ts, other_roles, stopped, terminated, long_ids, shared_id, pooled, cut_off, upgraded, heartbeats, seldom, restarted, crashed_in_place, failed_over]
    if PLAIN:
        # The judge is the same SQL; here it is the script's, without a superuser, and ticked by a client. The siege stands apart.
        tests = [killed_ts, stopped, heartbeats, upgraded, shared_id, *([killed_py] if "PY_PYTHON" in os.environ else [])]
    elif "PY_PYTHON" in os.environ:
        tests.insert(1, example_py)
    databases = [test.__name__ for test in tests if not test.__name__.startswith(("example", "failed_over"))]
    server, tap = Server("watch", databases, int(BACKOFF * 1000), unmaintained=["seldom"]), Tap()
    try:
        for test in tests:
            if given.only in test.__name__:
                tap.run(test, server, given.folder)
        if given.only in "siege" and not PLAIN:
            tap.run(besiege, given.folder, server.backoff, given.kills, given.seed, given.table)
    finally:
        server.destroy()
    tap.finish()


main()
