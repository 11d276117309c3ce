"""SIGKILL at every named point of the runtime, alone and in a crowd. A second process then
starts the same ids again, as a caller does who was not told; the auditor judges."""
import judge
from auditor import Audit
from lib import Worker, equal, finished, rows

CROWD = 24
POINTS = ("start.before_send", "start.after_commit", "claim.after_commit", "step.after_body", "step.after_commit", "end.before_send",
          "end.after_commit", "sleep.parked")


class Case:
    """One workflow (or a crowd), killed at a point, and started again by another process."""

    def __init__(self, server, name, point, *options, again=()):
        self.server, self.prefix, self.session = server, name, server.session()
        self.options = options
        self.victim = Worker(server, "start", name, f"{name}.victim", *options, crash=point)
        self.victim.dies()
        self.after_death = {row[0]: row[1:] for row in self.rows()}
        self.heir = None
        self.again_options = again

    def rows(self):
        return rows(self.session, self.prefix, "workflow_uuid, created_at, status, recovery_attempts")

    def again(self):
        self.heir = Worker(self.server, "start", self.prefix, f"{self.prefix}.heir", *(self.again_options or self.options))
        self.heir.ends_well()
        finished(self.session, self.prefix)
        self.audit = Audit(self.session, self.prefix, self.victim.log, [self.victim.said, self.heir.said]).run()
        for row in self.rows():
            if row[0] in self.after_death:
                equal(row[1], self.after_death[row[0]][0], f"{row[0]} was created")
        return self

    def recorded(self):
        return int(self.session.value(f"SELECT count(*) FROM dbos.operation_outputs WHERE starts_with(workflow_uuid, '{self.prefix}-')"))

    def one(self, column):
        (row,) = self.rows()
        return row[column]

    def bodies(self):
        return list(self.audit.bodies().values())

    def told(self):
        return len(self.heir.words("result")) + len(self.heir.words("failed"))


def alone(kind, *more):
    return ("--kinds", kind, "--count", 1, "--way", "direct", "--threads", 1, *more)


def start_before_send(server):
    """killed before a start is sent: nothing was acknowledged and nothing exists; the same id begins afresh"""
    case = Case(server, "p1", "start.before_send", *alone("chain"))
    equal((case.after_death, case.victim.words("ack")), ({}, []))
    case.again()
    equal(case.bodies(), [1, 1, 1], "bodies")
    equal(case.one(3), "1", "attempts")


def start_after_commit(server):
    """killed after a start's commit and before the caller knows: the same id again is the same row, run once"""
    case = Case(server, "p2", "start.after_commit", *alone("chain"))
    equal((list(case.after_death), case.victim.words("ack")), (["p2-chain-0"], []))
    case.again()
    equal(case.bodies(), [1, 1, 1], "bodies")


def claim_after_commit(server):
    """killed after a claim and before the run begins: another executor runs it, and the lost attempt counts"""
    case = Case(server, "p3", "claim.after_commit", "--kinds", "chain", "--count", 1, "--way", "queue", "--threads", 1).again()
    equal(case.after_death["p3-chain-0"][1:], ["PENDING", "1"])
    equal(case.bodies(), [1, 1, 1], "bodies")
    equal(case.one(3), "2", "attempts")


def step_after_body(server):
    """killed between a side effect and its record: that body runs again, no other"""
    case = Case(server, "p4", "step.after_body:2", *alone("chain")).again()
    equal(case.bodies(), [1, 2, 1], "bodies")


def step_after_commit(server):
    """killed after a checkpoint: no recorded body runs again"""
    case = Case(server, "p5", "step.after_commit:2", *alone("chain")).again()
    equal(case.bodies(), [1, 1, 1], "bodies")
    equal(case.one(3), "2", "attempts")


def end_before_send(server):
    """killed before the end is sent: only the body whose record rides with the end runs again"""
    for name in "abcde":
        case = Case(server, f"p6{name}", "end.before_send", *alone("chain"))
        recorded = case.recorded()
        case.again()
        equal(case.bodies(), [1] * recorded + [2] * (3 - recorded), "bodies")
        # A process that is kept from running between its last body and its end sends that record by itself.
        if recorded == 2:
            return
        equal(recorded, 3, "records after the death")
    raise AssertionError("no record rode with an end")


def end_after_commit(server):
    """killed after the end and before anybody was told: the outcome stands and nothing runs again"""
    case = Case(server, "p7", "end.after_commit", *alone("chain"))
    equal(case.after_death["p7-chain-0"][1], "SUCCESS")
    case.again()
    equal(case.bodies(), [1, 1, 1], "bodies")
    equal(case.told(), 1, "waiters told")


def sleep_parked(server):
    """killed in a durable sleep: only the rest of the time is slept, and what was before is not run again"""
    case = Case(server, "p8", "sleep.parked", *alone("nap", "--nap-ms", 4000)).again()
    equal(case.bodies(), [1, 1, 1], "bodies")
    sleep = case.audit.steps["p8-nap-0"][1]
    after = next(e for e in case.audit.effects if e.name == "after")
    late = after.real_us / 1000 - float(sleep.output)
    # The other process is up long before: slept again in full it would be late by seconds.
    assert late < 1500, f"woke {late:.0f} ms after its time"


def receive_parked(server):
    """killed while waiting for a message: it is received once, and its child ran once"""
    case = Case(server, "p9", "sleep.parked", *alone("family", "--step-ms", 150)).again()
    equal(len(case.audit.rows), 2, "parent and child")


def failure_recorded(server):
    """killed before a failure's end is sent: the same failure is reached and told"""
    case = Case(server, "p10", "end.before_send", *alone("fail")).again()
    equal(case.heir.words("failed"), ["p10-fail-0 Refusal"])


def unknown_point(server):
    """a crash point that there is not, or a number that is none, stops the launch and is named"""
    for point, said in (("step.after_lunch", "step.after_lunch"), ("sleep.parked:0", "0 is no number of passings")):
        worker = Worker(server, "work", "p11", "p11.worker", crash=point)
        equal(worker.wait(), 3, "exit code")
        assert said in worker.stderr(), worker.stderr()


def crowd(server, place, point, passing):
    def test():
        name = f"c{place}"
        # Beginnings are as many as workflows, passings of steps and waits as many as there are of them.
        case = Case(server, name, f"{point}:{passing}", "--count", CROWD, "--nap-ms", 300).again()
        equal(case.told(), CROWD, "waiters told")
        # One process died once: no body ran more than twice.
        assert max(case.bodies()) <= 2, case.audit.bodies().most_common(3)
    return f"{CROWD} workflows of all kinds, killed at {point}:{passing}: all end as they should, no recorded body runs again", test


def tests(server, random):
    alone_cases = (start_before_send, start_after_commit, claim_after_commit, step_after_body, step_after_commit, end_before_send, end_after_commit,
                   sleep_parked, receive_parked, failure_recorded, unknown_point)
    most = {"step.after_body": 40, "step.after_commit": 20, "sleep.parked": 6, "claim.after_commit": 8}
    named = [(case.__doc__, lambda case=case: case(server)) for case in alone_cases]
    crowds = [crowd(server, place, point, random.randint(1, most.get(point, 12))) for place, point in enumerate(POINTS)]
    return [(judge.finds_damage.__doc__, lambda: judge.finds_damage(server)), *named, *crowds]
