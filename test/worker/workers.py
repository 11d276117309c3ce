"""Launcher and workers: what they survive, under which role they write, how they stop."""
import os
import signal
import time

from common import (insert, insert_due, install, need_worker, reset_system, set_system, status, ticked, worker_pid)
from harness import Cluster, SqlError, equal, until

# A worker is started again after 5 s.
BACK_S = 9


def waits_for_database(cluster):
    """a worker starts when its database is created, and waits for the extension without a word"""
    admin = cluster.session("postgres")
    until("the launcher waits", lambda: 'waiting for database "dbos_sys"' in cluster.log())
    admin.query("CREATE DATABASE dbos_sys")
    admin.query("CREATE DATABASE other")
    need_worker(cluster.session())
    before = cluster.log()
    session = install(cluster)
    insert_due(session, "first")
    ticked(session, "first")
    equal([line for line in cluster.log()[len(before):].splitlines() if "ERROR" in line or "WARNING" in line], [])


def terminated_worker_returns(cluster):
    """a terminated worker is started again and notifies once"""
    session, listener = cluster.session(), cluster.session()
    listener.query("LISTEN dbos_sys")
    first = need_worker(session)
    listener.payloads(0)
    session.query(f"SELECT pg_terminate_backend({first})")
    heard = []
    while len(heard) < 2:
        got = listener.payloads(BACK_S)
        assert got, "nothing heard from the new worker"
        heard += got
    equal(heard, ["work", "done"])
    assert worker_pid(session) not in (None, first)


def terminated_launcher_returns(cluster):
    """a terminated launcher is started again and leaves running workers alone"""
    session = cluster.session()
    worker, launcher = need_worker(session), need_worker(session, kind="launcher")
    session.query(f"SELECT pg_terminate_backend({launcher})")
    until("another launcher runs", lambda: worker_pid(session, "launcher") not in (None, launcher), BACK_S)
    need_worker(session, kind="launcher")
    equal(worker_pid(session), worker, "worker")
    session.query(f"SELECT pg_terminate_backend({worker})")
    until("the new launcher starts a worker", lambda: worker_pid(session) not in (None, worker), BACK_S + 6)


def dropped_extension_pauses(cluster):
    """ticks stop while the extension is dropped and go on after CREATE EXTENSION"""
    session = cluster.session()
    need_worker(session)
    paused = cluster.log().count("pauses")
    session.query("DROP EXTENSION dbos_sys")
    until("the worker notices", lambda: cluster.log().count("pauses") == paused + 1)
    insert_due(session, "dropped")
    errors = cluster.log().count("does not exist")
    session.query("CREATE EXTENSION dbos_sys")
    ticked(session, "dropped")
    equal(cluster.log().count("does not exist"), errors, "errors about missing functions")


def tick_role(session, marker):
    """Lets a trigger of the tables' owner record as whom the next tick runs."""
    session.query(f"""
        CREATE TABLE dbos.{marker} (who text, super text, said text);
        ALTER TABLE dbos.{marker} OWNER TO dbos_owner;""")
    return f"dbos.{marker}"


def runs_as_owner(cluster, workflow="role"):
    """a tick runs as the owner of the tables and not as a superuser, and may notify"""
    session = cluster.session()
    session.query("LISTEN seen")
    table = tick_role(session, "seen")
    session.query(f"""
        CREATE FUNCTION dbos.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          INSERT INTO {table} VALUES (current_user, current_setting('is_superuser'), current_setting('work_mem'));
          PERFORM pg_notify('seen', 'in a tick'); RETURN NULL; END $$;
        CREATE TRIGGER see AFTER UPDATE ON dbos.workflow_status FOR EACH ROW EXECUTE FUNCTION dbos.see()""")
    insert_due(session, workflow)
    ticked(session, workflow)
    session.query("DROP FUNCTION dbos.see CASCADE")
    who, _, memory = session.query(f"SELECT DISTINCT * FROM {table}")[0]
    equal([who, memory], ["dbos_owner", session.value("SHOW work_mem")])
    equal(session.payloads(5), ["in a tick"])
    equal(session.value(f"SELECT rolsuper FROM pg_roles WHERE rolname = '{who}'"), "f")


CLIMBS = ("RESET ROLE", "SET ROLE postgres", "SET SESSION AUTHORIZATION postgres", "RESET SESSION AUTHORIZATION", "SET LOCAL ROLE NONE",
          "ALTER ROLE dbos_owner SUPERUSER", "CREATE ROLE climbed SUPERUSER", "CREATE TEMP TABLE left_behind (a int)",
          "DECLARE c CURSOR WITH HOLD FOR SELECT dbos.climb_once()", "LISTEN dbos_sys", "PREPARE p AS SELECT 1",
          "COPY dbos.climbs TO PROGRAM 'true'", "SET session_replication_role = replica", "SET dbos_sys.fake_now = 1")


