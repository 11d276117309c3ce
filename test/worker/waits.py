"""CALL await and wait_for_work."""
import time

from common import insert, need_worker
from harness import equal, raises, until


def parked(session, waiter):
    """Waits until the other session sleeps inside its CALL."""
    until("the CALL is parked", lambda: session.value(
        "SELECT wait_event_type = 'Extension' AND backend_xmin IS NULL AND backend_xid IS NULL "
        f"FROM pg_stat_activity WHERE pid = {waiter.pid}") == "t")


def finish(session, workflow, state="SUCCESS"):
    session.query(f"UPDATE dbos.workflow_status SET status = '{state}', output = '{{\"a\":1}}' WHERE workflow_uuid = '{workflow}'")


def await_returns_outcome(session, waiter):
    """await returns status and output of a workflow that has ended"""
    insert(session, "ended", "PENDING")
    finish(session, "ended")
    equal(waiter.query("CALL dbos_sys.await('ended')"), [["SUCCESS", '{"a":1}', None]])


def await_is_woken(session, waiter):
    """a parked await is woken by the commit, not by its poll"""
    worst = 0.0
    for i in range(8):
        insert(session, f"woken-{i}", "PENDING")
        waiter.send(f"CALL dbos_sys.await('woken-{i}', '20 s')")
        parked(session, waiter)
        finish(session, f"woken-{i}")
        begun = time.monotonic()
        equal(waiter.rows(), [["SUCCESS", '{"a":1}', None]])
        worst = max(worst, session.cluster.disk.since(begun))
    assert worst < 0.45, f"woken after {worst:.3f} s"


def await_waits_for_unknown_id(session, waiter):
    """await waits for a workflow that does not exist yet"""
    waiter.send("CALL dbos_sys.await('later', '20 s')")
    parked(session, waiter)
    insert(session, "later", "PENDING")
    assert waiter.running(), "returned while the workflow is PENDING"
    finish(session, "later", "ERROR")
    equal(waiter.rows()[0][0], "ERROR")


def await_times_out(session, waiter):
    """at its timeout await returns the present status, NULL for an unknown id"""
    insert(session, "slow", "PENDING")
    equal(waiter.query("CALL dbos_sys.await('slow', '0.2 s')"), [["PENDING", None, None]])
    equal(waiter.query("CALL dbos_sys.await('slow', '0')"), [["PENDING", None, None]])
    equal(waiter.query("CALL dbos_sys.await('nowhere', '0.1 s')"), [[None, None, None]])


def await_pins_nothing(session, waiter):
    """a parked await pins no horizon, whatever the isolation level"""
    for level in ("read committed", "repeatable read", "serializable"):
        waiter.query(f"SET default_transaction_isolation = '{level}'")
        waiter.send("CALL dbos_sys.await('never', '20 s')")
        parked(session, waiter)
        # also after further looks
        for _ in range(20):
            session.query("BEGIN; CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1; SELECT dbos_sys.wake(false, true); COMMIT")
        parked(session, waiter)
        assert waiter.running(), "the CALL has ended"
        session.query(f"SELECT pg_cancel_backend({waiter.pid})")
        try:
            waiter.rows()
            raise AssertionError("the CALL was not cancelled")
        except Exception as error:
            equal(getattr(error, "state", error), "57014")
    waiter.query("RESET default_transaction_isolation")


def await_ends_by_statement_timeout(session, waiter):
    """statement_timeout ends a parked await"""
    waiter.query("SET statement_timeout = '300ms'")
    raises("57014", waiter, "CALL dbos_sys.await('never', '20 s')")
    waiter.query("RESET statement_timeout")


def await_inside_plpgsql(session, waiter):
    """a procedure outside of a transaction may call await"""
    waiter.query("CREATE PROCEDURE pg_temp.outer(INOUT r text) LANGUAGE plpgsql AS $$ DECLARE o text; e text; "
                 "BEGIN FOR i IN 1..2 LOOP CALL dbos_sys.await('ended', '1 s', r, o, e); END LOOP; r := r || o; END $$")
    equal(waiter.value("CALL pg_temp.outer(NULL)"), 'SUCCESS{"a":1}')


