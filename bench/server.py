"""The bench's private PostgreSQL: databases, counters, and what the tables say afterwards."""

import os
import re
import shlex
import subprocess
import time
from dataclasses import dataclass

from processes import Child, Failure, tree_cpu

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
CLUSTER = os.path.join(ROOT, "scripts", "cluster")
# A role of its own, so that what the bench itself asks is not counted.
OBSERVER = "bench_observer"
# Most that dbos_sys.databases takes.
MAX_DATABASES = 32

# Everything stays durable; the rest suits many small writes and keeps checkpoints out of the measured time.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "lz4",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "min_wal_size": "2GB",
    "checkpoint_timeout": "1h",
    "max_connections": "200",
    "shared_preload_libraries": "dbos_sys,pg_stat_statements",
    "pg_stat_statements.track": "top",
    "pg_stat_statements.max": "5000",
}


def cluster(*arguments):
    done = subprocess.run([CLUSTER, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: scripts/cluster {arguments[0]} failed\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


@dataclass
class Counters:
    """Differences over the measured time."""

    wal_bytes: int
    full_page_bytes: int
    commits: int
    statements: int
    transactions: int
    server_cpu: float


class Session:
    """One psql on one database, as the observer."""

    def __init__(self, server, database):
        command = [f"{server.bindir}/psql", "-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
        command += ["-h", server.socket, "-p", server.port, "-U", OBSERVER, "-d", database]
        self.child = Child(command, server.log)
        self.backend = int(self.value("SELECT pg_backend_pid()"))

    def rows(self, sql, limit=60):
        self.child.say(f"{sql};\n\\echo .")
        rows = []
        while (line := self.child.line(limit)) != ".":
            rows.append(line.split("\t"))
        return rows

    def value(self, sql, limit=60):
        return self.rows(sql, limit)[0][0]

    def close(self):
        self.child.kill()


class Server:
    def __init__(self, work, settings=None):
        self.name = f"bench-{os.getpid()}"
        self.settings = SETTINGS | (settings or {})
        self.log = os.path.join(work, "psql.log")
        self.spare = None
        self.made = 0

    def start(self):
        cluster("prepare")
        names = ",".join(f"ours_{n}" for n in range(1, MAX_DATABASES + 1))
        settings = [part for key, value in self.settings.items() for part in ("--conf", f"{key}={value}")]
        cluster("start", self.name, "--tcp", "--owner", str(os.getpid()), "--databases", names, *settings)
        env = dict(word.split("=", 1) for word in shlex.split(cluster("env", self.name)))
        self.socket, self.port, self.bindir, self.data = env["PGHOST"], env["PGPORT"], env["BINDIR"], env["DATA"]
        self.pid, self.tcp_uri = int(env["PID"]), env["TCP_URI"]
        self.psql("postgres", f"CREATE ROLE {OBSERVER} SUPERUSER LOGIN", "CREATE EXTENSION pg_stat_statements")
        self.observer = Session(self, "postgres")

    def stop(self):
        cluster("destroy", self.name)

    def psql(self, database, *statements):
        command = [f"{self.bindir}/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.socket, "-p", self.port, "-U", "postgres", "-d", database]
        command += [part for statement in statements for part in ("-c", statement)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    # ---- databases
    def uri(self, database):
        return self.tcp_uri + database

    def new_database(self, system):
        """A fresh system database. Ours has the extension, the tables and its background worker at work."""
        if system != "ours":
            self.psql("postgres", f"CREATE DATABASE {system} {self._collation()}")
            return system
        database = self.spare or self._make_ours()
        self.spare = None
        self._wait_for_worker(database)
        return database

    def drop_database(self, database):
        self.psql("postgres", f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def make_spare(self):
        """The launcher looks every 5 s: a database made before the other system's turn has its worker when ours comes."""
        if self.spare is None and self.made < MAX_DATABASES:
            self.spare = self._make_ours()

    @staticmethod
    def _collation():
        return "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"

    def _make_ours(self):
        if self.made == MAX_DATABASES:
            raise SystemExit(f"bench: at most {MAX_DATABASES} measurements of ours in one run: choose fewer cases or --runs")
        self.made += 1
        database = f"ours_{self.made}"
        self.psql("postgres", f"CREATE DATABASE {database} {self._collation()}")
        self.psql(database, "CREATE EXTENSION dbos_sys", "SELECT dbos_sys.install()")
        return database

    def _wait_for_worker(self, database, limit=30):
        end = time.monotonic() + limit
        while self.observer.value(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND backend_type = 'dbos_sys worker'") == "0":
            if time.monotonic() > end:
                raise Failure(f"no background worker came to {database} within {limit} s")
            time.sleep(0.1)

    # ---- counters
    def begin(self, database, session):
        """Starts counting. The session stays open until end(): its own CPU time is left out by its pid."""
        dbid = self.observer.value(f"SELECT oid FROM pg_database WHERE datname = '{database}'")
        self.observer.rows("CHECKPOINT")
        self.observer.rows(f"SELECT pg_stat_statements_reset(0, {dbid}, 0)")
        lsn = self.observer.value("SELECT pg_current_wal_insert_lsn()")
        return dbid, lsn, session, self._cpu(session)

    def end(self, begun):
        dbid, start, session, cpu = begun
        cpu = self._cpu(session) - cpu
        # At once: an idle worker polls on.
        statements, transactions = self._statements(dbid)
        end = self.observer.value("SELECT pg_current_wal_insert_lsn()")
        # Afterwards the log is on disk up to that position.
        self.observer.rows("SELECT pg_switch_wal()")
        wal_bytes = int(self.observer.value(f"SELECT pg_wal_lsn_diff('{end}', '{start}')"))
        commits, full_page_bytes = self._read_wal(start, end)
        return Counters(wal_bytes, full_page_bytes, commits, statements, transactions, cpu)

    def _cpu(self, session):
        return tree_cpu(self.pid, without={self.observer.backend, session.backend})

    def _statements(self, dbid):
        """Top-level statements of the client, and those of them that end a transaction. Foreign-key checks run on the server only."""
        row = self.observer.rows(
            "SELECT coalesce(sum(calls), 0), coalesce(sum(calls) FILTER (WHERE query ~* '^(COMMIT|END|ROLLBACK|ABORT)\\M'), 0)"
            f" FROM pg_stat_statements WHERE dbid = {dbid} AND userid = 'postgres'::regrole AND toplevel AND query !~ 'FROM ONLY'"
        )[0]
        return int(row[0]), int(row[1])

    def _read_wal(self, start, end):
        """COMMIT records (transactions that wrote) and bytes of full-page images."""
        command = [f"{self.bindir}/pg_waldump", "-p", f"{self.data}/pg_wal", "-s", start, "-e", end, "--stats=record"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        commits = sum(int(count) for count in re.findall(r"^Transaction/COMMIT\S*\s+(\d+)", done.stdout, re.M))
        total = re.search(r"^Total\s+(\d+)\s+(\d+) \S+\s+(\d+)", done.stdout, re.M)
        if done.returncode != 0 or not total:
            raise Failure(f"pg_waldump: {done.stderr.strip() or done.stdout[-500:]}")
        return commits, int(total[3])

    # ---- what the tables say
    def wait_for_success(self, session, total, limit):
        """Returns CLOCK_MONOTONIC in ns when `total` workflows are SUCCESS."""
        end = time.monotonic() + limit
        while int(session.value("SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'")) < total:
            if time.monotonic() > end:
                raise Failure(f"not all workflows are SUCCESS {limit} s after the last one returned")
            time.sleep(0.002)
        return time.monotonic_ns()

    def check(self, session, total, steps, output_sum):
        """Every workflow is SUCCESS, has its result, and each of its steps stands exactly once."""
        query = f"""
            SELECT count(*), count(*) FILTER (WHERE status = 'SUCCESS'), count(*) FILTER (WHERE coalesce(p.steps = {steps} AND p.named, {steps} = 0)),
                   count(o.output), coalesce(sum(o.output::numeric), 0)
            FROM dbos.workflow_status s
            LEFT JOIN dbos.workflow_output o USING (workflow_uuid)
            LEFT JOIN (SELECT workflow_uuid, count(*) AS steps, bool_and(function_name = 'work') AS named
                       FROM dbos.operation_outputs GROUP BY workflow_uuid) p USING (workflow_uuid)""".replace("\n", " ")
        found = [int(value) for value in session.rows(query)[0]]
        wanted = [total, total, total, total, output_sum]
        if found != wanted:
            names = ("workflows", "in SUCCESS", f"with {steps} steps", "with a result", "sum of results")
            wrong = [f"{name}: {is_} instead of {want}" for name, is_, want in zip(names, found, wanted) if is_ != want]
            raise Failure("the tables disagree: " + ", ".join(wrong))
