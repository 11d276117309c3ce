"""Faults at random on a fleet that always has work, and a table of what became of it."""
import collections
import random
import signal
import time

from applications import Account, Road, Server, now, pending
from harness import equal, until
from scene import BROKEN_PIPE, Scene, finished, judged

GRACE = 5.0
SILENCE = GRACE + 3
BEYOND = "connections cut beyond the grace"
WEIGHTS = {
    "SIGKILL": 55, "SIGKILL of two at once": 9, "SIGTERM": 9, "SIGSTOP 8 s": 3, "sessions terminated": 12, "connections cut, back within the grace": 4,
    BEYOND: 3, "network silent for 8 s": 3, "server restarted": 3, "server crashed in place": 3, "failed over to a standby": 2}
# An executor that is cut off beyond the grace goes on with the step that it is in, which another one begins too: see docs/adopt.md.
PROMISED_ALONE = [fault for fault in WEIGHTS if fault != BEYOND]


def last_words(one):
    with open(one.errors, encoding="utf-8", errors="replace") as file:
        said = [line.strip() for line in file if "rror" in line]
    return " / ".join(line[:150] for line in said[-4:]) or "nothing said"


class Siege:
    def __init__(self, folder, backoff, generator):
        self.server = Server("siege0", ["siege"], backoff)
        self.scene = Scene(self.server, folder, "siege")
        self.random, self.number, self.servers = generator, 0, 0
        self.killed, self.adrift, self.ended, self.kills = set(), set(), 0, 0
        self.tried, self.owned = collections.Counter(), collections.Counter()
        self.fleet = [self.fresh() for _ in range(3)]
        for one in self.fleet:
            one.ready()
        self.scene.watch(grace=f"{GRACE} s")

    def fresh(self):
        self.number += 1
        road = Road(self.server.socket_path())
        one = self.scene.start(f"e{self.number}", orders=100000, at_once=4, step_ms=120, port=road.port, ready=False)
        one.road = road
        return one

    def replace(self, one):
        one.road.close()
        self.killed.add(one.name)
        self.fleet[self.fleet.index(one)] = self.fresh()

    def victim(self):
        """A busy one. What ends by itself, as its SDK may after a fault, has a successor too."""
        while True:
            for one in [one for one in self.fleet if one.process.poll() is not None]:
                self.ended += 1
                print(f"# {one.name} ended by itself: {last_words(one)}", flush=True)
                self.replace(one)
            victim = self.random.choice(self.fleet)
            until(f"{victim.name} is busy", lambda: victim.process.poll() is not None or pending(self.scene.admin, victim.name) >= 2, 120)
            if victim.process.poll() is None:
                time.sleep(self.random.random() * 0.5)
                return victim

    def struck(self, fault, victims, times=None):
        self.tried[fault] += times or len(victims)
        self.owned[fault] += sum(pending(self.scene.admin, one.name) for one in victims)

    def strike(self, fault):
        victim = self.victim()
        if fault.startswith("SIGKILL"):
            self.kill(fault, [victim] + [one for one in self.fleet if one is not victim and "two" in fault][:1])
        elif fault.startswith("server") or fault.startswith("failed"):
            self.struck(fault, self.fleet, 1)
            {"server restarted": self.restart, "server crashed in place": lambda: self.server.crash_in_place(self.session_name(victim)),
             "failed over to a standby": self.fail_over}[fault]()
            self.scene.admin = until("the server answers", lambda: self.server.session("siege"), 60)
        elif fault.startswith("connections"):
            self.cut(fault, victim)
        else:
            self.struck(fault, [victim])
            if fault == "SIGTERM":
                victim.stop()
                self.kills += 1
                self.replace(victim)
            elif fault.startswith("SIGSTOP"):
                victim.signal(signal.SIGSTOP)
                time.sleep(SILENCE)
                victim.signal(signal.SIGCONT)
            elif fault == "sessions terminated":
                self.scene.admin.query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{self.session_name(victim)}'")
            else:
                victim.road.hold()
                time.sleep(SILENCE)
                victim.road.mend()

    @staticmethod
    def session_name(one):
        return f"dbos_transact_{one.name}_v1"

    def connected(self, one):
        return self.scene.admin.value(f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{self.session_name(one)}'") != "0"

    def kill(self, fault, victims):
        self.struck(fault, victims)
        for one in victims:
            one.signal(signal.SIGKILL)
        for one in victims:
            one.process.wait()
            self.kills += 1
            self.replace(one)

    def cut(self, fault, victim):
        """Who was told to come back within the grace, and came later, was cut off beyond it."""
        owned, since = pending(self.scene.admin, victim.name), now()
        victim.road.cut()
        if fault == BEYOND:
            until(f"the work of {victim.name} is taken", lambda: pending(self.scene.admin, victim.name) == 0, 120)
        else:
            time.sleep(0.3)
        victim.road.mend()
        until(f"{victim.name} is back", lambda: victim.process.poll() is not None or self.connected(victim), 120)
        if fault == BEYOND or now() - since > GRACE - 0.5:
            self.adrift.add(victim.name)
            fault = BEYOND
        self.tried[fault] += 1
        self.owned[fault] += owned

    def restart(self):
        self.server.stop()
        self.server.start()

    def fail_over(self):
        self.servers += 1
        before, self.server = self.server, self.server.standby(f"siege{self.servers}")
        before.crash()
        self.server.promote()
        self.scene.server = self.server
        for one in self.fleet:
            one.road.path = self.server.socket_path()
        before.destroy()

    def end(self):
        """The fleet goes without its work, and two fresh processes finish all of it."""
        for one in self.fleet:
            one.kill()
            self.killed.add(one.name)
        heirs = [self.scene.start(f"heir{i}", step_ms=20) for i in (1, 2)]
        finished(self.scene.admin, 180)
        for heir in heirs:
            heir.stop()

    def close(self):
        self.scene.__exit__()
        self.server.destroy()


def table_of(siege, account, seed):
    session = siege.scene.admin
    workflows, recovered = session.query("SELECT count(*), count(*) FILTER (WHERE recovery_attempts > 1) FROM dbos.workflow_status")[0]
    broken = session.value(f"SELECT count(*) FROM dbos.workflow_output AS o WHERE {BROKEN_PIPE}")
    # None at all, so none of each; but for who was cut off, whose bodies are counted.
    lost, twice = len(account.lost), len(account.twice)
    together = {fault: len(account.together) for fault in PROMISED_ALONE} | {BEYOND: len(Account(siege.fleet[0].log, siege.killed - siege.adrift).together)}
    return ["| fault | times | workflows it hit | lost | recorded twice | in two processes at once |", "|---|--:|--:|--:|--:|--:|",
            *(f"| {fault} | {siege.tried[fault]} | {siege.owned[fault]} | {lost} | {twice} | {together[fault]} |" for fault in WEIGHTS), "",
            f"{workflows} workflows of 4 steps by the TypeScript SDK, {siege.kills} processes killed, {recovered} workflows recovered; step bodies begun "
            f"again after a fault: {account.repeated()} (those that were under way). {broken} ended in ERROR `write EPIPE`, which SDK 5.3.0 makes of a "
            f"terminated session by itself; {siege.ended} processes ended by themselves after a fault. Seed {seed}."]


def besiege(folder, backoff, kills, seed, table):
    """faults at random, each at least once: nothing is lost, nothing recorded twice, nothing runs in two processes at once but what was cut off"""
    generator = random.Random(seed)
    siege = Siege(folder, backoff, generator)
    try:
        faults = generator.sample(list(WEIGHTS), len(WEIGHTS))
        while faults or siege.kills < kills:
            siege.strike(faults.pop() if faults else generator.choices(list(WEIGHTS), WEIGHTS.values())[0])
        siege.end()
        account = judged(siege.scene.admin, siege.scene.folder, siege.killed | siege.adrift, broken_pipes=True)
        equal([fault for fault in PROMISED_ALONE if not siege.tried[fault]], [], "faults that were not tried")
        lines = table_of(siege, account, seed)
    finally:
        siege.close()
    for line in lines:
        print(f"# {line}", flush=True)
    if table:
        with open(table, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
