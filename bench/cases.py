"""What is measured. Counts make a run of some seconds; the two systems get different ones because they are of different speed."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Case:
    name: str
    what: str
    steps: int
    in_flight: int
    # Workflows per run.
    ours: int
    sdk: int
    # enqueue first, with no worker running, then drain
    queued: bool = False
    # Each step waits so many milliseconds on the bench's own server.
    delay_ms: int = 0
    # What the value says: workflows per second, steps per second, or milliseconds from start to result (median).
    unit: str = "wf/s"
    # Run before the clock starts, in the same database.
    warm_up: int = 1000

    @property
    def title(self):
        return self.what if self.in_flight == 1 else f"{self.what}, {self.in_flight:,} {'at a time' if self.queued else 'in flight'}"

    def count(self, system):
        return getattr(self, system)

    def result_sum(self, count):
        """Sum of all results of `count` workflows: workflow n returns n plus what its steps returned."""
        of_steps = self.steps if self.delay_ms else self.steps * (self.steps + 1) // 2
        return count * (count - 1) // 2 + count * of_steps


CASES = (
    Case("direct0", "start to result, no step", steps=0, in_flight=200, ours=120000, sdk=6000),
    Case("direct1", "start to result, 1 step", steps=1, in_flight=200, ours=80000, sdk=4000),
    Case("direct3", "start to result, 3 steps", steps=3, in_flight=200, ours=50000, sdk=2500),
    Case("queue0", "queue, no step", steps=0, in_flight=200, ours=60000, sdk=5000, queued=True),
    Case("queue1", "queue, 1 step", steps=1, in_flight=200, ours=60000, sdk=4000, queued=True),
    Case("queue3", "queue, 3 steps", steps=3, in_flight=200, ours=40000, sdk=2500, queued=True),
    Case("wait200", "start to result, 1 step that waits for a slow server", steps=1, in_flight=1000, ours=20000, sdk=5000, delay_ms=200),
    Case("alone", "one workflow alone, its steps one after the other", steps=1000, in_flight=1, ours=1, sdk=1, unit="steps/s", warm_up=1),
    Case("latency1", "start to result, 1 step, one workflow at a time", steps=1, in_flight=1, ours=1000, sdk=500, unit="ms", warm_up=100),
)

# For `make check`: whether both systems still complete everything, in a few seconds.
SHORT = ("direct3", "queue1", "wait200")


def short(case):
    return replace(case, ours=300, sdk=300, in_flight=min(case.in_flight, 100), delay_ms=min(case.delay_ms, 50), warm_up=20)
