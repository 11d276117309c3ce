#!/usr/bin/env python3
"""Groups of the suite `retention` that need SQL sessions alone. retention.py GROUP; prints TAP.

SEED in the environment repeats a run of `kills`; the seed is printed."""
import os
import random
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "worker")]

import cron
from harness import CLUSTER, Cluster, SqlError, Tap, equal, raises, until

DATABASE = "retention"
WORKFLOWS = 5000
FILL = """
  INSERT INTO dbos.workflow_status (workflow_uuid, status, name, created_at, updated_at, completed_at)
  SELECT 'w' || n, 'SUCCESS', 'w' || n % 7, 1790000000000, 1790000000000, 1790000000000 + n FROM generate_series(1, {0}) AS n;
  INSERT INTO dbos.workflow_input (workflow_uuid, inputs) SELECT 'w' || n, '["' || md5(n::text) || '"]' FROM generate_series(1, {0}) AS n;
  INSERT INTO dbos.workflow_output (workflow_uuid, output) SELECT 'w' || n, '"' || n || '"' FROM generate_series(1, {0}) AS n;
  INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, output) SELECT 'w' || n, s, 'step', md5(n || '/' || s)
  FROM generate_series(1, {0}) AS n, generate_series(0, 2) AS s;
  INSERT INTO dbos.notifications (destination_uuid, message) SELECT 'w' || n, '"hello"' FROM generate_series(1, {0}, 3) AS n;
  INSERT INTO dbos.workflow_events (workflow_uuid, key, value) SELECT 'w' || n, 'k', '1' FROM generate_series(1, {0}, 2) AS n;
  INSERT INTO dbos.workflow_events_history (workflow_uuid, function_id, key, value) SELECT 'w' || n, 1, 'k', '1' FROM generate_series(1, {0}, 2) AS n;
  INSERT INTO dbos.streams (workflow_uuid, key, value, "offset") SELECT 'w' || n, 'k', '1', 0 FROM generate_series(1, {0}, 5) AS n"""
# Rows of each workflow in all tables.
ROWS = """
  SELECT t.id, count(*) AS rows FROM (
    SELECT workflow_uuid FROM dbos.workflow_status UNION ALL SELECT workflow_uuid FROM dbos.workflow_input UNION ALL SELECT workflow_uuid FROM dbos.workflow_output
    UNION ALL SELECT workflow_uuid FROM dbos.operation_outputs UNION ALL SELECT destination_uuid FROM dbos.notifications
    UNION ALL SELECT workflow_uuid FROM dbos.workflow_events UNION ALL SELECT workflow_uuid FROM dbos.workflow_events_history
    UNION ALL SELECT workflow_uuid FROM dbos.streams) AS t(id) GROUP BY 1"""
TABLES = {"workflow_status": "workflow_uuid", "workflow_input": "workflow_uuid", "workflow_output": "workflow_uuid", "operation_outputs": "workflow_uuid",
          "notifications": "destination_uuid", "workflow_events": "workflow_uuid", "workflow_events_history": "workflow_uuid", "streams": "workflow_uuid"}
# Each seventh workflow comes back from the archive, to be held against what it was.
CONTENTS = "SELECT count(*), md5(string_agg(line, E'\\n' ORDER BY line COLLATE \"C\")) FROM (" + " UNION ALL ".join(
    f"SELECT t::text FROM dbos.{table} AS t WHERE substr({column}, 2)::integer % 7 = 0" for table, column in TABLES.items()) + ") AS l(line)"


def make(cluster, database=DATABASE, owner=None):
    cluster.session("postgres").query(f"CREATE DATABASE {database} TEMPLATE template0")
    session = cluster.session(database)
    session.query("CREATE EXTENSION dbos_sys")
    session.query(f"SELECT dbos_sys.install({repr(owner) if owner else ''})")
    return session


def fill(session, workflows=WORKFLOWS):
    session.query(FILL.format(workflows), 120)


def empty(session):
    session.query("TRUNCATE dbos.workflow_status, dbos.workflow_input, dbos.workflow_output, dbos.operation_outputs, dbos.notifications, dbos.workflow_events, "
                  "dbos.workflow_events_history, dbos.streams, dbos_ops.retention_policies, dbos_ops.pruner, dbos_ops.prune_marks, dbos_ops.archive, dbos_ops.retention_holds")


