"""The worker's rest: it sleeps while nothing is due, and who writes something that is ends it."""
import os
import signal
import time

from common import insert, insert_due, need_worker, reset_system, set_system, status, ticked
from harness import equal, until

# What is due by itself comes with a tick of its own; a tick each second would be this late half of the time.
ON_TIME_MS = 250
INTERVAL_MS = 1000


def now(session):
    return int(session.value("SELECT dbos_sys.now_ms()"))


def last_tick(session):
    return int(session.value("SELECT last_tick FROM dbos_ops.ticker"))


def rests(session):
    """Waits until the worker rests for a long time, and no commit has asked for a round that is still to come."""
    pid = need_worker(session)
    until("the worker rests", lambda: session.value(
        f"SELECT next_tick > dbos_sys.now_ms() + 30000 AND last_tick < dbos_sys.now_ms() - {INTERVAL_MS + 100} FROM dbos_ops.ticker") == "t")
    until("it sleeps", lambda: session.value(f"SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = {pid}") == "t")
    return pid


def ticks_soon(session, what):
    """Waits for the tick that a statement of a moment ago asked for."""
    since = now(session)
    until(f"a tick after {what}", lambda: last_tick(session) >= since - 50, 2 * INTERVAL_MS / 1000)


def sees_no_tick(cluster):
    """an idle database sees no tick, and its worker does not even wake"""
    session = cluster.session()
    worker = rests(session)
    look = f"SELECT state_change, (SELECT last_tick FROM dbos_ops.ticker), (SELECT xmin FROM dbos_ops.ticker) FROM pg_stat_activity WHERE pid = {worker}"
    before = session.query(look)
    # Reading, and writing elsewhere, is nothing to it.
    session.query("SELECT count(*) FROM dbos.workflow_status; CREATE TABLE public.elsewhere (a int); INSERT INTO public.elsewhere VALUES (1); DROP TABLE public.elsewhere")
    session.query("SELECT pg_sleep(6)")
    equal(session.query(look), before)


def insert_due_later(session, workflow, ms):
    return int(session.value("INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, delay_until_epoch_ms) "
                             f"VALUES ('{workflow}', 'DELAYED', 'test', 'q', dbos_sys.now_ms() + {ms}) RETURNING delay_until_epoch_ms"))


def late(session, workflow, due):
    """ms from that time to the last change of the workflow."""
    changed = int(session.value(f"SELECT updated_at FROM dbos.workflow_status WHERE workflow_uuid = '{workflow}'"))
    monotonic = time.monotonic() - time.time()
    return round(1000 * session.cluster.disk.seconds(due / 1000 + monotonic, changed / 1000 + monotonic))


def delay_ends_on_time(cluster):
    """a delay that a plain INSERT names is over when it says, though the worker was at rest"""
    session = cluster.session()
    for i in range(3):
        rests(session)
        due = insert_due_later(session, f"later-{i}", 1500 + 300 * i)
        ticked(session, f"later-{i}", 5)
        after = late(session, f"later-{i}", due)
        assert 0 <= after <= ON_TIME_MS, f"{after} ms late"


def nearest_delay_counts(cluster):
    """a nearer delay, or one that is changed, is heeded while a later one is waited for"""
    session = cluster.session()
    insert_due_later(session, "far", 3600000)
    rests(session)
    due = insert_due_later(session, "near", 1500)
    ticked(session, "near", 5)
    after = late(session, "near", due)
    assert 0 <= after <= ON_TIME_MS, f"{after} ms late"
    rests(session)
    due = int(session.value("UPDATE dbos.workflow_status SET delay_until_epoch_ms = dbos_sys.now_ms() + 1200 WHERE workflow_uuid = 'far' RETURNING delay_until_epoch_ms"))
    ticked(session, "far", 5)
    after = late(session, "far", due)
    assert 0 <= after <= ON_TIME_MS, f"{after} ms late"


def deadline_ends_on_time(cluster):
    """a deadline that a plain INSERT or UPDATE names cancels when it says"""
    session = cluster.session()
    insert(session, "timed-2")
    for i, statement in enumerate((
            "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, workflow_deadline_epoch_ms) "
            "VALUES ('timed-0', 'ENQUEUED', 'test', 'q', dbos_sys.now_ms() + 1500)",
            "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, workflow_deadline_epoch_ms) VALUES ('timed-1', 'PENDING', 'test', dbos_sys.now_ms() + 1600)",
            "UPDATE dbos.workflow_status SET workflow_deadline_epoch_ms = dbos_sys.now_ms() + 1700 WHERE workflow_uuid = 'timed-2'")):
        rests(session)
        due = int(session.value(f"{statement} RETURNING workflow_deadline_epoch_ms"))
        until("the workflow is cancelled", lambda: status(session, f"timed-{i}") == "CANCELLED", 5)
        after = late(session, f"timed-{i}", due)
        assert 0 <= after <= ON_TIME_MS, f"{after} ms late"


