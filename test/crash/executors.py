"""Identity and death of executors, with real processes: who may write, who is recovered when."""
import signal
import time

from auditor import Audit
from lib import Worker, equal, finished, rows, until

GRACE, TICK = 2000, 1000
SIDE_BY_SIDE = 5
# What a loaded machine may add to a promised time.
SLACK = 2.0
LONG = ("--kinds", "chain", "--way", "direct", "--count", 6, "--threads", 6)


def pending(session, worker, more="true"):
    return rows(session, worker.prefix, "workflow_uuid, owner_xid, recovery_attempts", f"status = 'PENDING' AND executor_id = '{worker.executor}' AND {more}")


def executor(session, worker, columns):
    (row,) = session.query(f"SELECT {columns} FROM dbos_ops.executors WHERE application_name = '{worker.application}' AND executor_id = '{worker.executor}'")
    return row


def incarnation(session, worker):
    return executor(session, worker, "incarnation")[0]


def busy(session, worker, count=1):
    """Waits until the worker runs that many; their rows."""
    return until(f"{worker.executor} runs {count}", lambda: (lambda found: found if len(found) >= count else None)(pending(session, worker)))


def audit(session, *workers):
    return Audit(session, workers[0].prefix, workers[0].log, [worker.said for worker in workers]).run()


def begun(worker, after_us=0):
    """Lines of the log with which bodies began in this process after a time."""
    lines = [line.split("\t") for line in open(worker.log, encoding="utf-8")]
    return [f for f in lines if f[1] == str(worker.pid) and f[7] == "begin" and int(f[8]) > after_us]


def twin_is_refused(server):
    """a second live incarnation of an executor id is refused with WF020, and the first works on"""
    session = server.session()
    first = Worker(server, "start", "e1", "e1.one", *LONG, "--step-ms", 300).ready()
    busy(session, first, 6)
    before = incarnation(session, first)
    twin = Worker(server, "work", "e1", "e1.one")
    equal(twin.wait(), 3, "exit code of the second")
    assert "e1.one" in twin.stderr() and "in use" in twin.stderr() and "(WF020)" in twin.stderr(), twin.stderr()
    first.ends_well()
    equal(incarnation(session, first), before, "incarnation")
    found = audit(session, first)
    equal(set(found.bodies().values()), {1}, "bodies")
    equal({row[0] for row in rows(session, "e1", "recovery_attempts")}, {"1"}, "attempts")


def restart_takes_back(server):
    """a restart under a fixed executor id has its own rows back at once, without waiting for the grace or a lease"""
    session = server.session()
    first = Worker(server, "start", "e2", "e2.fixed", *LONG, "--step-ms", 200).ready()
    busy(session, first, 6)
    first.kill()
    killed = time.monotonic()
    # Until the server has noticed, the killed one still counts as there.
    name = f"dbos_sys/{incarnation(session, first)}"
    until("its sessions are gone", lambda: not session.query(f"SELECT FROM pg_stat_activity WHERE starts_with(application_name, left('{name}', 63))"))
    left = [row[0] for row in pending(session, first)]
    assert left, "nothing was PENDING"
    second = Worker(server, "work", "e2", "e2.fixed").ready()
    taken = time.monotonic() - killed
    equal(executor(session, second, "ended_at")[0], None, "ended_at")
    still = rows(session, "e2", "workflow_uuid", f"status = 'PENDING' AND recovery_attempts = 1 AND workflow_uuid = ANY ('{{{','.join(left)}}}')")
    equal(still, [], f"rows of the earlier incarnation {taken:.2f} s after its death")
    finished(session, "e2")
    second.stop()
    audit(session, first, second)


def zombie_is_fenced(server):
    """SIGSTOP beyond the lease, then SIGCONT: the zombie's writes are refused, its runs begin nothing more, and it joins again"""
    session = server.session()
    zombie = Worker(server, "start", "e3", "e3.zombie", *LONG, "--step-ms", 400, "--lease-ms", 2000).ready()
    busy(session, zombie, 6)
    until("bodies run", lambda: len(begun(zombie)) >= 6)
    zombie.signal(signal.SIGSTOP)
    first = incarnation(session, zombie)
    until("its lease is over", lambda: executor(session, zombie, "ended_why")[0] == "lease over", 2 + 1 + SLACK + 4)
    heir = Worker(server, "work", "e3", "e3.heir", "--step-ms", 300).ready()
    busy(session, heir, 6)
    zombie.signal(signal.SIGCONT)
    woken = time.time_ns() // 1000
    until("the zombie joins again", lambda: executor(session, zombie, "incarnation, ended_at") not in ([first, None],) and incarnation(session, zombie) != first, 20)
    until("the sessions of the incarnation that ended are gone", lambda: not session.query(
        f"SELECT FROM pg_stat_activity WHERE starts_with(application_name, left('dbos_sys/{first}', 63))"), 3)
    zombie.ends_well()
    finished(session, "e3")
    heir.stop()
    equal([f for f in begun(zombie, woken) if f[6] == "1"], [], "bodies that the zombie began")
    audit(session, zombie, heir)
    equal(len(zombie.words("result")), 6, "waiters of the zombie that were told")