def prune(session, timeout=60):
    """(workflows, orphans, cancelled, note)"""
    workflows, orphans, cancelled, _, note = session.query("CALL dbos_sys.prune()", timeout)[0]
    return int(workflows), int(orphans), int(cancelled), note


def halves(session):
    """Workflows that are not whole in the tables or whole in the archive, or are in both."""
    return session.query(f"""
      WITH here AS ({ROWS}),
      there AS (SELECT l.id, count(*) AS rows FROM (SELECT DISTINCT a.first_ended, a.chunk FROM dbos_ops.archive AS a) AS c,
        LATERAL dbos_sys.archive_lines(c.first_ended, c.chunk) AS l GROUP BY 1)
      SELECT w.id, w.rows, h.rows, t.rows FROM public.wanted AS w LEFT JOIN here AS h USING (id) LEFT JOIN there AS t USING (id)
      WHERE COALESCE(h.rows, 0) + COALESCE(t.rows, 0) <> w.rows OR (h.rows IS NOT NULL AND t.rows IS NOT NULL)""", 60)


def counts(session):
    return [int(n) for n in session.query("SELECT (SELECT count(*) FROM dbos.workflow_status), "
                                          "(SELECT COALESCE(sum(cardinality(ids)), 0) FROM dbos_ops.archive WHERE part = 0)")[0]]


def broken(session):
    try:
        session.query("SELECT 1")
        return False
    except SqlError:
        return True


def kill_until_done(cluster, rng, how):
    """Prunes, is killed at random moments, and goes on; returns the kills."""
    kills, pid_file = 0, os.path.join(cluster.env["DATA"], "postmaster.pid")
    while True:
        session, killer = cluster.session(DATABASE), cluster.session(DATABASE)
        session.send("CALL dbos_sys.prune()")
        # A cancel that comes before the call is lost.
        until("the call has begun", lambda: killer.value(f"SELECT query LIKE 'CALL%' FROM pg_stat_activity WHERE pid = {session.pid}") == "t")
        # The first ones hardly come to a batch, later ones to some. All of it takes half a second.
        time.sleep(rng.uniform(0.0, 0.05 * 1.3 ** kills))
        if how == "terminate":
            killer.query(f"SELECT pg_terminate_backend({session.pid})")
        elif how == "cancel":
            killer.query(f"SELECT pg_cancel_backend({session.pid})")
        elif how == "kill":
            os.kill(session.pid, signal.SIGKILL)
        else:
            # As `scripts/cluster crash` does, and sooner.
            with open(pid_file, encoding="ascii") as file:
                os.kill(int(file.readline()), signal.SIGQUIT)
        try:
            done = session.rows(30)[0][4] == "done"
        except SqlError:
            done = False
            kills += 1
        if how == "kill":
            # The postmaster ends everybody once it has noticed.
            until("the server notices", lambda: broken(killer))
        cluster.close_sessions()
        if how == "crash":
            until("the server is down", lambda: not os.path.exists(pid_file))
            cluster.start()
        until("the server answers", lambda: cluster.session(DATABASE).value("SELECT 1") == "1")
        found = halves(cluster.session(DATABASE))
        equal(found[:3], [], f"workflows in neither, both or half after {kills} kills")
        if done:
            return kills


def kills_lose_nothing(cluster, rng, how):
    session = cluster.session(DATABASE)
    empty(session)
    fill(session)
    session.query(f"DROP TABLE IF EXISTS public.wanted; CREATE TABLE public.wanted AS {ROWS}", 60)
    before = session.query(CONTENTS)
    session.query("SELECT dbos_sys.retain('1 day', archive => true, force => true)")
    kills = kill_until_done(cluster, rng, how)
    session = cluster.session(DATABASE)
    equal(counts(session), [0, WORKFLOWS], "in the tables, in the archive")
    restored = int(session.value("SELECT count(dbos_sys.restore(u.id)) FROM (SELECT unnest(ids) AS id FROM dbos_ops.archive) AS u WHERE substr(u.id, 2)::integer % 7 = 0", 120))
    equal(session.query(CONTENTS), before, "rows after restore()")
    equal(prune(session)[0], 0, "pruned of what was just restored")
    equal(counts(session), [restored, WORKFLOWS - restored], "in the tables, in the archive")
    print(f"# {how}: {kills} calls killed", flush=True)
    if kills < 2:
        raise AssertionError(f"only {kills} calls were under way when they were killed")