def own_functions_end_it(cluster):
    """what our own functions delay is due on time too: start(), a claim that sets a deadline"""
    session = cluster.session()
    rests(session)
    session.query("SELECT dbos_sys.start('w', p_id => 'own-later', p_queue => 'q', p_options => '{\"delay_ms\": 1500}')")
    due = int(session.value("SELECT delay_until_epoch_ms FROM dbos.workflow_status WHERE workflow_uuid = 'own-later'"))
    ticked(session, "own-later", 5)
    after = late(session, "own-later", due)
    assert 0 <= after <= ON_TIME_MS, f"{after} ms late"
    session.query("SELECT FROM dbos_sys.register_executor('shop', 'brief', 'brief-1', 'v1')")
    session.query("SELECT dbos_sys.start('timed', p_id => 'own-timed', p_queue => 'q', p_options => '{\"timeout_ms\": 1500}')")
    session.query("SELECT FROM dbos_sys.claim('shop', 'brief', 'brief-1', 'v1', 't', '{q}', '{9}', '{timed}', '{\"\"}', '{9}')")
    session.query("UPDATE dbos_ops.executors SET ended_at = 1")
    due = int(session.value("SELECT workflow_deadline_epoch_ms FROM dbos.workflow_status WHERE workflow_uuid = 'own-timed'"))
    until("the claimed workflow is cancelled", lambda: status(session, "own-timed") == "CANCELLED", 5)
    after = late(session, "own-timed", due)
    assert 0 <= after <= INTERVAL_MS + ON_TIME_MS, f"{after} ms late"


def writes_wake_waiters(cluster):
    """work that others write, and ends, wake listeners and parked CALLs while the worker rests"""
    session, listener, waiter = cluster.session(), cluster.session(), cluster.session()
    listener.query("LISTEN dbos_sys")
    rests(session)
    listener.payloads(0)
    begun = time.monotonic()
    insert(session, "told")
    equal(sorted(set(listener.payloads(5))), ["done", "work"])
    took = cluster.disk.since(begun)
    assert took < 0.5, f"told after {took:.3f} s"
    insert(session, "awaited", "PENDING")
    waiter.send("CALL dbos_sys.await('awaited', '20 s')")
    until("the CALL is parked", lambda: session.value(f"SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = {waiter.pid}") == "t")
    rests(session)
    session.query("UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid = 'awaited'")
    begun = time.monotonic()
    equal(waiter.rows()[0][0], "SUCCESS")
    took = cluster.disk.since(begun)
    assert took < 0.45, f"woken after {took:.3f} s"


def writes_do_not_hurry_ticks(cluster):
    """however much is written, rounds are an interval apart"""
    session, writer = cluster.session(), cluster.session()
    rests(session)
    seen, end = set(), time.monotonic() + 3.5
    written = 0
    while time.monotonic() < end:
        insert(writer, f"busy-{written}")
        written += 1
        seen.add(last_tick(session))
    gaps = [later - earlier for earlier, later in zip(sorted(seen)[1:], sorted(seen)[2:])]
    assert 3 <= len(seen) <= 5 and min(gaps) >= INTERVAL_MS - 20, f"{written} inserts, ticks after {gaps} ms"
    session.query("DELETE FROM dbos.workflow_status WHERE workflow_uuid LIKE 'busy-%'")


def executor_is_watched_over(cluster):
    """an executor that registers during a rest is told that the database is maintained; its death is noticed as ever, and none is put off"""
    session = cluster.session()
    rests(session)
    executor = cluster.session()
    executor.query("SET application_name = 'dbos_sys/rest-1'")
    equal(executor.value("SELECT maintained FROM dbos_sys.register_executor('shop', 'rest', 'rest-1', 'v1', 60000)"), "t")
    equal(executor.value("SELECT maintained FROM dbos_sys.heartbeat('rest', '60 s', 'shop', 'rest-1')"), "t")
    ticks_soon(session, "the registration")
    session.query("INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_name, executor_id, owner_xid) "
                  "VALUES ('orphan', 'PENDING', 'test', 'shop', 'rest', 't')")
    # Ticks go on while it lives and nobody writes.
    seen = last_tick(session)
    until("two more ticks", lambda: last_tick(session) >= seen + 2 * INTERVAL_MS, 4)
    gone = now(session)
    executor.close()
    ticked(session, "orphan", 6)
    took = late(session, "orphan", gone)
    # Noticed within a second, then the grace of two, then the next tick.
    assert 2000 <= took <= 4500, f"recovered after {took} ms"
    equal(session.value("SELECT hold_until < dbos_sys.now_ms() FROM dbos_ops.ticker"), "t", "recovery is not put off")
    rests(session)


