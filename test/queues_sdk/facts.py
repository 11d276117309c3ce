#!/usr/bin/env -S python3 -B
"""What a run of the scenarios came to: facts.py LOG ROWS

LOG: executor, id, begin or end, ms: what the bodies wrote. ROWS: id, queue, partition key, status, started, delay until, from the tables.
Ids are QUEUE-NUMBER; marks of the test itself have the executor `mark`. Prints one fact a line, without times or names of executors."""
import collections
import sys

Row = collections.namedtuple("Row", "queue key status started delay")


def read(log, rows):
    table = {}
    for line in open(rows, encoding="utf-8"):
        ident, queue, key, status, started, delay = line.rstrip("\n").split("|")
        table[ident] = Row(queue, key, status, int(started or 0), int(delay or 0))
    events = [line.rstrip("\n").split("\t") for line in open(log, encoding="utf-8")]
    return table, [(executor, ident, edge, int(ms)) for executor, ident, edge, ms in events]


def most_at_once(events):
    """By the order in which the bodies wrote."""
    now = most = 0
    for _, _, edge, _ in events:
        now += 1 if edge == "begin" else -1
        most = max(most, now)
    return most


def most_of_each(events, kind):
    groups = collections.defaultdict(list)
    for event in events:
        groups[kind(event)].append(event)
    return max(most_at_once(group) for group in groups.values())


def most_in_window(starts, ms):
    starts = sorted(starts)
    return max(sum(1 for t in starts if begin <= t < begin + ms) for begin in starts)


def facts(table, events):
    marks = {ident: ms for executor, ident, _, ms in events if executor == "mark"}
    events = [event for event in events if event[0] != "mark"]
    of = lambda queue: [e for e in events if table[e[1]].queue == queue]
    key = lambda e: table[e[1]].key
    begun = collections.Counter(e[1] for e in events if e[2] == "begin")
    yield "every job succeeds, and its body runs once", all(r.status == "SUCCESS" for r in table.values()) and set(begun.values()) == {1}
    yield "whole: at once", most_at_once(of("whole"))
    yield "worker: at once in one worker", most_of_each(of("worker"), lambda e: e[0])
    yield "worker: at once", most_at_once(of("worker"))
    yield "rate: starts in any second", most_in_window([r.started for r in table.values() if r.queue == "rate"], 1000)
    yield "order: by priority, then age", " ".join(e[1].split("-")[1] for e in of("order") if e[2] == "begin")
    late = [e for e in of("delayed") if e[2] == "begin"]
    yield "delayed: order", " ".join(e[1].split("-")[1] for e in late)
    yield "delayed: not before it is due", all(e[3] >= table[e[1]].delay for e in late)
    yield "parts: at once", most_at_once(of("parts"))
    yield "parts: at once of one key", most_of_each(of("parts"), key)
    yield "both: at once", most_at_once(of("both"))
    yield "both: at once of one key", most_of_each(of("both"), key)
    yield "partworker: at once of one key", most_of_each(of("partworker"), key)
    yield "partworker: at once of one key in one worker", most_of_each(of("partworker"), lambda e: (key(e), e[0]))
    by_key = collections.defaultdict(list)
    for row in table.values():
        if row.queue == "partrate":
            by_key[row.key].append(row.started)
    yield "partrate: starts of one key in any second", max(most_in_window(starts, 1000) for starts in by_key.values())
    yield "live: at once before the change", most_at_once([e for e in of("live") if e[3] < marks["altered"]])
    yield "live: at once", most_at_once(of("live"))
    yield "paused: begun while it was", sum(1 for e in of("paused") if e[2] == "begin" and marks["held"] < e[3] < marks["resumed"])
    yield "paused: begun before", "some" if any(e[3] < marks["held"] for e in of("paused")) else "none"


for name, value in facts(*read(*sys.argv[1:])):
    print(f"{name}: {value}")
