"""Debian's pg_cron runs prune(): in the database where it lives and in another, in background workers and over connections of its own."""
import threading

from harness import Cluster, SqlError, equal, until

HOME, SYSTEM = "cron_home", "system"
ENDED = """INSERT INTO dbos.workflow_status (workflow_uuid, status, name, completed_at)
  SELECT 'w' || n, 'SUCCESS', 'w', 1790000000000 + n FROM generate_series(1, 2500) AS n;
  INSERT INTO dbos.workflow_input (workflow_uuid, inputs) SELECT 'w' || n, '[]' FROM generate_series(1, 2500) AS n"""


def start(name, workers):
    # pg_cron connects to a socket's folder as libpq does; its own is known only once the cluster is there.
    cluster = Cluster(name, "--no-preload", "--conf", "shared_preload_libraries=pg_cron", "--conf", f"cron.database_name={HOME}",
                      "--conf", f"cron.use_background_workers={'on' if workers else 'off'}")
    admin = cluster.session("postgres")
    admin.query(f"ALTER SYSTEM SET cron.host = '{cluster.env['PGHOST']}'")
    admin.query(f"CREATE DATABASE {HOME} TEMPLATE template0")
    admin.query(f"CREATE DATABASE {SYSTEM} TEMPLATE template0")
    cluster.close_sessions()
    cluster._run("restart", name)
    for database in (HOME, SYSTEM):
        session = cluster.session(database)
        session.query("CREATE EXTENSION dbos_sys")
    session.query("SELECT dbos_sys.install()")
    home = cluster.session(HOME)
    home.query("CREATE EXTENSION pg_cron")
    return cluster, home, session


def runs(home, name):
    return home.query(f"SELECT d.status, d.return_message FROM cron.job_run_details AS d JOIN cron.job AS j USING (jobid) WHERE j.jobname = '{name}' ORDER BY d.runid")