def hostile_trigger_stays_below(cluster):
    """a trigger of the tables' owner cannot become superuser in a tick, nor leave settings behind"""
    session = cluster.session()
    table = tick_role(session, "climbs")
    attempts = "".join(f"""
          BEGIN EXECUTE {quoted(climb)}; INSERT INTO {table} VALUES (current_user, 'did', {quoted(climb)});
          EXCEPTION WHEN OTHERS THEN INSERT INTO {table} VALUES (current_user, SQLSTATE, {quoted(climb)}); END;""" for climb in CLIMBS)
    session.query(f"""
        CREATE FUNCTION dbos.climb() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {attempts}
          PERFORM set_config('work_mem', '1MB', false);
          RETURN NULL; END $$;
        ALTER FUNCTION dbos.climb OWNER TO dbos_owner;
        CREATE TRIGGER climb AFTER UPDATE ON dbos.workflow_status FOR EACH ROW EXECUTE FUNCTION dbos.climb()""")
    insert_due(session, "climb")
    ticked(session, "climb")
    session.query("DROP FUNCTION dbos.climb CASCADE")
    equal(session.query(f"SELECT said FROM {table} WHERE super = 'did'"), [], "what the trigger could do")
    equal(session.value(f"SELECT count(DISTINCT said) FROM {table} WHERE who = 'dbos_owner'"), str(len(CLIMBS)))
    equal(session.value("SELECT count(*) FROM pg_roles WHERE rolname = 'climbed' OR rolname = 'dbos_owner' AND rolsuper"), "0")
    session.query("DROP TABLE dbos.seen")
    runs_as_owner(cluster, "after-climb")


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def deferred_trigger_stays_below(cluster):
    """a deferred trigger of the tables' owner never runs as superuser at a tick's commit"""
    session = cluster.session()
    table = tick_role(session, "deferred")
    session.query(f"""
        CREATE FUNCTION dbos.later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          INSERT INTO {table} VALUES (current_user); EXECUTE 'ALTER ROLE dbos_owner SUPERUSER'; RETURN NULL; END $$;
        ALTER FUNCTION dbos.later OWNER TO dbos_owner;
        CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON dbos.workflow_status DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION dbos.later()""")
    failed = cluster.log().count("deferred trigger within security-restricted operation")
    insert_due(session, "deferred")
    until("the tick refuses", lambda: cluster.log().count("deferred trigger within security-restricted operation") > failed)
    session.query("DROP FUNCTION dbos.later CASCADE")
    ticked(session, "deferred", 70)
    equal(session.value(f"SELECT count(*) FROM {table}"), "0")
    equal(session.value("SELECT rolsuper FROM pg_roles WHERE rolname = 'dbos_owner'"), "f")


def failing_tick_backs_off(cluster):
    """a tick that fails backs off and leaves wake-ups alone"""
    session, listener = cluster.session(), cluster.session()
    listener.query("LISTEN dbos_sys")
    set_system(session, "dbos_sys.tick_interval", "10ms")
    session.query("""
        CREATE FUNCTION dbos.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no tick today'; END $$;
        CREATE TRIGGER fail BEFORE UPDATE ON dbos.workflow_status FOR EACH ROW EXECUTE FUNCTION dbos.fail()""")
    insert_due(session, "failing")
    until("the tick has failed twice", lambda: cluster.log().count("ERROR:  no tick today") == 2)
    assert listener.payloads(1), "no wake-up was heard"
    insert(session, "heard")
    assert listener.payloads(1), "the wake-up was not heard"
    until("the tick has failed three times", lambda: cluster.log().count("ERROR:  no tick today") == 3)
    session.query("DROP FUNCTION dbos.fail CASCADE")
    reset_system(session, "dbos_sys.tick_interval")
    ticked(session, "failing")


def superuser_role_is_refused(cluster):
    """with a superuser in dbos_sys.role no tick runs, which is said once; wake-ups go on"""
    session, listener = cluster.session(), cluster.session()
    listener.query("LISTEN dbos_sys")
    set_system(session, "dbos_sys.role", "postgres")
    until("the worker refuses", lambda: "no role to maintain" in cluster.log())
    insert_due(session, "refused")
    assert listener.payloads(1), "no wake-up was heard"
    set_system(session, "dbos_sys.role", "nobody_of_this_name")
    insert(session, "still")
    assert listener.payloads(1), "no wake-up was heard"
    equal(status(session, "refused"), "DELAYED")
    equal(cluster.log().count("no role to maintain"), 1, "warnings")
    reset_system(session, "dbos_sys.role")
    ticked(session, "refused")