def run_kills(tap):
    seed = int(os.environ.get("SEED", time.time()))
    rng = random.Random(seed)
    print(f"# SEED={seed}", flush=True)
    cluster = Cluster("kills", "--no-preload")
    try:
        make(cluster)
        for how, name in (("terminate", "whose session is terminated"), ("cancel", "that is cancelled"), ("kill", "whose process is killed"),
                          ("crash", "whose server crashes")):
            def test(how=how):
                kills_lose_nothing(cluster, rng, how)
            test.__doc__ = f"a prune {name}, again and again, loses no row and halves no workflow, and is done in the end"
            tap.run(test)
    finally:
        cluster.destroy()


def two_at_once(cluster):
    """of two prunes one works, the other returns at once and says who does"""
    session = cluster.session(DATABASE)
    empty(session)
    fill(session)
    session.query("SELECT dbos_sys.retain('1 day', force => true)")
    first, second = cluster.session(DATABASE), cluster.session(DATABASE)
    first.send("CALL dbos_sys.prune()")
    until("the first works", lambda: session.query("SELECT runner FROM dbos_ops.pruner") == [[str(first.pid)]])
    begin = time.monotonic()
    others = [prune(second) for _ in range(3)]
    lasted = time.monotonic() - begin
    if first.running():
        equal({note for *_, note in others}, {f"another session prunes, or changes policies: pid {first.pid}"}, "notes of the second")
        equal(sum(n for n, *_ in others), 0, "workflows of the second")
    else:
        raise AssertionError("the first ended before the second was called")
    if lasted > 1.5:
        raise AssertionError(f"three calls took {lasted:.1f} s")
    workflows, _, _, _, note = first.rows(60)[0]
    equal((int(workflows), note), (WORKFLOWS, "done"), "the first")


def many_at_once(cluster):
    """eight sessions that prune again and again delete each workflow once, and nothing fails"""
    session = cluster.session(DATABASE)
    empty(session)
    fill(session)
    session.query("SELECT dbos_sys.retain('1 day', archive => true, force => true)")
    results, failures = [], []

    def work():
        try:
            mine = cluster.session(DATABASE)
            while counts(mine)[0]:
                results.append(prune(mine))
        except Exception as error:  # told below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [], "failures")
    equal(sum(workflows for workflows, *_ in results), WORKFLOWS, "workflows pruned by all")
    equal(counts(session), [0, WORKFLOWS], "in the tables, in the archive")


def held_rows_stay(cluster):
    """a workflow to which a message, a stream entry or a resume is under way is passed over, and not waited for"""
    session, other = cluster.session(DATABASE), cluster.session(DATABASE)
    for statement, left in (("INSERT INTO dbos.notifications (destination_uuid, message) VALUES ('w1', '\"late\"')", "SUCCESS"),
                            ("INSERT INTO dbos.streams (workflow_uuid, key, value, \"offset\") VALUES ('w1', 'late', '1', 9)", "SUCCESS"),
                            ("SELECT dbos_sys.resume('{w1}')", "ENQUEUED")):
        empty(session)
        fill(session, 10)
        session.query("UPDATE dbos.workflow_status SET status = 'CANCELLED' WHERE workflow_uuid = 'w1'")
        session.query("SELECT dbos_sys.retain('1 day', force => true)")
        other.query("BEGIN")
        other.query(statement)
        begin = time.monotonic()
        equal(prune(session)[0], 9, f"pruned during {statement}")
        if time.monotonic() - begin > 1:
            raise AssertionError(f"it waited for {statement}")
        other.query("COMMIT")
        equal(session.query("SELECT workflow_uuid FROM dbos.workflow_status"), [["w1"]], f"left after {statement}")
        # The marks go back to the start within the hour.
        session.query("UPDATE dbos_ops.pruner SET full_at = 0")
        equal(prune(session)[0], 0 if left == "ENQUEUED" else 1, f"pruned after {statement}")


def locked_tables(cluster):
    """a locked table is waited for two seconds, told of, and the next call goes on"""
    session, other = cluster.session(DATABASE), cluster.session(DATABASE)
    empty(session)
    fill(session, 3000)
    session.query("SELECT dbos_sys.retain('1 day', force => true)")
    other.query("BEGIN; LOCK TABLE dbos.streams IN ACCESS EXCLUSIVE MODE")
    begin = time.monotonic()
    workflows, _, _, note = prune(session)
    lasted = time.monotonic() - begin
    equal((workflows, note), (0, "a lock on a table was not to be had in 2 s; the next call goes on"), "while locked")
    if not 1.5 < lasted < 6:
        raise AssertionError(f"it took {lasted:.1f} s")
    other.query("ROLLBACK")
    equal(prune(session)[0], 3000, "after that")


