"""Which transactions wake whom. Nothing here waits for a time in which nothing may
happen: after what must wake nobody, the same session finishes something, and the
first that the listener hears is that."""
import time

from common import INSERT, insert, need_worker, status
from harness import equal

# No tick and no poll is nearer than a minute: what comes sooner comes by a commit.
PROMPT_S = 0.5

FINISH = "SET LOCAL dbos_sys.quiet = on; CREATE TEMP TABLE mark ON COMMIT DROP AS SELECT 1; SELECT dbos_sys.wake(false, true)"


def drain(listener, writer):
    """All that is heard of what was committed before.

    The worker takes everything that is flagged at once, so one pass may be under way
    when we commit: the first `done` may be its, the second is later than our first.
    """
    heard = []
    for _ in range(2):
        writer.query(f"BEGIN; {FINISH}; COMMIT")
        got = []
        while "done" not in got:
            more = listener.payloads(5)
            assert more, "the worker sends no notification"
            got += more
        heard += got
    return heard


def settle(listener, writer):
    """Until nothing is under way: passes are heard in order, and those of earlier tests tell work."""
    while "work" in drain(listener, writer):
        pass


def wakes(listener, writer, *statements):
    settle(listener, writer)
    for statement in statements:
        writer.query(statement)
    begun = time.monotonic()
    heard = []
    while "work" not in heard:
        got = listener.payloads(5)
        assert got, f"nothing heard after {statements}"
        heard += got
    took = listener.cluster.disk.since(begun)
    assert took < PROMPT_S, f"heard after {took:.3f} s"


def wakes_nobody(listener, writer, *statements):
    settle(listener, writer)
    for statement in statements:
        writer.query(statement)
    heard = drain(listener, writer)
    assert "work" not in heard, f"{statements} woke: {heard}"


def insert_wakes(listener, writer):
    """a plain INSERT into dbos.workflow_status reaches a listener promptly"""
    wakes(listener, writer, INSERT.format("plain", "ENQUEUED"))


def insert_in_cte_wakes(listener, writer):
    """an INSERT inside a CTE reaches a listener promptly"""
    wakes(listener, writer, f"WITH made AS ({INSERT.format('cte', 'ENQUEUED')} RETURNING 1) SELECT count(*) FROM made")


def merge_wakes(listener, writer):
    """a MERGE reaches a listener promptly"""
    wakes(listener, writer,
          "MERGE INTO dbos.workflow_status AS w USING (VALUES ('merge')) AS v (id) ON w.workflow_uuid = v.id "
          "WHEN NOT MATCHED THEN INSERT (workflow_uuid, status, name) VALUES (v.id, 'ENQUEUED', 'test')")


def nested_insert_wakes(listener, writer):
    """an INSERT by a function that a SELECT calls reaches a listener promptly"""
    writer.query("CREATE FUNCTION pg_temp.nested() RETURNS void LANGUAGE plpgsql AS "
                 f"$$ BEGIN {INSERT.format('nested', 'ENQUEUED')}; END $$")
    wakes(listener, writer, "SELECT pg_temp.nested()")


def insert_after_rename_wakes(listener, writer):
    """a table that replaces dbos.workflow_status is noticed"""
    writer.query("BEGIN; ALTER SCHEMA dbos RENAME TO aside; CREATE SCHEMA dbos; "
                 "CREATE TABLE dbos.workflow_status (LIKE aside.workflow_status INCLUDING ALL); COMMIT")
    try:
        wakes(listener, writer, INSERT.format("replaced", "ENQUEUED"))
    finally:
        writer.query("BEGIN; DROP SCHEMA dbos CASCADE; ALTER SCHEMA aside RENAME TO dbos; COMMIT")
    wakes(listener, writer, INSERT.format("back", "ENQUEUED"))


def empty_update_wakes_nobody(listener, writer):
    """an UPDATE of no row wakes nobody"""
    wakes_nobody(listener, writer, "UPDATE dbos.workflow_status SET status = 'PENDING' WHERE workflow_uuid = 'absent'")