def terminated_sessions_come_back(server):
    """pg_terminate_backend of all sessions of a live worker, again and again: it is back within the grace, nothing is lost or run twice"""
    session = server.session()
    worker = Worker(server, "start", "e4", "e4.live", "--count", 20, "--step-ms", 150, "--nap-ms", 1500).ready()
    first = incarnation(session, worker)
    cut = 0
    for _ in range(6):
        before = cut
        cut += len(session.query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE starts_with(application_name, left('dbos_sys/{first}', 63))"))
        if not worker.alive():
            break
        assert cut > before, "the worker had no session"
        until("a session is back", lambda: not worker.alive() or session.query(
            f"SELECT FROM pg_stat_activity WHERE starts_with(application_name, left('dbos_sys/{first}', 63))"), 2 + SLACK)
        time.sleep(0.3)
    worker.ends_well()
    assert cut >= 6, f"only {cut} sessions were cut"
    finished(session, "e4")
    equal(incarnation(session, worker), first, "incarnation")
    found = audit(session, worker)
    equal(set(found.bodies().values()), {1}, "bodies")
    equal(len(worker.words("result")) + len(worker.words("failed")), 20, "waiters told")


def vanished_is_recovered(server):
    """the work of a worker that vanished is taken within the grace and 2 s, and no sooner than the grace"""
    session = server.session()
    heir = Worker(server, "work", "e5", "e5.heir").ready()
    victim = Worker(server, "start", "e5", "e5.victim", *LONG, "--step-ms", 3000).ready()
    busy(session, victim, 6)
    until("bodies run", lambda: len(begun(victim)) >= 6)
    victim.kill()
    killed = time.monotonic()
    until("its rows are taken", lambda: not pending(session, victim), 20)
    took = time.monotonic() - killed
    assert server.grace <= took <= server.grace + 2 + SLACK, f"taken {took:.1f} s after the death"
    equal(executor(session, victim, "ended_why")[0], "sessions gone")
    finished(session, "e5")
    heir.stop()
    audit(session, victim, heir)


def shutdown_hands_back(server):
    """SIGTERM puts unfinished runs back ENQUEUED with their attempts not counted, and leaves no session and no lock"""
    session = server.session()
    worker = Worker(server, "start", "e6", "e6.leaving", "--kinds", "nap", "--count", 8, "--threads", 8, "--nap-ms", 60000).ready()
    busy(session, worker, 8)
    until("all sleep", lambda: len(session.query("SELECT FROM dbos.operation_outputs WHERE starts_with(workflow_uuid, 'e6-') AND function_name = 'DBOS.sleep'")) == 8)
    name = f"dbos_sys/{incarnation(session, worker)}"
    worker.signal(signal.SIGTERM)
    before = time.monotonic()
    worker.ends_well()
    took = time.monotonic() - before
    assert took < 3 + SLACK, f"the shutdown took {took:.1f} s"
    found = rows(session, "e6", "status, recovery_attempts, owner_xid, queue_name")
    equal({(row[0], row[1], row[2]) for row in found}, {("ENQUEUED", "0", None)}, "rows")
    equal({row[3] for row in found}, {"_dbos_internal_queue", "e6 work"}, "queues")
    equal(executor(session, worker, "ended_why")[0], "retired")
    until("its sessions are gone", lambda: not session.query(f"SELECT FROM pg_stat_activity WHERE starts_with(application_name, left('{name}', 63))"), 3)
    session.query("UPDATE dbos.operation_outputs SET output = dbos_sys.now_ms() WHERE starts_with(workflow_uuid, 'e6-') AND function_name = 'DBOS.sleep'")
    heir = Worker(server, "work", "e6", "e6.heir", "--until-idle")
    heir.ends_well()
    found = audit(session, worker, heir)
    equal(set(found.bodies().values()), {1}, "bodies")
    equal({row["attempts"] for row in found.listed}, {"1"}, "attempts")


def shutdown_does_not_wait_for_ever(server):
    """a clean shutdown does not wait for a body that does not end: its run is handed back"""
    session = server.session()
    worker = Worker(server, "start", "e7", "e7.stuck", "--kinds", "chain", "--way", "direct", "--count", 1, "--threads", 1, "--step-ms", 25000).ready()
    busy(session, worker)
    until("the body runs", lambda: begun(worker))
    worker.signal(signal.SIGTERM)
    before = time.monotonic()
    worker.ends_well(20)
    took = time.monotonic() - before
    assert took < 8 + SLACK, f"the shutdown took {took:.1f} s"
    equal(rows(session, "e7", "status, recovery_attempts, owner_xid"), [["ENQUEUED", "0", None]])
    heir = Worker(server, "work", "e7", "e7.heir", "--until-idle")
    heir.ends_well()
    audit(session, worker, heir)


def cancelled_runs_stop(server):
    """cancel: a run begins no further body, and its end is not overwritten"""
    session = server.session()
    worker = Worker(server, "start", "e8", "e8.worker", "--kinds", "chain", "--count", 4, "--step-ms", 400).ready()
    until("bodies run", lambda: len(begun(worker)) >= 4)
    equal(session.value("SELECT dbos_sys.cancel(ARRAY['e8-chain-0', 'e8-chain-1'])"), "2")
    cancelled = time.time_ns() // 1000
    worker.ends_well()
    equal([row[0] for row in rows(session, "e8", "status")], ["CANCELLED", "CANCELLED", "SUCCESS", "SUCCESS"])
    late = [f for f in begun(worker, cancelled) if f[2] in ("e8-chain-0", "e8-chain-1")]
    equal(late, [], "bodies begun after the cancel")
    audit(session, worker)


def tests(server, random):
    listed = (shutdown_does_not_wait_for_ever, zombie_is_fenced, vanished_is_recovered, terminated_sessions_come_back, shutdown_hands_back, twin_is_refused,
              restart_takes_back, cancelled_runs_stop)
    return [(test.__doc__, lambda test=test: test(server)) for test in listed]
