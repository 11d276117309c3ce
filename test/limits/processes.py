"""What the tests of limits stand on: the service, its callers in three languages, and an account of what the service saw."""
import collections
import http.client
import os
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PLAIN = os.environ.get("DBOS_SYS_FLAVOUR") == "plain"
sys.path.insert(1, os.path.join(ROOT, "test", "worker"))

from harness import CLUSTER, Cluster, Disk, SqlError, until  # noqa: E402

WORKER = os.path.join(os.environ.get("BUILD", os.path.join(ROOT, "build")), "client", "limits", "limits_worker")
ROLE = "app"
Call = collections.namedtuple("Call", "begin end who key status")


class Server(Cluster):
    def __init__(self, name, databases):
        settings = ("dbos_sys.grace=1s", "dbos_sys.tick_interval=250", "max_connections=200", "log_min_messages=warning")
        super().__init__(name, "--databases", ",".join(databases), *[word for setting in settings for word in ("--conf", setting)],
                         *(["--no-preload"] if PLAIN else []))
        admin = self.session("postgres")
        admin.query(f"CREATE ROLE {ROLE} LOGIN")
        for database in databases:
            admin.query(f"CREATE DATABASE {database} OWNER {ROLE} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
            self.make_functions(database)
            self.session(database).query(f"SELECT dbos_sys.install('{ROLE}'); SELECT dbos_sys.grant_access('{ROLE}')")

    def make_functions(self, database):
        if not PLAIN:
            self.session(database).query("CREATE EXTENSION dbos_sys")
            return
        psql = os.path.join(subprocess.run([CLUSTER, "bindir"], text=True, capture_output=True, check=True).stdout.strip(), "psql")
        environment = {**os.environ, "PGHOST": self.env["PGHOST"], "PGPORT": self.env["PGPORT"], "PGUSER": "postgres"}
        subprocess.run([psql, "-Xq", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", os.path.join(ROOT, "extension", "dbos_sys-plain.sql")],
                       check=True, env=environment, stdout=subprocess.DEVNULL)

    def uri(self, database):
        return f"postgresql://{ROLE}@{self.env['PGHOST'].replace('/', '%2F')}:{self.env['PGPORT']}/{database}"

    def crash(self):
        self._run("crash", self.name)


class Process:
    def __init__(self, folder, name, command, **environment):
        self.name, self.errors = name, os.path.join(folder, f"{name}.err")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DBOS", "PG"))}
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(command, env=kept | environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.first_line = self.process.stdout.readline().strip()
        if not self.first_line:
            raise AssertionError(f"{name} did not start: {self.said()}")

    def said(self):
        with open(self.errors, encoding="utf-8", errors="replace") as file:
            return file.read()[-1500:]

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Service(Process):
    def __init__(self, folder, name, limit=0, window_ms=1000):
        self.log = os.path.join(folder, f"{name}.log")
        super().__init__(folder, name, [sys.executable, "-B", os.path.join(HERE, "service.py"), str(limit), str(window_ms), self.log])
        self.port = int(self.first_line)

    def calls(self):
        with open(self.log, encoding="ascii") as file:
            found = [line.rstrip("\n").split("\t") for line in file if line.endswith("\n")]
        return sorted(Call(float(begin), float(end), who, key, int(status)) for begin, end, who, key, status in found)

    def call(self, key, ms=0):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", f"/call?who=sql&key={key}&ms={ms}")
        connection.getresponse().read()
        connection.close()


def worker(folder, name, uri, service, limit, work, ms=0, application="limits"):
    return Process(folder, name, [WORKER, uri, str(service.port), limit, application, name, str(work), str(ms)])


def node(folder, name, uri, service, limit, at_once, ms=0):
    return Process(folder, name, [os.environ["TS_NODE"], os.environ["TS_APP"], uri, f"http://127.0.0.1:{service.port}"],
                   DBOS__VMID=name, DBOS__APPVERSION="node-1", AT_ONCE=str(at_once), LIMIT=limit, MS=str(ms), NODE_NO_WARNINGS="1")


class SqlCaller(threading.Thread):
    """A session that asks with SELECT dbos_sys.acquire() and calls, until it is told to stop; it connects again when the server was away."""

    def __init__(self, server, database, service, limit, key, ms=0):
        super().__init__(daemon=True)
        self.server, self.database, self.service, self.limit, self.key, self.ms = server, database, service, limit, key, ms
        self.stopped, self.failure = threading.Event(), None
        self.start()

    def run(self):
        session = None
        while not self.stopped.is_set():
            try:
                session = session or self.server.session(self.database, ROLE)
                self.turn(session)
            except SqlError as error:
                if error.state.startswith(("08", "57", "WF041")):
                    session = None if error.state[:2] in ("08", "57") else session
                    time.sleep(0.05)
                    continue
                self.failure = error
                return
            except (OSError, ValueError, http.client.HTTPException) as error:
                self.failure = error
                return

    def turn(self, session):
        ticket, granted = "NULL", "f"
        while granted == "f" and not self.stopped.is_set():
            granted, ticket, wait = session.query(f"SELECT * FROM dbos_sys.acquire('{self.limit}', key => '{self.key}', ticket => {ticket})")[0]
            ticket = "NULL" if ticket is None else f"'{ticket}'"
            time.sleep(int(wait) / 1000)
        if granted == "t":
            self.service.call(self.key, self.ms)
        if ticket != "NULL":
            session.query(f"SELECT dbos_sys.release({ticket})")

    def stop(self):
        self.stopped.set()
        self.join(15)
        if self.failure:
            raise self.failure


def most_in_window(calls, seconds):
    """The largest number of accepted calls in any window of that length."""
    most, first = 0, 0
    begun = [call.begin for call in calls if call.status == 200]
    for last, begin in enumerate(begun):
        while begun[first] <= begin - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def most_at_once(calls):
    changes = sorted([(call.begin, 1) for call in calls] + [(call.end, -1) for call in calls], key=lambda change: (change[0], change[1]))
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


__all__ = ["Disk", "Server", "Service", "SqlCaller", "most_at_once", "most_in_window", "node", "until", "worker"]
