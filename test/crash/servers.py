"""Restarts of the server under load. Every lease and session looks gone then; nobody may be
declared dead for it before the clients have had the time to come back."""
import os
import signal
import time

from auditor import Audit
from executors import busy, executor, incarnation, pending
from lib import SqlError, Worker, equal, finished, until

GRACE, TICK = 1000, 200
# A client's longest pause between attempts, with its jitter: dbos_sys.reconnect_backoff must not be less.
LEASE, BACKOFF = 3.0, 15.0
SETTINGS = (f"dbos_sys.reconnect_backoff={int(BACKOFF * 1000)}",)
SIDE_BY_SIDE = 1
LOAD = ("--step-ms", 60, "--nap-ms", 400, "--lease-ms", int(LEASE * 1000))


class Load:
    """Two processes that start and run workflows of all kinds, one that only works, and one that will not come back."""

    def __init__(self, server, prefix, count):
        self.server, self.prefix, self.session = server, prefix, server.session()
        self.live = [Worker(server, "start", prefix, f"{prefix}.{place}", "--count", count, *LOAD) for place in ("one", "two")]
        self.live.append(Worker(server, "work", prefix, f"{prefix}.three", *LOAD))
        self.frozen = Worker(server, "start", f"{prefix}f", f"{prefix}.frozen", "--kinds", "chain", "--way", "direct", "--count", 4, "--step-ms", 2000,
                             "--lease-ms", int(LEASE * 1000), application=prefix)
        for worker in [*self.live, self.frozen]:
            worker.ready()
        busy(self.session, self.frozen, 4)
        self.before = [incarnation(self.session, worker) for worker in self.live]
        self.frozen.signal(signal.SIGSTOP)
        until("some are acknowledged", lambda: self.acknowledged() >= 6)

    def acknowledged(self):
        return sum(len(worker.words("ack")) for worker in self.live)

    def connect(self):
        """A fresh session once the server answers."""
        self.session.close()
        self.session = until("the server answers", self.server.session, 30)

    def deaths(self):
        """When (in the server's seconds) and why each executor was declared dead, and when it was last seen."""
        found = {}
        for worker in [*self.live, self.frozen]:
            ended, why, seen = executor(self.session, worker, "ended_at, ended_why, last_seen")
            if ended and why != "retired":
                found[worker.executor] = (int(ended) / 1000, why, int(seen) / 1000)
        return found

    def end(self, came_back):
        """came_back: when the server took connections again. The frozen worker's death must wait until then and the hold."""
        until("the frozen worker is declared dead", lambda: f"{self.prefix}.frozen" in self.deaths(), LEASE + BACKOFF + 25)
        dead = self.deaths()
        hold = self.session.query("SELECT hold_from, hold_until, server_start FROM dbos_ops.ticker")
        assert list(dead) == [f"{self.prefix}.frozen"], f"declared dead: {dead}; back at {came_back}, hold {hold}; now {time.time()}"
        held = dead[f"{self.prefix}.frozen"][0] - came_back
        finished(self.session, self.prefix)
        finished(self.session, f"{self.prefix}f")
        for worker in self.live[:2]:
            worker.ends_well()
        now = [incarnation(self.session, worker) for worker in self.live]
        equal(now, self.before, "incarnations of those who live")
        self.live[2].stop()
        self.frozen.signal(signal.SIGCONT)
        self.frozen.ends_well()
        audit = Audit(self.session, self.prefix, self.live[0].log, [worker.said for worker in self.live]).run()
        Audit(self.session, f"{self.prefix}f", self.frozen.log, [self.frozen.said]).run()
        return held, audit

    def told(self):
        return [len(worker.words("result")) + len(worker.words("failed")) for worker in self.live[:2]]


def server_crash(server):
    """crash and restart of the server under load: what was acknowledged is there and finished, nobody is declared dead before lease and back-off"""
    load = Load(server, "s1", 40)
    server.crash()
    time.sleep(0.5)
    server.start()
    load.connect()
    started = float(load.session.value("SELECT extract(epoch FROM pg_postmaster_start_time())"))
    held, audit = load.end(started)
    assert held >= LEASE + BACKOFF - 0.05, f"declared dead {held:.2f} s after the server's start"
    equal(load.told(), [40, 40], "waiters told")
    assert max(audit.bodies().values()) <= 2, audit.bodies().most_common(3)


def backend_killed(server):
    """kill -9 of a backend under load: the server restarts in place, nothing is lost, nobody is declared dead before lease and back-off"""
    load = Load(server, "s2", 40)
    name = f"dbos_sys/{load.before[0]}"
    victim = until("a session", lambda: load.session.query(f"SELECT pid FROM pg_stat_activity WHERE starts_with(application_name, left('{name}', 63))"))
    os.kill(int(victim[0][0]), signal.SIGKILL)
    until("the sessions are gone", lambda: gone(load.session))
    load.connect()
    held, audit = load.end(float(load.session.value("SELECT extract(epoch FROM stats_reset) FROM pg_stat_archiver")))
    assert held >= LEASE + BACKOFF - 0.05, f"declared dead {held:.2f} s after the server's return"
    equal(load.told(), [40, 40], "waiters told")
    assert max(audit.bodies().values()) <= 2, audit.bodies().most_common(3)


def extension_dropped(server):
    """DROP EXTENSION under load: the workers wait for it, and go on when it is there again; nothing is lost, nobody is declared dead"""
    session, prefix = server.session(), "s3"
    workers = [Worker(server, "start", prefix, f"{prefix}.{place}", "--count", 60, *LOAD) for place in ("one", "two")]
    for worker in workers:
        worker.ready()
    until("some are acknowledged", lambda: sum(len(worker.words("ack")) for worker in workers) >= 6)
    before = [incarnation(session, worker) for worker in workers]
    session.query("DROP EXTENSION dbos_sys CASCADE")
    until("both have noticed", lambda: all("dbos_sys" in worker.stderr() for worker in workers))
    states = "SELECT count(*) FILTER (WHERE status = 'PENDING') > 0, count(*) FILTER (WHERE status LIKE 'MAX%') FROM dbos.workflow_status"
    where = f" WHERE starts_with(workflow_uuid, '{prefix}-')"
    equal(session.query(states + where), [["t", "0"]], "work is under way, none of it in the dead letter")
    session.query("CREATE EXTENSION dbos_sys; SELECT dbos_sys.install()")
    # Functions are not locked by those who call them: some calls are met halfway.
    for _ in range(10):
        session.query("BEGIN; DROP EXTENSION dbos_sys CASCADE; CREATE EXTENSION dbos_sys; SELECT dbos_sys.install(); COMMIT")
    finished(session, prefix)
    for worker in workers:
        worker.ends_well()
    equal([incarnation(session, worker) for worker in workers], before, "incarnations")
    equal([len(worker.words("result")) + len(worker.words("failed")) for worker in workers], [60, 60], "waiters told")
    Audit(session, prefix, workers[0].log, [worker.said for worker in workers]).run()


def gone(session):
    try:
        session.query("SELECT 1")
    except SqlError:
        return True
    return False


def tests(server, random):
    return [(test.__doc__, lambda test=test: test(server)) for test in (server_crash, backend_killed, extension_dropped)]
