#!/usr/bin/env -S python3 -B
"""Judges the mixed run: audit.py LOG ROWS, from what the bodies wrote and from the tables alone. Prints results that the caller numbers.

ROWS: id, queue, partition key, application, executor, status, attempts, recorded steps, output; ids are QUEUE/APPLICATION/NUMBER."""
import collections
import sys

failures = 0


def check(name, wrong):
    global failures
    wrong = list(wrong)
    failures += bool(wrong)
    print(f"{'not ok' if wrong else 'ok'} - {name}")
    for what in wrong[:10]:
        print(what, file=sys.stderr)


def over(events, group, limit):
    """Groups of events in which more bodies ran at once than `limit`."""
    now, most = collections.Counter(), collections.Counter()
    for event in events:
        of = group(event)
        now[of] += 1 if event[2] == "begin" else -1
        most[of] = max(most[of], now[of])
    return [f"{of}: {count} at once" for of, count in most.items() if count > limit]


log, table = sys.argv[1:]
rows = {r[0]: r for r in (line.rstrip("\n").split("|") for line in open(table, encoding="utf-8"))}
events = [line.rstrip("\n").split("\t") for line in open(log, encoding="utf-8")]
application = lambda e: e[1].split("/")[1]
of = lambda queue: [e for e in events if e[1].startswith(queue + "/")]
edges = collections.Counter((e[1], e[2]) for e in events)

check("there are 480 jobs", [] if len(rows) == 480 else [f"{len(rows)} rows"])
check("each succeeds in its first attempt, with its own result and one step", (
    row for row in rows.values() if row[5:8] != ["SUCCESS", "1", "1"] or row[8] != f'"{row[0]}"'))
check("each runs where its application does", (row for row in rows.values() if row[4] != "mixed-" + row[3] or row[3] != row[0].split("/")[1]))
check("each body runs once, and in its own application", [
    f"{ident}: {edges[ident, 'begin']} begun, {edges[ident, 'end']} ended" for ident in rows if (edges[ident, "begin"], edges[ident, "end"]) != (1, 1)
] + [e for e in events if e[0] != "mixed-" + application(e)])
check("no application runs more of a queue than its concurrency", over(of("m-whole"), application, 3))
check("no worker runs more than its worker concurrency", over(of("m-worker"), lambda e: e[0], 2))
check("no application runs more of a key than its partition's concurrency", over(of("m-parts"), lambda e: (application(e), rows[e[1]][2]), 1))
sys.exit(1 if failures else 0)
