"""What the crash tests stand on: a cluster with the system database, worker processes,
and tests that run side by side."""
import concurrent.futures
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(1, os.path.join(ROOT, "test", "worker"))

from harness import Cluster, SqlError, until  # noqa: E402

WORKER = os.path.join(os.environ.get("BUILD", os.path.join(ROOT, "build")), "client", "crash", "crash_worker")
WORKER = os.environ.get("CRASH_WORKER", WORKER)
DATABASE = "dbos_sys"
# Workers connect as the tables' owner, which is no superuser.
ROLE = "app"


class Server(Cluster):
    """A private server with the system database; `grace` and `tick` in ms. Not `maintained`: no background worker is at work in it."""

    def __init__(self, name, grace, tick, folder, *settings, maintained=True):
        options = [f"--conf=dbos_sys.grace={grace}", f"--conf=dbos_sys.tick_interval={tick}", "--conf=track_commit_timestamp=on",
                   "--conf=max_connections=120", "--conf=log_min_messages=warning", *(f"--conf={s}" for s in settings)]
        super().__init__(name, "--tcp", *([] if maintained else ["--databases", ""]), *[word for option in options for word in option.split("=", 1)])
        self.grace, self.folder = grace / 1000, folder
        self.lock = threading.Lock()
        admin = self.session("postgres")
        admin.query(f"CREATE DATABASE {DATABASE} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
        session = self.session()
        session.query("CREATE EXTENSION dbos_sys")
        session.query(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{self.env['PASSWORD']}'; SELECT dbos_sys.install('{ROLE}')")
        self.close_sessions()
        if maintained:
            self.wait_for_ticks()

    def session(self, database=DATABASE, user="postgres"):
        with self.lock:
            return super().session(database, user)

    def wait_for_ticks(self):
        session = self.session()
        until("the worker ticks", lambda: session.query("SELECT WHERE dbos_sys.is_maintained(dbos_sys.now_ms())"), 20)
        session.close()

    def tcp_uri(self, port=None):
        """With a password; through a proxy when its port is given."""
        uri = self.env["TCP_URI"].replace("//postgres:", f"//{ROLE}:") + DATABASE
        return uri if port is None else re.sub(r":\d+/", f":{port}/", uri)

    def uri(self):
        return self.env["URI"].replace("//postgres@", f"//{ROLE}@") + DATABASE

    def crash(self):
        self._run("crash", self.name)

    def read_env(self):
        lines = self._run("env", self.name).splitlines()
        return {key: (shlex.split(value) or [""])[0] for key, value in (line.split("=", 1) for line in lines)}


class Worker:
    """A process of crash_worker. What it says is kept in a file, which the auditor reads as acknowledgements."""

    def __init__(self, server, mode, prefix, executor, *options, crash=None, uri=None, application=None):
        self.server, self.prefix, self.executor = server, prefix, executor
        self.application = application or prefix
        self.log = os.path.join(server.folder, f"{self.application}.log")
        base = os.path.join(server.folder, f"{executor}.{time.monotonic_ns()}")
        self.said, self.errors = base + ".out", base + ".err"
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("DBOS", "PG"))}
        if crash:
            environment["DBOS_SYS_CRASHPOINT"] = crash
        command = [WORKER, mode, "--database", uri or server.uri(), "--log", self.log, "--executor", executor,
                   "--application", self.application, "--prefix", prefix, *map(str, options)]
        with open(self.said, "wb") as out, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(command, stdout=out, stderr=errors, stdin=subprocess.DEVNULL, env=environment)
        with server.lock:
            workers = getattr(server, "workers", [])
            server.workers = workers + [self]

    @property
    def pid(self):
        return self.process.pid

    def words(self, kind):
        """What follows `kind` in the lines that it begins."""
        return [line[len(kind) + 1:] for line in read(self.said).splitlines() if line.split(" ")[0] == kind]

    def ready(self, timeout=20):
        until(f"{self.executor} is ready", lambda: self.is_ready() or self._alive(), timeout)
        return self

    def is_ready(self):
        return read(self.said).startswith("ready\n")

    def _alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.executor} ended with {self.process.returncode}: {self.stderr()}")

    def alive(self):
        return self.process.poll() is None

    def stderr(self):
        return read(self.errors)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=40):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.executor} did not end within {timeout} s; it said:\n{self.stderr()[-1500:]}") from None

    def dies(self, timeout=30):
        """Waits for the death by SIGKILL that a crash point brings."""
        code = self.wait(timeout)
        assert code == -signal.SIGKILL, f"{self.executor} ended with {code}, not by SIGKILL: {self.stderr()}"

    def ends_well(self, timeout=40):
        code = self.wait(timeout)
        assert code == 0, f"{self.executor} ended with {code}: {self.stderr()}"

    def stop(self):
        if self.alive():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            self.ends_well(15)

    def kill(self):
        if self.alive():
            self.process.kill()
            self.process.wait()


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def rows(session, prefix, columns="*", where="true"):
    return session.query(f"SELECT {columns} FROM dbos.workflow_status WHERE starts_with(workflow_uuid, '{prefix}-') AND {where} ORDER BY workflow_uuid")


def finished(session, prefix, timeout=40):
    """Waits until nothing with the prefix is left to do."""
    def done():
        left = rows(session, prefix, "workflow_uuid, status, executor_id, recovery_attempts", "status IN ('ENQUEUED', 'DELAYED', 'PENDING')")
        if left:
            raise SqlError("", f"unfinished: {left[:5]}")
        return True
    until(f"all of {prefix} are finished", done, timeout)


def equal(found, wanted, what="value"):
    if found != wanted:
        raise AssertionError(f"{what}: found {found!r}, wanted {wanted!r}")


class Tests:
    """Runs named tests, some side by side; prints TAP."""

    def __init__(self, only=None):
        self.only, self.count, self.failed = only, 0, 0
        self._lock = threading.Lock()

    def _one(self, name, body):
        error, before = None, time.monotonic()
        try:
            body()
        except Exception:
            error = traceback.format_exc()
        with self._lock:
            self.count += 1
            self.failed += error is not None
            print(f"{'not ok' if error else 'ok'} {self.count} - {name}", flush=True)
            for line in (self._last(error) or f"{time.monotonic() - before:.1f} s").splitlines():
                print(f"# {line}", flush=True)

    @staticmethod
    def _last(error):
        """Of a traceback the places in the tests, and the error."""
        return error and "\n".join(line for line in error.splitlines() if "~~~" not in line and "^^^" not in line)[-2500:]

    def run(self, tests, side_by_side=4):
        """tests: (name, callable)."""
        wanted = [test for test in tests if not self.only or self.only in test[0]]
        with concurrent.futures.ThreadPoolExecutor(side_by_side) as pool:
            list(pool.map(lambda test: self._one(*test), wanted))

    def finish(self):
        print(f"1..{self.count}", flush=True)
        return 1 if self.failed or not self.count else 0
