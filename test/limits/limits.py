"""The tests of test/limits/run: limits.py FOLDER [options]."""
import argparse
import collections
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from property import bounds_hold
from processes import PLAIN, Disk, Server, Service, SqlCaller, most_at_once, most_in_window, node, until, worker

sys.path.insert(1, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "worker"))

from harness import Tap  # noqa: E402


class Case:
    """One test's database, service and processes."""

    def __init__(self, server, folder, database, limit, service_limit=0, window_ms=1000):
        self.server, self.folder, self.database = server, folder, database
        self.sql = server.session(database)
        self.sql.query(f"SELECT dbos_sys.register_limit('stripe', {limit})")
        self.service = Service(folder, f"{database}-service", service_limit, window_ms)
        self.processes, self.callers = [], []
        self.number = 0

    def worker(self, work, ms=0):
        self.number += 1
        self.processes.append(worker(self.folder, f"{self.database}-{self.number}", self.server.uri(self.database), self.service, "stripe", work, ms))
        return self.processes[-1]

    def node(self, at_once, ms=0):
        self.processes.append(node(self.folder, f"{self.database}-node", self.server.uri(self.database), self.service, "stripe", at_once, ms))
        return self.processes[-1]

    def session(self, key, ms=0):
        self.callers.append(SqlCaller(self.server, self.database, self.service, "stripe", key, ms))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
        for caller in self.callers:
            caller.stop()
        self.service.kill()


def judged_by_the_service(server, folder, given, generator):
    """a service that answers 429 above its own limit never does, and 90 % of it is used, while workers are killed"""
    capacity, window = 100, 2
    with Case(server, folder, "judged", f"rate => {0.95 * capacity}", capacity * window, 1000 * window) as case, Disk(server) as disk:
        workers = [case.worker(200), case.worker(200)]
        case.node(40)
        for i in range(6):
            case.session(f"session-{i}")
        until("all three call", lambda: {call.who for call in case.service.calls()} == {"cpp", "ts", "sql"}, 20)
        begin, kills = time.monotonic(), 0
        while disk.since(begin) < given.seconds and time.monotonic() < begin + 5 * given.seconds:
            time.sleep(generator.uniform(4, 6))
            victim = generator.randrange(2)
            workers[victim].kill()
            workers[victim] = case.worker(200)
            kills += 1
        end = time.monotonic()
        calls = case.service.calls()
        refused = [call for call in calls if call.status == 429]
        # A grant is durable before it is told: while the disk stands still there is none, and burst => 0 makes up for nothing.
        served = sum(call.status == 200 and begin <= call.begin < end and not disk.stood(call.begin) for call in calls)
        seconds = disk.seconds(begin, end)
        used = served / (capacity * seconds)
        by = dict(collections.Counter(call.who for call in calls))
        print(f"# {len(calls)} calls in {end - begin:.1f} s, the disk stood for {end - begin - seconds:.2f} s, {kills} kills, "
              f"{used:.1%} of the service's capacity used, by {by}", flush=True)
        assert not refused, f"{len(refused)} calls were refused, the first {refused[0]}"
        assert used >= 0.9, f"{used:.1%} of the capacity was used"


def shares(server, folder, given, generator):
    """ten tenants of which one has ten times the work of the others have equal shares of 1,000 calls"""
    with Case(server, folder, "shares", "rate => 200") as case, Disk(server) as disk:
        case.sql.query("SELECT dbos_sys.hold('stripe', '1 h')")
        work = ",".join([f"tenant-0:{1500}"] + [f"tenant-{i}:150" for i in range(1, 10)])
        case.worker(work)
        until("all wait", lambda: case.sql.value("SELECT waiting FROM dbos_sys.limits()") == "2850", 60)
        case.sql.query("SELECT dbos_sys.hold('stripe', '0 s')")
        begin = time.monotonic()
        until("a thousand calls", lambda: len(case.service.calls()) >= 1000, 30)
        seconds = disk.since(begin)
        print(f"# 1,000 calls took {seconds:.1f} s at 200/s, but for what the disk stood", flush=True)
        assert seconds < 1000 / 200 / 0.9, "the rate was not used"
        counts = collections.Counter(call.key for call in case.service.calls()[:1000])
        assert len(counts) == 10 and all(90 <= count <= 110 for count in counts.values()), counts


