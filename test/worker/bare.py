"""Without shared_preload_libraries, and with a worker that cannot be had."""
from common import INSERT, insert, install
from harness import Cluster, equal, raises, until
import waits


def installs(cluster):
    """without preload the extension installs, and says that it is not preloaded"""
    cluster.session("postgres").query("CREATE DATABASE dbos_sys")
    session = install(cluster)
    equal(session.query("SELECT dbos_sys.preloaded(), dbos_sys.library_version() = (SELECT extversion FROM pg_extension "
                        "WHERE extname = 'dbos_sys')"), [["f", "t"]])


def settings_are_known(cluster):
    """without preload every setting is known once the library is loaded, and nothing is logged"""
    session = cluster.session()
    session.query("SET dbos_sys.quiet = on")
    session.query("SELECT dbos_sys.preloaded()")
    equal(session.query("SELECT name, setting FROM pg_settings WHERE name LIKE 'dbos_sys.%' ORDER BY name"),
          [["dbos_sys.databases", "dbos_sys, other"], ["dbos_sys.fake_now", ""], ["dbos_sys.grace", "2000"],
           ["dbos_sys.prune_budget", "15000"], ["dbos_sys.prune_interval", "60000"], ["dbos_sys.quiet", "on"], ["dbos_sys.reconnect_backoff", "90000"], ["dbos_sys.role", ""], ["dbos_sys.tick_interval", "1000"]])
    raises("42602", session, "SET dbos_sys.misspelt = 1")
    raises("22023", session, "SET dbos_sys.fake_now = 'tomorrow'")
    assert "removing it" not in cluster.log(), "a setting of the file was dropped"


def load_never_fails(cluster):
    """LOAD and session_preload_libraries work without preload"""
    cluster.session().query("LOAD 'dbos_sys'")
    admin = cluster.session("postgres")
    admin.query("ALTER DATABASE dbos_sys SET session_preload_libraries = 'dbos_sys'")
    equal(cluster.session().value("SELECT dbos_sys.preloaded()"), "f")
    admin.query("ALTER DATABASE dbos_sys RESET session_preload_libraries")


def wake_notifies_itself(cluster):
    """without a worker wake() notifies at commit, once per payload, and not after a rollback"""
    listener, writer = cluster.session(), cluster.session()
    listener.query("LISTEN dbos_sys")
    insert(writer, "silent")
    writer.query("BEGIN")
    writer.query(INSERT.format("undone", "ENQUEUED"))
    writer.query("SELECT dbos_sys.wake(true, true)")
    writer.query("ROLLBACK")
    writer.query("SELECT dbos_sys.wake(true, true)")
    writer.query("BEGIN; CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1; "
                 "SELECT dbos_sys.wake(false, true); SELECT dbos_sys.wake(true, false), dbos_sys.wake(true, true); COMMIT")
    equal(listener.payloads(5), ["work", "done"])


def wake_lets_prepare(cluster):
    """without a worker a transaction that called wake() can still be prepared"""
    writer = cluster.session()
    writer.query("BEGIN")
    writer.query(INSERT.format("prepared", "ENQUEUED"))
    writer.query("SELECT dbos_sys.wake(true, true)")
    writer.query("PREPARE TRANSACTION 'bare'")
    writer.query("COMMIT PREPARED 'bare'")


def waits_poll(cluster):
    """without a worker await and wait_for_work poll"""
    session, waiter = cluster.session(), cluster.session()
    insert(session, "polled", "PENDING")
    waiter.send("CALL dbos_sys.await('polled', '20 s')")
    waits.parked(session, waiter)
    waits.finish(session, "polled")
    equal(waiter.rows(5)[0][0], "SUCCESS")
    waiter.send("CALL dbos_sys.wait_for_work(ARRAY['polled'], '20 s')")
    waits.parked(session, waiter)
    session.query("INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name) VALUES ('p', 'ENQUEUED', 't', 'polled')")
    equal(waiter.rows(5), [["t"]])


def tables_missing(cluster):
    """a wait in a database without the tables is WF002"""
    cluster.session("postgres").query("CREATE DATABASE empty")
    session = cluster.session("empty")
    session.query("CREATE EXTENSION dbos_sys")
    raises("WF002", session, "CALL dbos_sys.wait_for_work(ARRAY['q'], '1 s')")


def last_pass(session):
    return session.value("SELECT state_change FROM pg_stat_activity WHERE backend_type = 'dbos_sys launcher'")


def launcher_goes_on(cluster):
    """when max_worker_processes is exhausted the launcher says so once and goes on"""
    cluster.session("postgres").query("CREATE DATABASE dbos_sys")
    until("the launcher complains", lambda: "no background worker left" in cluster.log())
    install(cluster)
    wake_notifies_itself(cluster)
    session = cluster.session("postgres")
    for _ in range(2):
        seen = last_pass(session)
        until("the launcher looks again", lambda: last_pass(session) != seen)
    equal(cluster.log().count("no background worker left"), 1, "complaints")


def run(tap):
    cluster = Cluster("bare", "--no-preload", "--conf", "dbos_sys.databases=dbos_sys, other", "--conf", "max_prepared_transactions=4")
    try:
        for test in (installs, settings_are_known, load_never_fails, wake_notifies_itself, wake_lets_prepare, waits_poll, tables_missing):
            tap.run(test, cluster)
    finally:
        cluster.destroy()
    cluster = Cluster("full", "--conf", "max_worker_processes=2", "--conf", "max_logical_replication_workers=1")
    try:
        tap.run(launcher_goes_on, cluster)
    finally:
        cluster.destroy()