def rollback_wakes_nobody(listener, writer):
    """a transaction that rolls back wakes nobody, and nor does the next"""
    wakes_nobody(listener, writer, "BEGIN", INSERT.format("undone", "ENQUEUED"), "SELECT dbos_sys.wake(true, true)", "ROLLBACK",
                 "CREATE TEMP TABLE after_rollback (a int)")


def prepare_wakes_nobody(listener, writer):
    """PREPARE TRANSACTION and COMMIT PREPARED wake nobody"""
    wakes_nobody(listener, writer, "BEGIN", INSERT.format("prepared", "ENQUEUED"), "PREPARE TRANSACTION 'p1'",
                 "CREATE TEMP TABLE after_prepare (a int)", "COMMIT PREPARED 'p1'")


def other_table_wakes_nobody(listener, writer):
    """writes to other tables wake nobody"""
    wakes_nobody(listener, writer, "CREATE TEMP TABLE workflow_status (a int)", "INSERT INTO workflow_status VALUES (1)",
                 "DROP TABLE workflow_status")


def quiet_wakes_nobody(listener, writer):
    """with dbos_sys.quiet the hook is silent"""
    wakes_nobody(listener, writer, f"BEGIN; SET LOCAL dbos_sys.quiet = on; {INSERT.format('quiet', 'ENQUEUED')}; COMMIT")


def wake_without_write_wakes_nobody(listener, writer):
    """wake() in a transaction that wrote nothing wakes nobody"""
    wakes_nobody(listener, writer, "SELECT dbos_sys.wake(true, true)")


def wake_names_what(listener, writer):
    """wake(true, false) tells work alone, wake(NULL, true) done alone"""
    settle(listener, writer)
    writer.query(f"BEGIN; {FINISH.replace('false, true', 'true, NULL')}; COMMIT")
    heard = listener.payloads(5)
    while "work" not in heard:
        heard += listener.payloads(5) or ["nothing", "work"]
    # the drain's own `done` may come late, but never after the work
    equal([heard[-1], set(heard) - {"done"}], ["work", {"work"}])
    writer.query(f"BEGIN; {FINISH.replace('false, true', 'NULL, true')}; COMMIT")
    equal(listener.payloads(5), ["done"])


def flush(step="NULL", status="NULL"):
    """One run of executor quiet-1 in one trip: a step, or its end."""
    steps = "'{1}', '{0}', '{step}', '{1}', '{NULL}', '{1}', '{1}'" if step != "NULL" else ", ".join(["'{}'"] * 7)
    return ("SELECT FROM dbos_sys.flush('shop', 'quiet-1', 'q1', 'v1', false, '{quiet-run}', '{t}', '{f}', '{NULL}', '{NULL}', '{NULL}', "
            f"ARRAY[{status}], '{{1}}', '{{NULL}}', {steps}, '{{}}', '{{}}', '{{}}', '{{}}')")


def own_functions_tell_no_work(listener, writer):
    """claims, checkpoints, completions, cancels and deadlines tell nobody of work"""
    writer.query("SELECT FROM dbos_sys.register_queue('quiet')")
    writer.query("SELECT FROM dbos_sys.register_executor('shop', 'quiet-1', 'q1', 'v1')")
    writer.query("SELECT FROM dbos_sys.enqueue('quiet', '{w,w}', '{[],[]}', '{quiet-run,quiet-cancelled}')")
    writer.query("SELECT FROM dbos_sys.enqueue('quiet', '{x}', '{[]}', '{quiet-late}')")
    writer.query("UPDATE dbos.workflow_status SET workflow_deadline_epoch_ms = 1 WHERE workflow_uuid = 'quiet-late'")
    claim = "SELECT FROM dbos_sys.claim('shop', 'quiet-1', 'q1', 'v1', 't', '{quiet}', '{9}', '{w}', '{\"\"}', '{9}')"
    wakes_nobody(listener, writer, claim, claim, flush(step="0"), flush(status="'SUCCESS'"), "SELECT dbos_sys.cancel('{quiet-cancelled}')",
                 "SELECT dbos_sys.deadline_tick()")
    equal([status(writer, f"quiet-{name}") for name in ("run", "cancelled", "late")], ["SUCCESS", "CANCELLED", "CANCELLED"])
    writer.query("SELECT dbos_sys.retire_executor('shop', 'quiet-1', 'q1')")


