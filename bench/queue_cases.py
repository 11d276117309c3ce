"""What bench/queues measures: each case is a few variants side by side, and the ratio that matters."""

from dataclasses import dataclass


@dataclass(frozen=True)
class QueueCase:
    name: str
    title: str
    unit: str
    # Compared with the first of them.
    variants: tuple


IDLE = QueueCase("idle", "enqueue to the job's first line while nothing else goes on, one at a time", "ms",
                 ("ours", "sdk", "sdk-10ms", "pg-boss", "graphile-worker"))
WAKEUPS = QueueCase("wakeups", "plain INSERTs of 8 clients into dbos.workflow_status, somebody listening", "tps", ("quiet", "woken"))
SELECT_1 = QueueCase("select1", "SELECT 1 by one client, on servers without and with the module", "tps", ("absent", "preloaded"))
UPDATE_1 = QueueCase("update1", "UPDATE of one row by one client, on servers without and with the module", "tps", ("absent", "preloaded"))
WAITING = QueueCase("waiting", "drain of one queue with so many waiting", "wf/s", ("10k", "1M"))
DEAD = QueueCase("dead", "drain of one queue with so many dead entries at its head, held by a snapshot", "wf/s", ("none", "1M"))
SPREAD = QueueCase("spread", "drain of as many workflows on so many queues", "wf/s", ("64", "1"))

GRANTS = QueueCase("grants", "grants of one limit: a process asks for 40 steps at a time, 8 sessions each for one", "grants/s", ("process", "sessions"))

QUEUE_CASES = (IDLE, WAKEUPS, SELECT_1, UPDATE_1, WAITING, DEAD, SPREAD, GRANTS)

# Jobs of the idle case: who polls once a second gets fewer.
IDLE_COUNT = {"sdk": 60}
IDLE_COUNT_OTHERS = 300
IDLE_PAUSE_MS = 30
# Seconds of one pgbench run; the variants take turns, so many times.
PGBENCH_SECONDS, PGBENCH_TURNS = 5, 6
# Workflows that a drain counts, and what lies there besides.
DRAINED = 20000
MANY = 1000000
SPREAD_COUNT = 64000