def prune_beside_restore(cluster):
    """a prune beside a restore under way touches neither it nor what it restores, and two restores give one workflow"""
    session, one, two = (cluster.session(DATABASE) for _ in range(3))
    empty(session)
    fill(session, 200)
    session.query("SELECT dbos_sys.retain('1 day', archive => true, force => true)")
    prune(session)
    one.query("BEGIN")
    one.query("SELECT dbos_sys.restore('w5')")
    two.send("SELECT dbos_sys.restore('w5')")
    equal(prune(session), (0, 0, 0, "done"), "prune beside restore()")
    one.query("COMMIT")
    try:
        two.rows()
        raise AssertionError("the second restore() found a workflow too")
    except SqlError as error:
        equal(error.state, "WF011", "of the second restore()")
    equal(prune(session)[0], 0, "pruned of what was restored")
    equal(counts(session), [1, 199], "in the tables, in the archive")
    one.query("BEGIN")
    one.query("SELECT dbos_sys.restore('w6')")
    one.query("ROLLBACK")
    equal(counts(session), [1, 199], "after a restore() that was rolled back")


def long_transactions(cluster):
    """while an old transaction holds vacuum back, later batches are not slower than the first ones"""
    session, old = cluster.session(DATABASE), cluster.session(DATABASE)
    empty(session)
    fill(session, 20000)
    session.query("VACUUM ANALYZE dbos.workflow_status")
    session.query("SELECT dbos_sys.retain('1 day', force => true)")
    old.query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM dbos.workflow_status")
    session.query("SELECT dbos_sys.prune_lock(1), dbos_sys.prune_begin(dbos_sys.now_ms())")
    times = []
    for _ in range(20):
        begin = time.monotonic()
        equal(session.value("SELECT workflows FROM dbos_sys.prune_batch(dbos_sys.now_ms())"), "1000", "workflows of a batch")
        times.append(time.monotonic() - begin)
    old.query("ROLLBACK")
    first, last = sorted(times[:8])[4], sorted(times[-8:])[4]
    print(f"# median of a batch at first {first * 1000:.0f} ms, at last {last * 1000:.0f} ms", flush=True)
    if last > 2 * first:
        raise AssertionError(f"batches: {[round(t * 1000) for t in times]} ms")


def run_sessions(tap):
    cluster = Cluster("sessions", "--no-preload")
    try:
        make(cluster)
        for test in (two_at_once, many_at_once, held_rows_stay, locked_tables, prune_beside_restore, long_transactions):
            tap.run(test, cluster)
    finally:
        cluster.destroy()


def worker_prunes(cluster, database, owner):
    session = make(cluster, database, owner)
    # Without a policy it leaves everything.
    fill(session, 2500)
    until("the worker ticks", lambda: session.value("SELECT count(last_tick) FROM dbos_ops.ticker") == "1")
    equal(counts(session), [2500, 0], "before there is a policy")
    session.query("SELECT dbos_sys.retain('1 day', archive => true, force => true)")
    until("all is archived", lambda: counts(session) == [0, 2500], 30)
    equal(session.value("SELECT failure IS NULL FROM dbos_ops.pruner"), "t", "no failure")
    # What ends later goes in a later round.
    session.query("INSERT INTO dbos.workflow_status (workflow_uuid, status, name, completed_at) VALUES ('later', 'SUCCESS', 'w', 1790000009999)")
    until("a later one is archived", lambda: counts(session) == [0, 2501], 30)


def worker_owner(cluster):
    """the background worker prunes and archives as the owner of the tables, once there is a policy"""
    cluster.session("postgres").query("CREATE ROLE dbos_owner NOLOGIN")
    worker_prunes(cluster, "owned", "dbos_owner")


def worker_superuser(cluster):
    """and as dbos_sys_worker where a superuser owns them, in the partitions that the owner's retain() made"""
    worker_prunes(cluster, "supers", None)