def concurrency(server, folder, given, generator):
    """no more calls at the same time than permits, from the service's own log, while workers are killed"""
    with Case(server, folder, "concurrency", "concurrency => 5") as case:
        workers = [case.worker(30, 25), case.worker(30, 25)]
        case.node(10, 25)
        case.session("session", 25)
        until("all three call", lambda: {call.who for call in case.service.calls()} == {"cpp", "ts", "sql"}, 20)
        for _ in range(2):
            time.sleep(generator.uniform(1, 2))
            workers[0].kill()
            workers[0] = case.worker(30, 25)
        time.sleep(2.5)
        calls = case.service.calls()
        busy = sum(call.end - call.begin for call in calls if call.begin > calls[-1].begin - 2) / (2 * 5)
        print(f"# {len(calls)} calls, at most {most_at_once(calls)} at once, {busy:.0%} of the permits' time used in the last 2 s", flush=True)
        assert most_at_once(calls) <= 5, most_at_once(calls)
        assert case.sql.value("SELECT holding <= 5 FROM dbos_sys.limits()") == "t"


def killed_holder(server, folder, given, generator):
    """the permit of a holder that is killed comes back when it is declared dead"""
    with Case(server, folder, "killed", "concurrency => 1") as case:
        holder = case.worker("tenant-a:1", 60000)
        until("it holds the permit", lambda: len(case.service.calls()) == 1, 15)
        case.worker("tenant-b:1")
        until("the other waits", lambda: case.sql.value("SELECT waiting FROM dbos_sys.limits()") == "1")
        assert len(case.service.calls()) == 1
        holder.kill()
        begin = time.monotonic()
        # Without the module the killed one may be who kept the ticks: then the lease of 15 s decides.
        until("the other begins", lambda: any(call.key == "tenant-b" for call in case.service.calls()), 20 if PLAIN else 10)
        print(f"# {time.monotonic() - begin:.1f} s after the kill", flush=True)


def crashed_server(server, folder, given, generator):
    """a crash of the database server does not loosen a rate"""
    rate = 50
    with Case(server, folder, "crashed", f"rate => {rate}") as case:
        case.worker(200)
        for i in range(3):
            case.session(f"session-{i}")
        until("both call", lambda: {call.who for call in case.service.calls()} == {"cpp", "sql"}, 20)
        for _ in range(2):
            time.sleep(generator.uniform(0.7, 1.5))
            server.close_sessions()
            server.crash()
            server.start()
            before = len(case.service.calls())
            until("calls go on", lambda: len(case.service.calls()) > before + 20, 30)
        time.sleep(1)
        calls = case.service.calls()
        case.sql = server.session("crashed")
        for seconds in (0.5, 1, 3):
            # What was granted may reach the service up to 200 ms late.
            most, allowed = most_in_window(calls, seconds), rate * (seconds + 0.2) + 1
            print(f"# at most {most} in {seconds} s", flush=True)
            assert most <= allowed, f"{most} calls in {seconds} s, allowed are {allowed}"


TESTS = (judged_by_the_service, shares, concurrency, killed_holder, bounds_hold, crashed_server)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1000000)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    print(f"# seed {given.seed}", flush=True)
    tap, generator = Tap(), random.Random(given.seed)
    server = Server("limits", ("judged", "shares", "concurrency", "killed", "bounds", "crashed"))
    try:
        for test in TESTS:
            if given.only in test.__name__:
                tap.run(test, server, given.folder, given, generator)
    finally:
        server.destroy()
    tap.finish()


main()
