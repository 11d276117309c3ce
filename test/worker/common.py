"""Steps that several tests of the workers take."""
from harness import until

INSERT = "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name) VALUES ('{0}', '{1}', 'test', 'q')"


def install(cluster, database="dbos_sys"):
    """Extension and tables in `database`, owned by dbos_owner, who may not log in."""
    session = cluster.session(database)
    session.query("DO $$ BEGIN CREATE ROLE dbos_owner NOLOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    session.query("CREATE EXTENSION dbos_sys")
    session.query("SELECT dbos_sys.install('dbos_owner')")
    return session


def insert(session, workflow, status="ENQUEUED"):
    session.query(INSERT.format(workflow, status))


def insert_due(session, workflow):
    """A delayed workflow that the next tick makes claimable."""
    session.query("INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, delay_until_epoch_ms) "
                  f"VALUES ('{workflow}', 'DELAYED', 'test', 'q', 1)")


def status(session, workflow):
    return session.value(f"SELECT status FROM dbos.workflow_status WHERE workflow_uuid = '{workflow}'")


def ticked(session, workflow, timeout=15.0):
    """Waits until a tick has taken the workflow of insert_due()."""
    until(f"{workflow} is enqueued by a tick", lambda: status(session, workflow) == "ENQUEUED", timeout)


def worker_pid(session, kind="worker", database="dbos_sys"):
    """Pid of the running worker, None when there is none."""
    rows = session.query(f"SELECT pid FROM pg_stat_activity WHERE backend_type = 'dbos_sys {kind}' "
                         f"AND datname IS NOT DISTINCT FROM {'NULL' if kind == 'launcher' else repr(database)}")
    return int(rows[0][0]) if rows else None


def need_worker(session, **where):
    """Waits until a worker runs and sleeps, that is, has sent what it had."""
    pid = until("a worker runs", lambda: worker_pid(session, **where))
    until("the worker sleeps", lambda: session.value(
        f"SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = {pid}") == "t")
    return pid


def set_system(session, name, value):
    session.query(f"ALTER SYSTEM SET {name} = '{value}'")
    session.query("SELECT pg_reload_conf()")


def reset_system(session, name):
    session.query(f"ALTER SYSTEM RESET {name}")
    session.query("SELECT pg_reload_conf()")