def own_functions_tell_work_alone(listener, writer):
    """what enqueues tells work and nothing else: start, resume, give_back, a delay that is over"""
    writer.query("SELECT FROM dbos_sys.register_executor('shop', 'quiet-2', 'q2', 'v1')")
    writer.query("SELECT dbos_sys.start('w', p_id => 'quiet-later', p_queue => 'quiet', p_options => '{\"delay_ms\": 1}')")
    for statement in ("SELECT dbos_sys.start('y', p_id => 'quiet-first', p_queue => 'quiet')", "SELECT dbos_sys.resume('{quiet-first}', 'quiet')",
                      "SELECT dbos_sys.give_back('{quiet-first}', '{u}')", "SELECT dbos_sys.delayed_tick()"):
        writer.query("SELECT FROM dbos_sys.claim('shop', 'quiet-2', 'q2', 'v1', 'u', '{quiet}', '{9}', '{y}', '{\"\"}', '{9}')")
        settle(listener, writer)
        writer.query(statement)
        heard = []
        while "work" not in heard:
            got = listener.payloads(5)
            assert got, f"nothing heard after {statement}"
            heard += got
        # what one pass of the worker tells arrives together, work before done
        equal([statement, heard[-1]], [statement, "work"])
    writer.query("SELECT dbos_sys.retire_executor('shop', 'quiet-2', 'q2')")


def commits_are_gathered(listener, writer):
    """a burst of commits is told in fewer notifications than commits, the last one included"""
    settle(listener, writer)
    writer.query("SET synchronous_commit = off")
    writer.query("DO $$ BEGIN FOR i IN 1..2000 LOOP "
                 "INSERT INTO dbos.workflow_status (workflow_uuid, status, name) VALUES ('burst-' || i, 'SUCCESS', 'test'); "
                 "COMMIT; END LOOP; END $$")
    writer.query("RESET synchronous_commit")
    heard = drain(listener, writer)
    while "work" in (got := drain(listener, writer)):
        heard += got
    assert 1 <= heard.count("work") < 2000, f"{heard.count('work')} notifications"


def other_database_hears_nothing(listener, writer, cluster):
    """a commit wakes its own database's worker only"""
    other = cluster.session("other")
    other.query("CREATE SCHEMA IF NOT EXISTS dbos; CREATE TABLE IF NOT EXISTS dbos.workflow_status (workflow_uuid text)")
    other_listener = cluster.session("other")
    other_listener.query("LISTEN dbos_sys")
    need_worker(writer, database="other")
    other_writer = cluster.session("other")
    other_writer.query("CREATE EXTENSION IF NOT EXISTS dbos_sys")
    settle(other_listener, other_writer)
    settle(listener, writer)
    other.query("INSERT INTO dbos.workflow_status VALUES ('x')")
    assert "work" in drain(other_listener, other_writer), "nothing was heard in the other database"
    assert "work" not in drain(listener, writer), "the first database's worker was woken"


def run(tap, cluster):
    listener, writer = cluster.session(), cluster.session()
    need_worker(writer)
    listener.query("LISTEN dbos_sys")
    for test in (insert_wakes, insert_in_cte_wakes, merge_wakes, nested_insert_wakes, insert_after_rename_wakes,
                 empty_update_wakes_nobody, rollback_wakes_nobody, prepare_wakes_nobody, other_table_wakes_nobody,
                 quiet_wakes_nobody, wake_without_write_wakes_nobody, wake_names_what,
                 own_functions_tell_no_work, own_functions_tell_work_alone, commits_are_gathered):
        tap.run(test, listener, writer)
    tap.run(other_database_hears_nothing, listener, writer, cluster)
    cluster.close_sessions()