def await_refuses_transactions(session, waiter):
    """await inside a transaction block, function, or exception block is WF015"""
    waiter.query("BEGIN")
    raises("WF015", waiter, "CALL dbos_sys.await('ended')")
    waiter.query("ROLLBACK")
    block = "DO $$ DECLARE s text; o text; e text; BEGIN {} CALL dbos_sys.await('never', '1 s', s, o, e); {} END $$"
    raises("WF015", waiter, block.format("BEGIN", "EXCEPTION WHEN division_by_zero THEN END;"))
    waiter.query("CREATE FUNCTION pg_temp.inner() RETURNS void LANGUAGE plpgsql AS $$ DECLARE s text; o text; e text; "
                 "BEGIN CALL dbos_sys.await('ended', '1 s', s, o, e); END $$")
    raises("WF015", waiter, "SELECT pg_temp.inner()")
    raises("WF015", waiter, "SELECT 1; CALL dbos_sys.await('ended')")


def await_refuses_bad_input(session, waiter):
    """bad ids and timeouts are WF001"""
    for arguments in ("NULL", "''", "E' \\t '", "repeat('x', 513)", "'a', NULL", "'a', '-1 s'", "'a', '101 years'",
                      "'a', '-178000000 years'", "'a', '170000000 years'"):
        raises("WF001", waiter, f"CALL dbos_sys.await({arguments})")
    equal(waiter.query("CALL dbos_sys.await(repeat('x', 512), '0')"), [[None, None, None]])


def work_is_found(session, waiter):
    """wait_for_work returns at once when a workflow is ENQUEUED on one of the queues"""
    insert(session, "waiting")
    equal(waiter.query("CALL dbos_sys.wait_for_work(ARRAY['other', 'q'], '20 s')"), [["t"]])
    session.query("DELETE FROM dbos.workflow_status WHERE status = 'ENQUEUED'")


def work_wakes(session, waiter):
    """a parked wait_for_work is woken by an enqueue, and by no other queue's"""
    waiter.send("CALL dbos_sys.wait_for_work(ARRAY['q'], '20 s')")
    parked(session, waiter)
    session.query("INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name) VALUES ('else', 'ENQUEUED', 't', 'else')")
    parked(session, waiter)
    assert waiter.running(), "woken by another queue"
    insert(session, "enqueued")
    begun = time.monotonic()
    equal(waiter.rows(), [["t"]])
    assert session.cluster.disk.since(begun) < 0.3, "woken late"
    session.query("DELETE FROM dbos.workflow_status WHERE status = 'ENQUEUED'")


def work_times_out(session, waiter):
    """wait_for_work without work returns false at its timeout"""
    equal(waiter.query("CALL dbos_sys.wait_for_work(ARRAY['empty'], '0.2 s')"), [["f"]])


def work_refuses_bad_input(session, waiter):
    """wait_for_work refuses NULL, empty and NULL-holding lists, and transactions"""
    for queues in ("NULL", "'{}'", "ARRAY['q', NULL]"):
        raises("WF001", waiter, f"CALL dbos_sys.wait_for_work({queues}, '1 s')")
    waiter.query("BEGIN")
    raises("WF015", waiter, "CALL dbos_sys.wait_for_work(ARRAY['q'])")
    waiter.query("ROLLBACK")


def many_are_woken(session, cluster):
    """thirty parked CALLs are woken by one commit"""
    insert(session, "shared", "PENDING")
    waiters = [cluster.session() for _ in range(30)]
    for waiter in waiters:
        waiter.send("CALL dbos_sys.await('shared', '20 s')")
    for waiter in waiters:
        parked(session, waiter)
    finish(session, "shared")
    begun = time.monotonic()
    for waiter in waiters:
        equal(waiter.rows()[0][0], "SUCCESS")
    assert cluster.disk.since(begun) < 0.9, "some were woken by their poll"


def run(tap, cluster):
    session, waiter = cluster.session(), cluster.session()
    need_worker(session)
    for test in (await_returns_outcome, await_is_woken, await_waits_for_unknown_id, await_times_out, await_pins_nothing,
                 await_ends_by_statement_timeout, await_inside_plpgsql, await_refuses_transactions, await_refuses_bad_input,
                 work_is_found, work_wakes, work_times_out, work_refuses_bad_input):
        tap.run(test, session, waiter)
    tap.run(many_are_woken, session, cluster)
    cluster.close_sessions()
