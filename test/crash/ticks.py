"""Servers without a background worker: a client ticks, and dies."""
import time

from executors import LONG, audit, begun, busy, executor, incarnation, pending
from lib import Worker, equal, finished, until

GRACE, TICK = 2000, 1000
MAINTAINED = False
LEASE = 6.0
# Another client notices with its next heartbeat that nobody has ticked for 5 s; then come the grace and two ticks. The rest is for a loaded machine,
# and far from what a downtime would cost: the lease and dbos_sys.reconnect_backoff, 90 s.
TAKEN_WITHIN = 5 + LEASE / 3 + GRACE / 1000 + 2 * TICK / 1000 + 10


def ticker(session):
    rows = session.query("SELECT ticked_by FROM dbos_ops.ticker WHERE last_tick IS NOT NULL")
    return rows and rows[0][0]


def ticker_dies(server):
    """without a background worker the client that ticks is killed: another ticks on, and takes its work within seconds"""
    session, lease = server.session(), ("--lease-ms", int(LEASE * 1000))
    victim = Worker(server, "start", "t1", "t1.victim", *LONG, "--step-ms", 3000, *lease).ready()
    until("it ticks", lambda: ticker(session) == f"dbos_sys/{incarnation(session, victim)}")
    heirs = [Worker(server, "work", "t1", f"t1.{name}", *lease).ready() for name in ("one", "two")]
    busy(session, victim, 6)
    until("bodies run", lambda: len(begun(victim)) >= 6)
    equal(ticker(session), f"dbos_sys/{incarnation(session, victim)}", "who ticks")
    victim.kill()
    killed = time.monotonic()
    until("its rows are taken", lambda: not pending(session, victim), TAKEN_WITHIN)
    took = time.monotonic() - killed
    assert took >= server.grace, f"taken {took:.1f} s after the death"
    equal(session.value("SELECT hold_until FROM dbos_ops.ticker"), "0", "hold, as after a downtime")
    finished(session, "t1")
    for heir in heirs:
        equal(executor(session, heir, "ended_at")[0], None, f"end of {heir.executor}, which lives")
        heir.stop()
    audit(session, victim, *heirs)


def tests(server, random):
    return [(test.__doc__, lambda test=test: test(server)) for test in (ticker_dies,)]