def worker_interval_zero(cluster):
    """with dbos_sys.prune_interval = 0 it does not"""
    session = cluster.session("owned")
    session.query("ALTER SYSTEM SET dbos_sys.prune_interval = 0")
    session.query("SELECT pg_reload_conf()")
    until("the setting is read", lambda: session.value("SHOW dbos_sys.prune_interval") == "0")
    session.query("INSERT INTO dbos.workflow_status (workflow_uuid, status, name, completed_at) VALUES ('zero', 'SUCCESS', 'w', 1790000009999)")
    # Two delays, for the worker rests where nothing is due: the round of the first is over when the second has gone.
    session.query("INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, delay_until_epoch_ms) "
                  "SELECT 'delayed-' || n, 'DELAYED', 'w', 'q', dbos_sys.now_ms() + n * 1500 FROM generate_series(1, 2) AS n")
    until("the worker ticks on", lambda: session.value("SELECT count(*) FROM dbos.workflow_status WHERE status = 'DELAYED'") == "0")
    equal(session.value("SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = 'zero'"), "1", "in the tables")


def run_worker(tap):
    cluster = Cluster("worker", "--databases", "owned, supers", "--conf", "dbos_sys.prune_interval=1s", "--conf", "dbos_sys.tick_interval=100ms")
    try:
        for test in (worker_owner, worker_superuser, worker_interval_zero):
            tap.run(test, cluster)
    finally:
        cluster.destroy()


def standby_refuses(standby):
    """a hot standby refuses what writes with WF050, not with a command that nobody gave"""
    for statement in ("CALL dbos_sys.prune()", "SELECT dbos_sys.retain('1 day', workflow => 'w1')", "SELECT dbos_sys.drop_retention(workflow => 'w0')",
                      "SELECT dbos_sys.restore('w1')", "SELECT * FROM dbos_sys.delete(ARRAY['w1'])", "SELECT dbos_sys.archive_partitions()",
                      "SELECT dbos_sys.drop_archive('archive_2026_09', force => true)", "SELECT dbos_sys.note_export('archive_2026_09', '/backup', 1, 'x')",
                      "SELECT dbos_sys.forget_export('archive_2026_09', '/backup')", "SELECT dbos_sys.import_archive('{}')"):
        error = raises("WF050", standby.session(DATABASE), statement)
        if "standby" not in error.message:
            raise AssertionError(f"{statement}: {error.message}")


def standby_reads(standby):
    """it shows the policies, what would be pruned, the archive and the doctor's lines"""
    session = standby.session(DATABASE)
    equal(session.query("SELECT workflow, keep FROM dbos_sys.retention()"), [["w0", "1 day"]], "policies")
    equal(session.value("SELECT sum(item_count) FROM dbos_sys.prune(dry_run => true) WHERE what = 'to be archived'"), "1", "what would go")
    equal(session.value("SELECT count(*) FROM dbos_sys.list(archived => true)"), "1", "archived")
    equal(session.value("SELECT bool_and(h.archived) FROM dbos_sys.history('w7') AS h"), "t", "history of an archived one")
    equal(session.value("SELECT sum(workflows) FROM dbos_sys.archives()"), "1", "archives()")
    equal(session.query("SELECT name, finding FROM dbos_sys.doctor() WHERE finding ~ 'read-only transaction|recovery'"), [], "lines that tried to write")


def run_standby(tap):
    cluster = Cluster("primary", "--no-preload")
    try:
        session = make(cluster)
        fill(session, 7)
        session.query("SELECT dbos_sys.retain('1 day', workflow => 'w0', archive => true)")
        prune(session)
        session.query("UPDATE dbos.workflow_status SET name = 'w0' WHERE workflow_uuid = 'w1'")
        lsn = session.value("SELECT pg_current_wal_lsn()")
        standby = Cluster("standby", "--standby-of", "primary", "--no-preload")
        try:
            until("the standby has all", lambda: standby.session(DATABASE).value(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'") == "t")
            for test in (standby_refuses, standby_reads):
                tap.run(test, standby)
        finally:
            standby.destroy()
    finally:
        cluster.destroy()


GROUPS = {"kills": run_kills, "sessions": run_sessions, "standby": run_standby, "worker": run_worker, "cron": cron.run}


def main():
    subprocess.run([CLUSTER, "prepare"], check=True, stdout=subprocess.DEVNULL)
    tap = Tap()
    GROUPS[sys.argv[1]](tap)
    tap.finish()


if __name__ == "__main__":
    main()
