"""Judges what a queue did, from the log of its runs in the order of their commits."""
import collections

Event = collections.namedtuple("Event", "at id key was status executor started")


def read_log(session):
    """Commit times order the events: a claim commits after everything that it counted. At one time ends come first."""
    rows = session.query(
        "SELECT EXTRACT(epoch FROM pg_xact_commit_timestamp(a.xmin)) * 1000, a.id, COALESCE(a.key, ''), COALESCE(a.was, ''), a.status, "
        "COALESCE(a.executor, ''), COALESCE(a.started, 0) FROM public.audit AS a "
        "ORDER BY pg_xact_commit_timestamp(a.xmin), a.status = 'PENDING', a.number", timeout=120)
    return [Event(float(r[0]), r[1], r[2], r[3], r[4], r[5], int(r[6])) for r in rows]


def is_start(event):
    return event.status == "PENDING" and event.was == "ENQUEUED"


class Running:
    """What runs and waits after each event."""

    def __init__(self):
        self.all, self.by_key, self.by_worker, self.waiting = 0, collections.Counter(), collections.Counter(), collections.Counter()
        self.where = {}

    def add(self, event):
        if event.was == "ENQUEUED":
            self.waiting[event.key] -= 1
        if event.status == "ENQUEUED":
            self.waiting[event.key] += 1
        if event.was == "PENDING":
            executor = self.where.pop(event.id)
            self.all -= 1
            self.by_key[event.key] -= 1
            self.by_worker[event.key, executor] -= 1
        if event.status == "PENDING":
            self.where[event.id] = event.executor
            self.all += 1
            self.by_key[event.key] += 1
            self.by_worker[event.key, event.executor] += 1


def concurrency(log, options):
    """No instant above a bound; what broke one, or nothing."""
    running, broken = Running(), []
    for event in log:
        running.add(event)
        for option, now in (("concurrency", running.all), ("partition_concurrency", running.by_key[event.key]),
                            ("partition_worker_concurrency", running.by_worker[event.key, event.executor])):
            if is_start(event) and option in options and now > options[option]:
                broken.append(f"{option} {options[option]}: {now} at {event.at:.1f} with {event.id}")
    return broken


def windows(starts, limit, period_ms):
    """Starts that are nearer than a period to the one `limit` before."""
    starts = sorted(starts)
    return [f"{limit + 1} starts from {a} to {b}" for a, b in zip(starts, starts[limit:]) if b - a < period_ms]


def rates(log, options):
    starts = [event for event in log if is_start(event)]
    broken = []
    if "rate_limit_max" in options:
        broken += windows([e.started for e in starts], options["rate_limit_max"], options["rate_limit_period_sec"] * 1000)
    if "partition_rate_limit_max" in options:
        for key in {e.key for e in starts}:
            broken += windows([e.started for e in starts if e.key == key], options["partition_rate_limit_max"],
                              options["partition_rate_limit_period_sec"] * 1000)
    return broken


def idle(log, options, executors, longest_ms):
    """Times in which a run waited with room for it, and nothing started, for longer than `longest_ms`; looked at every 20 ms."""
    running, broken, since, position = Running(), [], None, 0
    starts = [e for e in log if is_start(e)]
    now = log[0].at
    while position < len(log):
        started = False
        while position < len(log) and log[position].at <= now:
            running.add(log[position])
            started = started or is_start(log[position])
            position += 1
        if started or not has_room(running, starts, options, executors, now):
            since = None
        elif since is None:
            since = now
        elif now - since > longest_ms:
            broken.append(f"room and work, but no start from {since:.0f} to {now:.0f}")
            since = now
        now += 20
    return broken


def has_room(running, starts, options, executors, now):
    def spent(prefix, chosen):
        limit = options.get(prefix + "rate_limit_max")
        period = options.get(prefix + "rate_limit_period_sec", 0) * 1000
        return limit is not None and sum(1 for e in chosen if now - period < e.started <= now) >= limit

    if running.all >= options.get("concurrency", 1 << 30) or spent("", starts):
        return False
    for key, waiting in running.waiting.items():
        if waiting > 0 and running.by_key[key] < options.get("partition_concurrency", 1 << 30) and any(
                running.by_worker[key, e] < options.get("partition_worker_concurrency", 1 << 30) for e in executors) and not spent(
                "partition_", [e for e in starts if e.key == key]):
            return True
    return False


def shares(log, weights, window):
    """In each window of starts while every key waits: the largest difference of a share from its weight, in parts of it."""
    running, keys, worst = Running(), [], 0.0
    for event in log:
        running.add(event)
        if is_start(event):
            if any(running.waiting[key] <= 0 for key in weights):
                break
            keys.append(event.key)
    total = sum(weights.values())
    for first in range(0, len(keys) - window + 1, 10):
        counts = collections.Counter(keys[first:first + window])
        worst = max(worst, max(abs(counts[key] * total / (window * weight) - 1) for key, weight in weights.items()))
    return worst, len(keys)