def other_database(workers):
    cluster, home, system = start(f"cron-{'on' if workers else 'off'}", workers)
    try:
        system.query(ENDED)
        system.query("SELECT dbos_sys.retain('1 day', force => true)")
        jobs = home.query(f"SELECT job, at, command, runs_in FROM dbos_sys.schedule_maintenance('* * * * *', database => '{SYSTEM}')")
        equal(jobs, [[f"dbos_sys prune in {SYSTEM}", "* * * * *", "CALL dbos_sys.prune('240000 ms')", SYSTEM],
                     [f"dbos_sys maintain in {SYSTEM}", "* * * * *", "SELECT dbos_sys.maintain()", SYSTEM],
                     ["dbos_sys history", "17 3 * * *", jobs[2][2], HOME]], "jobs")
        # Of what pg_cron noted, its own job forgets what is a week old, and nobody else's.
        home.query("SELECT cron.schedule('other', '0 0 1 1 *', 'SELECT 1')")
        home.query("""INSERT INTO cron.job_run_details (jobid, runid, database, username, command, status, end_time)
          SELECT j.jobid, 1000 + j.jobid * 10 + d, 'x', 'postgres', 'x', 'succeeded', now() - d * interval '5 days' FROM cron.job AS j, (VALUES (1), (2)) AS v(d)""")
        # Runs that failed before they began bear no times, nor does one that begins now.
        home.query(f"""INSERT INTO cron.job_run_details (jobid, runid, database, username, command, status)
          SELECT j.jobid, v.runid, 'x', 'postgres', 'x', v.status
          FROM (VALUES ('other', 998, 'failed'), ('dbos_sys prune in {SYSTEM}', 999, 'failed'), ('dbos_sys prune in {SYSTEM}', 1999, 'starting')) AS v(name, runid, status)
          JOIN cron.job AS j ON j.jobname = v.name""")
        # Of a job that is gone its commands tell whose it was.
        home.query("SELECT FROM dbos_sys.schedule_maintenance('0 4 1 1 *', database => 'postgres')")
        gone = home.query("SELECT max(jobid), min(jobid), max(jobid) - min(jobid) FROM cron.job WHERE jobname LIKE '% in postgres'")[0]
        equal(gone[2], "1", "jobs of another database")
        home.query("SELECT dbos_sys.unschedule_maintenance('postgres')")
        home.query(f"""INSERT INTO cron.job_run_details (jobid, runid, database, username, command, status, end_time)
          SELECT v.jobid, v.runid, 'x', 'postgres', v.command, 'succeeded', now() - v.days * interval '1 day'
          FROM (VALUES ({gone[1]}, 901, 'CALL dbos_sys.prune(''240000 ms'')', 10), ({gone[1]}, 902, 'CALL dbos_sys.prune(''240000 ms'')', 5),
            ({gone[0]}, 903, 'SELECT dbos_sys.maintain()', 10), (7777, 904, $${jobs[2][2]}$$, 10), (7777, 905, 'SELECT 1', 10),
            (7777, 906, 'DELETE FROM cron.job_run_details WHERE end_time < now() - interval ''7 days''', 10)) AS v(jobid, runid, command, days)""")
        home.query(jobs[2][2])
        equal(home.query("SELECT runid FROM cron.job_run_details WHERE runid BETWEEN 901 AND 906 ORDER BY 1"), [["902"], ["905"], ["906"]], "notes left of jobs that are gone")
        equal(home.query("SELECT runid FROM cron.job_run_details WHERE COALESCE(start_time, end_time) IS NULL AND runid IN (998, 999, 1999) ORDER BY 1"), [["998"], ["1999"]],
              "runs without times that are left")
        equal(home.query("SELECT count(*) FILTER (WHERE j.jobname = 'other'), count(*) FILTER (WHERE j.jobname <> 'other') FROM cron.job_run_details AS d "
                         "JOIN cron.job AS j USING (jobid) WHERE d.runid >= 1000 AND d.end_time IS NOT NULL"), [["2", "3"]], "notes left of another's job and of ours")
        until("pg_cron has pruned", lambda: system.value("SELECT count(*) FROM dbos.workflow_status") == "0", 150)
        equal(system.value("SELECT count(*) FROM dbos.workflow_input"), "0", "inputs left")
        until("and noted it", lambda: any(status == "succeeded" for status, _ in runs(home, f"dbos_sys prune in {SYSTEM}") if status), 30)
        equal([r for r in runs(home, f"dbos_sys prune in {SYSTEM}") + runs(home, f"dbos_sys maintain in {SYSTEM}") if r[0] == "failed"], [], "failed runs")
        # Again with another schedule: the job is changed, not doubled.
        home.query(f"SELECT FROM dbos_sys.schedule_maintenance('0 4 * * *', database => '{SYSTEM}', maintain => false)")
        equal(home.query(f"SELECT schedule FROM cron.job WHERE jobname = 'dbos_sys prune in {SYSTEM}'"), [["0 4 * * *"]], "the job")
        # Whoever switched it off: called again, it is on.
        home.query("SELECT cron.alter_job(jobid, active => false) FROM cron.job WHERE jobname <> 'other'")
        home.query(f"SELECT FROM dbos_sys.schedule_maintenance('0 4 * * *', database => '{SYSTEM}', maintain => false)")
        equal(home.query("SELECT jobname FROM cron.job WHERE NOT active"), [], "jobs that are off")
        # And one that is not wanted any more goes.
        ours = "SELECT jobname FROM cron.job WHERE jobname LIKE 'dbos\\_sys %' ORDER BY jobname"
        equal(home.query(ours), [["dbos_sys history"], [f"dbos_sys prune in {SYSTEM}"]], "jobs without maintain()")
        home.query(f"SELECT FROM dbos_sys.schedule_maintenance(database => '{SYSTEM}')")
        equal(home.query(ours), [["dbos_sys history"], [f"dbos_sys maintain in {SYSTEM}"], [f"dbos_sys prune in {SYSTEM}"]], "jobs with it again")
        # The jobs of another database are its own.
        home.query("SELECT FROM dbos_sys.schedule_maintenance('0 4 1 1 *', database => 'postgres', maintain => false)")
        home.query("SELECT dbos_sys.unschedule_maintenance('postgres')")
        equal(home.query(ours), [["dbos_sys history"], [f"dbos_sys maintain in {SYSTEM}"], [f"dbos_sys prune in {SYSTEM}"]], "jobs beside another database's")
        for text in ("every day", "61 * * * *", "* * * *", "* * * * * *"):
            try:
                home.query(f"SELECT * FROM dbos_sys.schedule_maintenance('{text}', database => '{SYSTEM}')")
                raise AssertionError(f"schedule '{text}' was accepted")
            except SqlError as error:
                equal(error.state, "WF001", f"SQLSTATE of schedule '{text}' ({error.message})")
        # Where pg_cron lives there need be no tables: jobs for it would fail each time.
        try:
            home.query("SELECT * FROM dbos_sys.schedule_maintenance()")
            raise AssertionError("schedule_maintenance() was accepted for a database without tables")
        except SqlError as error:
            equal((error.state, error.message), ("WF002", f"the tables of dbos_sys are not installed in database {HOME}"), "in a database without tables")
        # Elsewhere it is told where to call it.
        try:
            system.query("SELECT * FROM dbos_sys.schedule_maintenance()")
            raise AssertionError("schedule_maintenance() was accepted where pg_cron is not")
        except SqlError as error:
            equal((error.state, error.message), ("WF056", f"pg_cron is not in database {SYSTEM}"), "outside of pg_cron's database")
        # Before install() the doctor names what is missing, and where the job is made.
        home.query("CREATE DATABASE bare TEMPLATE template0")
        bare = cluster.session("bare")
        bare.query("CREATE EXTENSION dbos_sys")
        equal(bare.query("SELECT state, finding, mend FROM dbos_sys.doctor('{prune job}')"), [["not known",
              f"DBOS tables are not installed here; no retention policy; no job that prunes; no run has ended yet; pg_cron keeps its jobs in database {HOME}",
              "SELECT dbos_sys.install(); BEGIN; SELECT dbos_sys.retain('30 days', application => 'NAME'); "
              "SELECT * FROM dbos_sys.prune(dry_run => true); ROLLBACK;  -- shows what would go; then retain(…) for good, and in database "
              f"{HOME}, where pg_cron lives: SELECT * FROM dbos_sys.schedule_maintenance(database => 'bare');"]], "the doctor before install()")
        equal(home.value(f"SELECT dbos_sys.unschedule_maintenance('{SYSTEM}')"), "2", "jobs removed")
        equal(home.query("SELECT jobname FROM cron.job"), [["other"]], "jobs left")
        # The jobs of a database that is gone can be removed.
        home.query("CREATE DATABASE passing TEMPLATE template0")
        home.query("SELECT FROM dbos_sys.schedule_maintenance('0 4 1 1 *', database => 'passing', maintain => false)")
        home.query("DROP DATABASE passing")
        equal(home.value("SELECT dbos_sys.unschedule_maintenance('passing')"), "1", "jobs removed of a database that is gone")
    finally:
        cluster.destroy()


def run(tap):
    # Each waits for a full minute of pg_cron's: together.
    outcome = {}

    def work(workers):
        try:
            other_database(workers)
            outcome[workers] = None
        except Exception as error:  # raised again below
            outcome[workers] = error

    threads = [threading.Thread(target=work, args=(workers,)) for workers in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for workers, name in ((True, "in background workers"), (False, "over its own connections")):
        def test(workers=workers):
            if outcome[workers]:
                raise outcome[workers]
        test.__doc__ = f"pg_cron prunes another database {name}, and forgets what it noted of that"
        tap.run(test)
