"""Servers without a background worker: a client ticks. It dies, or the server stands still."""
import os
import signal
import time

from executors import LONG, audit, begun, busy, executor, incarnation, pending
from lib import Worker, equal, finished, until

GRACE, TICK = 2000, 1000
MAINTAINED = False
SIDE_BY_SIDE = 1
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


def server_processes(server):
    """The postmaster and its children."""
    postmaster = int(server.env["PID"])
    with open(f"/proc/{postmaster}/task/{postmaster}/children", encoding="ascii") as children:
        return [postmaster, *map(int, children.read().split())]


def server_stands_still(server):
    """without a background worker the server stands still for longer than the leases: nobody is declared dead, whoever's heartbeat comes first"""
    session, lease = server.session(), ("--lease-ms", int(LEASE * 1000))
    workers = [Worker(server, "start", f"t2{name}", f"t2.{name}", *LONG, "--step-ms", 3000, *lease, application="t2").ready() for name in "abcd"]
    until("one of them ticks", lambda: ticker(session) in [f"dbos_sys/{incarnation(session, worker)}" for worker in workers])
    for worker in workers:
        busy(session, worker, 6)
    before = int(session.value("SELECT hold_until FROM dbos_ops.ticker"))
    processes = server_processes(server)
    try:
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        time.sleep(LEASE + 4)
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)
    until("it is taken for a downtime", lambda: int(session.value("SELECT hold_until FROM dbos_ops.ticker")) > before)
    for worker in workers:
        # Who has done its part leaves.
        assert executor(session, worker, "ended_why")[0] in (None, "retired"), f"{worker.executor} was declared dead"
        finished(session, worker.prefix)
        equal(session.query(f"SELECT workflow_uuid FROM dbos.workflow_status WHERE workflow_uuid LIKE '{worker.prefix}-%' AND recovery_attempts > 1"), [],
              f"taken from {worker.executor}, which lives")
    for worker in workers:
        worker.stop()
        audit(session, worker)


def tests(server, random):
    return [(test.__doc__, lambda test=test: test(server)) for test in (ticker_dies, server_stands_still)]
