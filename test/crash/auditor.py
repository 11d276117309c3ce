#!/usr/bin/env -S python3 -B
"""Judges what workers have done, from the tables, the side-effect log and what the workers
were told: independent of the engine, it knows by itself what each workflow has to record.

auditor.py --prefix P --log FILE [--said FILE]… CONNINFO

The server must keep commit times (track_commit_timestamp): they tell when a record became
durable, on the clock that the side-effect log uses too."""
import argparse
import collections
import dataclasses
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "worker"))

from harness import Session  # noqa: E402

TERMINAL = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
Effect = collections.namedtuple("Effect", "executor pid id step name attempt execution phase real_us mono_us place")
Step = collections.namedtuple("Step", "id step name output error started completed child committed_us")


@dataclasses.dataclass
class Expected:
    """What a workflow records and returns."""
    name: str
    inputs: list
    steps: list  # (function id, name, has a body); a name in () may be absent
    output: str = None
    error: str = None


def expect(workflow_id, rows):
    """By the id PREFIX-KIND-NUMBER; a child's is its parent's id and the function id."""
    parent = rows.get(workflow_id, {}).get("parent")
    if parent:
        tag = parent
        return Expected("messenger", [parent, tag], [(0, "pack", True), (1, "DBOS.send", False), (2, "return", True)], output=tag + "~")
    tag = workflow_id
    kind, number = workflow_id.rsplit("-", 2)[1:]
    if kind == "chain":
        steps = 3 + int(number) % 3
        total = sum(10 * i + steps for i in range(steps))
        return Expected(kind, [tag, steps], [(i, f"link{i}", True) for i in range(steps)], output=f"{tag}/{total}")
    if kind == "nap":
        return Expected(kind, None, [(0, "before", True), (1, "DBOS.sleep", False), (2, "after", True), (3, "last", True)], output=f"{tag}/7")
    if kind == "family":
        return Expected(kind, [tag], [(0, "born", True), (1, "messenger", False), (2, "DBOS.recv", False), (3, ("DBOS.sleep",), False),
                                      (4, "DBOS.getResult", False), (5, "grown", True)], output=f"{tag}!|{tag}~")
    if kind == "flaky":
        return Expected(kind, [tag], [(0, "stumble", True), (1, "walk", True), (2, "arrive", True)], output=f"{tag}/7")
    if kind == "fail":
        return Expected(kind, [tag], [(0, "try", True), (1, "give_up", True), (2, "tell", True)], error="Refusal")
    raise ValueError(f"no workflow of the tests has the id {workflow_id}")