def hostile_defaults_do_not_stop_ticks(cluster):
    """defaults of the database and its roles (read only, serializable, search_path, timeouts) do not stop ticks"""
    session = cluster.session()
    for setting in ("default_transaction_read_only = on", "default_transaction_isolation = serializable", "search_path = dbos",
                    "statement_timeout = '1ms'", "lock_timeout = '1ms'", "idle_in_transaction_session_timeout = '1ms'"):
        session.query(f"ALTER DATABASE dbos_sys SET {setting}")
    worker = need_worker(session)
    session.query(f"SELECT pg_terminate_backend({worker})")
    insert_due(session, "defaults")
    ticked(session, "defaults", BACK_S + 6)
    session.query("ALTER DATABASE dbos_sys RESET ALL")


def cancelled_worker_goes_on(cluster):
    """pg_cancel_backend on a worker ends nothing but the call under way"""
    session = cluster.session()
    worker = need_worker(session)
    for _ in range(20):
        session.query(f"SELECT pg_cancel_backend({worker})")
    insert_due(session, "cancelled")
    ticked(session, "cancelled")
    equal(worker_pid(session), worker, "worker")


def idle_worker_pins_nothing(cluster):
    """an idle worker is in no transaction and holds no snapshot"""
    session = cluster.session()
    worker = need_worker(session)
    until("the worker is idle", lambda: session.query(
        f"SELECT state, backend_xmin, xact_start FROM pg_stat_activity WHERE pid = {worker}") == [["idle", None, None]])


def dropped_database_returns(cluster):
    """DROP DATABASE WITH (FORCE) removes a worker's database; re-created, it is maintained again"""
    admin = cluster.session("postgres")
    need_worker(admin)
    cluster.close_sessions()
    admin = cluster.session("postgres")
    admin.query("DROP DATABASE dbos_sys WITH (FORCE)")
    waiting = 'waiting for database "dbos_sys"'
    said = cluster.log().count(waiting)
    until("the launcher notices", lambda: cluster.log().count(waiting) == said + 1, BACK_S + 6)
    admin.query("CREATE DATABASE dbos_sys")
    session = install(cluster)
    insert_due(session, "recreated")
    ticked(session, "recreated", BACK_S + 6)


def killed_worker_returns(cluster):
    """kill -9 of a worker restarts the cluster and the worker comes back"""
    session = cluster.session()
    worker = need_worker(session)
    os.kill(worker, signal.SIGKILL)
    until("the session is gone", lambda: is_gone(session))
    cluster.close_sessions()
    session = until("the server answers", cluster.session)
    insert_due(session, "killed")
    ticked(session, "killed")
    assert worker_pid(session) != worker


def is_gone(session):
    try:
        session.query("SELECT 1")
        return False
    except SqlError as error:
        return error.state in ("57P02", "08006", "")


def stops_promptly(cluster):
    """stop -m fast takes less than 3 s while CALLs are parked and workers idle"""
    session = cluster.session()
    need_worker(session)
    for _ in range(5):
        waiter = cluster.session()
        waiter.send("CALL dbos_sys.await('never', '60 s')")
        until("the CALL is parked", lambda: session.value(
            f"SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = {waiter.pid}") == "t")
    begun = time.monotonic()
    cluster.stop()
    took = cluster.disk.since(begun)
    assert took < 3, f"took {took:.1f} s"


def restart_is_quiet(cluster):
    """a restart brings launcher and workers back, and each complaint stood in the log once"""
    cluster.close_sessions()
    cluster.start()
    session = cluster.session()
    insert_due(session, "restarted")
    ticked(session, "restarted")
    log = cluster.log()
    equal(log.count('waiting for database "never"'), 4, "one line for each process of the launcher")
    for word in ("FATAL:  database", "PANIC", "exited with exit code 0"):
        assert word not in log, word


def run_first(tap, cluster):
    tap.run(waits_for_database, cluster)


def run(tap, cluster):
    for test in (idle_worker_pins_nothing, runs_as_owner, hostile_trigger_stays_below, deferred_trigger_stays_below,
                 failing_tick_backs_off, superuser_role_is_refused, cancelled_worker_goes_on, dropped_extension_pauses,
                 terminated_worker_returns, terminated_launcher_returns, hostile_defaults_do_not_stop_ticks,
                 dropped_database_returns, killed_worker_returns, stops_promptly, restart_is_quiet):
        tap.run(test, cluster)
        if test is not stops_promptly:
            cluster.close_sessions()