def heartbeat_is_watched_over(cluster):
    """an executor of any SDK that sends its first heartbeat during a rest is recovered when its lease is over"""
    session = cluster.session()
    rests(session)
    session.query("INSERT INTO dbos.workflow_status (workflow_uuid, status, name, executor_id) VALUES ('beaten', 'PENDING', 'test', 'sdk')")
    rests(session)
    due = int(session.value("SELECT now_ms FROM dbos_sys.heartbeat('sdk', '2 s', p_accept_unfenced => true)")) + 2000
    ticked(session, "beaten", 6)
    after = late(session, "beaten", due)
    assert 0 <= after <= INTERVAL_MS + ON_TIME_MS, f"{after} ms late"


def standstill_with_executors_is_a_gap(cluster):
    """a machine that stood still since an executor came puts recovery off; a rest alone does not"""
    session = cluster.session()
    worker = rests(session)
    equal(session.value("SELECT hold_until < dbos_sys.now_ms() FROM dbos_ops.ticker"), "t", "recovery is not put off by a rest")
    os.kill(worker, signal.SIGSTOP)
    try:
        session.query("SELECT FROM dbos_sys.register_executor('shop', 'still', 'still-1', 'v1', 3000)")
        session.query("SELECT pg_sleep(5.5)")
    finally:
        os.kill(worker, signal.SIGCONT)
    until("the gap is noticed", lambda: session.value("SELECT hold_until > dbos_sys.now_ms() + 60000 FROM dbos_ops.ticker") == "t", 3)
    equal(session.value("SELECT state FROM dbos_sys.executors() WHERE executor_id = 'still'"), "expired")
    session.query("SELECT dbos_sys.retire_executor('shop', 'still', 'still-1')")
    session.query("UPDATE dbos_ops.ticker SET hold_from = 0, hold_until = 0")


def watch_ends_it(cluster):
    """watch() during a rest: sessions are looked at each second from then on"""
    session = cluster.session()
    rests(session)
    session.query("SELECT FROM dbos_sys.watch(NULL, session_name => 'rest_{executor}', force => true)")
    executor = cluster.session()
    executor.query("SET application_name = 'rest_one'")
    seen = "SELECT gone_since IS NULL FROM dbos_ops.watched_sessions WHERE session_name = 'rest_one'"
    until("the session is seen", lambda: session.query(seen) == [["t"]], 3)
    executor.close()
    until("its end is seen", lambda: session.query(seen) == [["f"]], 3)
    session.query("SELECT dbos_sys.unwatch(NULL)")
    rests(session)


def pause_is_kept(cluster):
    """a pause that somebody writes over during a rest holds again within an interval"""
    session = cluster.session()
    session.query("SELECT dbos_sys.register_queue('rested', '{\"concurrency\": 3}'), dbos_sys.pause_queue('rested')")
    rests(session)
    session.query("UPDATE dbos.queues SET concurrency = 7 WHERE name = 'rested'")
    concurrency = "SELECT concurrency FROM dbos.queues WHERE name = 'rested'"
    until("the pause holds again", lambda: session.value(concurrency) == "0", 3)
    session.query("SELECT dbos_sys.resume_queue('rested')")
    equal(session.value(concurrency), "7")


def settings_end_it(cluster):
    """a change of settings ends a rest"""
    session = cluster.session()
    rests(session)
    set_system(session, "dbos_sys.tick_interval", "900ms")
    ticks_soon(session, "the change")
    reset_system(session, "dbos_sys.tick_interval")


def extension_ends_it(cluster):
    """dropping or making the extension ends a rest: what is due may be new"""
    session = cluster.session()
    rests(session)
    paused = cluster.log().count("pauses")
    session.query("DROP EXTENSION dbos_sys")
    until("the worker notices", lambda: cluster.log().count("pauses") == paused + 1, 3)
    insert_due(session, "without")
    session.query("CREATE EXTENSION dbos_sys")
    ticked(session, "without", 3)


def run(tap, cluster):
    session = cluster.session()
    session.query("DELETE FROM dbos.workflow_status; DELETE FROM dbos_ops.executors")
    # The groups before this one let no tick happen: a gap.
    rests(session)
    session.query("UPDATE dbos_ops.ticker SET hold_from = 0, hold_until = 0")
    for test in (sees_no_tick, delay_ends_on_time, nearest_delay_counts, deadline_ends_on_time, own_functions_end_it, writes_wake_waiters,
                 writes_do_not_hurry_ticks, executor_is_watched_over, heartbeat_is_watched_over, standstill_with_executors_is_a_gap,
                 watch_ends_it, pause_is_kept, settings_end_it, extension_ends_it):
        tap.run(test, cluster)
        cluster.close_sessions()