class Audit:
    """`faults` collects what is wrong."""

    def __init__(self, session, prefix, log, said=()):
        self.session, self.prefix, self.faults = session, prefix, []
        self.effects = self._read_log(log)
        self.said = [line.rstrip("\n") for path in said for line in open(path, encoding="utf-8")]
        self.rows = self._read_rows()
        self.steps = self._read_steps()

    # ---- what there is
    def _read_log(self, path):
        effects = []
        for place, line in enumerate(open(path, encoding="utf-8") if os.path.exists(path) else ()):
            f = line.rstrip("\n").split("\t")
            if f[2].startswith(self.prefix + "-"):
                effects.append(Effect(f[0], int(f[1]), f[2], int(f[3]), f[4], int(f[5]), int(f[6]), f[7], int(f[8]), int(f[9]), place))
        return effects

    def _read_rows(self):
        found = self.session.query(f"""
            SELECT w.workflow_uuid, w.status, w.name, COALESCE(i.inputs, w.inputs), COALESCE(o.output, w.output), COALESCE(o.error, w.error),
              w.parent_workflow_id, w.executor_id, w.owner_xid, w.recovery_attempts, w.completed_at, w.created_at,
              (SELECT count(*) FROM dbos.workflow_output AS c WHERE c.workflow_uuid = w.workflow_uuid),
              (extract(epoch FROM pg_xact_commit_timestamp(o.xmin)) * 1000000)::bigint
            FROM dbos.workflow_status AS w LEFT JOIN dbos.workflow_input AS i USING (workflow_uuid) LEFT JOIN dbos.workflow_output AS o USING (workflow_uuid)
            WHERE starts_with(w.workflow_uuid, '{self.prefix}-') ORDER BY w.workflow_uuid""")
        keys = "id status name inputs output error parent executor owner attempts completed created outputs ended_us".split()
        self.listed = [dict(zip(keys, row)) for row in found]
        return {row["id"]: row for row in self.listed}

    def _read_steps(self):
        found = self.session.query(f"""
            SELECT s.workflow_uuid, s.function_id, s.function_name, s.output, s.error, s.started_at_epoch_ms, s.completed_at_epoch_ms, s.child_workflow_id,
              (extract(epoch FROM COALESCE(pg_xact_commit_timestamp(s.xmin), now())) * 1000000)::bigint
            FROM dbos.operation_outputs AS s WHERE starts_with(s.workflow_uuid, '{self.prefix}-') ORDER BY s.workflow_uuid, s.function_id""")
        steps = collections.defaultdict(dict)
        for row in found:
            step = Step(row[0], int(row[1]), row[2], row[3], row[4], int(row[5] or 0), int(row[6] or 0), row[7], int(row[8]))
            self._check(step.step not in steps[step.id], f"I3: two records of step {step.step} of {step.id}")
            steps[step.id][step.step] = step
        return steps

    def _check(self, holds, fault):
        if not holds:
            self.faults.append(fault)

    # ---- what has to hold
    def starts_stand(self):
        """I1, I2: what was acknowledged exists once, under one name and input, and has ended; whatever exists has ended."""
        self._check(len(self.rows) == len(self.listed), "I2: two rows of one id")
        for line in self.said:
            if line.startswith("ack "):
                self._check(line[4:] in self.rows, f"I1: the acknowledged {line[4:]} is lost")
        for row in self.listed:
            wanted = expect(row["id"], self.rows)
            self._check(row["status"] in TERMINAL, f"I1: {row['id']} is {row['status']} of {row['executor']}")
            self._check(row["name"] == wanted.name, f"I2: {row['id']} is a {row['name']}")
            inputs = json.loads(row["inputs"])["positionalArgs"]
            if wanted.inputs is None:
                wanted.inputs = [row["id"], inputs[1]]
            self._check(inputs == wanted.inputs, f"I2: {row['id']} has the inputs {inputs}")
            self._check(row["status"] not in TERMINAL or row["owner"] is None, f"{row['id']} has ended and still an owner")

    def ends_are_right(self):
        """The outcome is the one that the inputs ask for, with exactly the records that lead to it."""
        for row in self.listed:
            wanted, steps = expect(row["id"], self.rows), self.steps[row["id"]]
            if row["status"] not in ("SUCCESS", "ERROR"):
                continue
            if wanted.error:
                self._check(row["status"] == "ERROR" and json.loads(row["error"] or "{}").get("name") == wanted.error, f"{row['id']}: {row['status']} {row['error']}")
            else:
                self._check(row["status"] == "SUCCESS" and json.loads(row["output"] or "null") == wanted.output,
                            f"{row['id']}: {row['status']}, output {row['output']}, error {row['error']}, wanted {wanted.output}")
            self._check(row["outputs"] == "1", f"{row['id']} has {row['outputs']} rows of output")
            names = {number: name for number, name, _ in wanted.steps if isinstance(name, str) or number in steps}
            names = {number: name if isinstance(name, str) else name[0] for number, name in names.items()}
            self._check({s.step: s.name for s in steps.values()} == names, f"I3: {row['id']} has the records {[(s.step, s.name) for s in steps.values()]}")

    def records_are_contiguous(self):
        """I3: of whatever has begun, the records are a prefix of what the code does."""
        for workflow, steps in self.steps.items():
            wanted = expect(workflow, self.rows)
            must = [number for number, name, _ in wanted.steps if isinstance(name, str)]
            have = [number for number in must if number in steps]
            self._check(have == must[:len(have)], f"I3: {workflow} has records with a gap: {sorted(steps)}")

    def recorded_steps_stay_done(self):
        """I4: no body begins after its record, or its workflow's end, became durable."""
        for effect in self.effects:
            if effect.phase != "begin":
                continue
            step, row = self.steps[effect.id].get(effect.step), self.rows.get(effect.id)
            self._check(row is not None, f"I1: a body of {effect.id} ran, and there is no such workflow")
            if step:
                self._check(effect.real_us <= step.committed_us,
                            f"I4: {effect.name} of {effect.id} began on {effect.executor} {effect.real_us - step.committed_us} us after its record was committed")
                self._check(step.name == effect.name, f"I3: step {effect.step} of {effect.id} ran as {effect.name}, recorded as {step.name}")
            if row and row["ended_us"]:
                self._check(effect.real_us <= int(row["ended_us"]), f"I4: {effect.name} of {effect.id} began after the workflow's end")

    def completed_steps_happened(self):
        """I5: what is recorded as done has been done, before it was recorded."""
        ends = collections.defaultdict(list)
        for effect in self.effects:
            if effect.phase == "end":
                ends[effect.id, effect.step].append(effect.real_us)
        for workflow, steps in self.steps.items():
            bodies = {number for number, _, body in expect(workflow, self.rows).steps if body}
            for step in steps.values():
                if step.step in bodies and step.error is None:
                    self._check(any(end <= step.committed_us for end in ends[workflow, step.step]),
                                f"I5: {step.name} of {workflow} is recorded, and did not happen before")

    def one_runs_at_a_time(self):
        """A body of an earlier execution never begins after one of a later execution."""
        latest = {}
        for effect in self.effects:
            if effect.phase == "begin":
                self._check(effect.execution >= latest.get(effect.id, 0),
                            f"fencing: {effect.executor} began {effect.name} of {effect.id} in execution {effect.execution} after execution {latest.get(effect.id)}")
                latest[effect.id] = max(effect.execution, latest.get(effect.id, 0))

    def waiters_were_told_the_truth(self):
        """I7: what waiters were given is what stands in the table."""
        for line in self.said:
            kind, _, rest = line.partition(" ")
            if kind not in ("result", "failed"):
                continue
            workflow, _, value = rest.partition(" ")
            row = self.rows.get(workflow)
            stands = row and (row["output"] if kind == "result" else json.loads(row["error"] or "{}").get("name"))
            same = stands and (json.loads(stands) == json.loads(value) if kind == "result" else stands == value)
            self._check(same, f"I7: a waiter for {workflow} was told {kind} {value}, and the table says {row}")

    def timers_are_not_early(self):
        """I13: after a durable sleep the code goes on at its recorded time or later."""
        for effect in self.effects:
            sleep = self.steps[effect.id].get(1)
            if effect.name == "after" and effect.phase == "begin" and sleep:
                early = int(float(sleep.output)) * 1000 - effect.real_us
                self._check(early <= 2000, f"I13: {effect.id} woke {early} us early")

    def messages_are_read_once(self):
        """I10: each message of a family was consumed by its one recv."""
        found = self.session.query(f"""
            SELECT n.destination_uuid, count(*), count(*) FILTER (WHERE n.consumed) FROM dbos.notifications AS n
            WHERE starts_with(n.destination_uuid, '{self.prefix}-') GROUP BY 1""")
        for workflow, sent, consumed in found:
            if self.rows[workflow]["status"] == "SUCCESS":
                self._check((sent, consumed) == ("1", "1"), f"I10: {workflow} was sent {sent} messages and read {consumed}")

    def nothing_is_left_behind(self):
        """I15: no row stays PENDING; those that do are named with their executor."""
        for row in self.listed:
            self._check(row["status"] != "PENDING", f"I15: {row['id']} is PENDING under {row['executor']}")

    def nothing_changed(self):
        """I3, I6: ends and records, read again, are what they were."""
        rows, steps = self.rows, self.steps
        self.rows, self.steps = self._read_rows(), self._read_steps()
        for workflow, row in rows.items():
            if row["status"] in TERMINAL:
                self._check(self.rows.get(workflow) == row, f"I6: {workflow} was {row} and is {self.rows.get(workflow)}")
            for number, step in steps[workflow].items():
                self._check(self.steps[workflow].get(number) == step, f"I3: {step} is now {self.steps[workflow].get(number)}")

    CHECKS = (starts_stand, ends_are_right, records_are_contiguous, recorded_steps_stay_done, completed_steps_happened, one_runs_at_a_time,
              waiters_were_told_the_truth, timers_are_not_early, messages_are_read_once, nothing_is_left_behind, nothing_changed)

    def run(self):
        for check in self.CHECKS:
            check(self)
        if self.faults:
            raise AssertionError(f"{len(self.faults)} faults:\n" + "\n".join(self.faults[:30]))
        return self

    def bodies(self, workflow=None):
        """How often each (workflow, step) began, not counting retries within one execution."""
        return collections.Counter((e.id, e.name) for e in self.effects if e.phase == "begin" and e.attempt == 1 and workflow in (None, e.id))


def main():
    parser = argparse.ArgumentParser(description="Judges the tables and a side-effect log.")
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--said", action="append", default=[])
    parser.add_argument("conninfo")
    given = parser.parse_args()
    audit = Audit(Session(given.conninfo), given.prefix, given.log, given.said)
    try:
        audit.run()
    except AssertionError as error:
        sys.exit(str(error))
    print(f"{len(audit.rows)} workflows, {sum(map(len, audit.steps.values()))} records, {len(audit.effects)} log lines: all invariants hold")


if __name__ == "__main__":
    main()
