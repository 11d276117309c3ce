"""What the tests of watch() stand on: processes of examples/adopt on the official SDKs, a cuttable road to the server, and an account of
what their step bodies did."""
import collections
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(1, os.path.join(ROOT, "test", "worker"))

from harness import Cluster, equal, until  # noqa: E402

ROLE = "app"
# The plain script in the extension's place: no library, so no background worker.
PLAIN = os.environ.get("DBOS_SYS_FLAVOUR") == "plain"
Effect = collections.namedtuple("Effect", "executor phase order step place")


class Server(Cluster):
    """`backoff` in ms: how long executors may take to come back after a restart of the server, or when an operator ended their sessions."""

    def __init__(self, name, databases, backoff, standby_of=None, unmaintained=()):
        self.databases, self.backoff = databases, backoff
        settings = (f"dbos_sys.reconnect_backoff={backoff}", "dbos_sys.tick_interval=250", "max_connections=200", "log_min_messages=warning")
        maintained = ("--no-preload",) if PLAIN else ("--databases", ",".join(d for d in databases if d not in unmaintained))
        super().__init__(name, *maintained, *[word for setting in settings for word in ("--conf", setting)],
                         *(("--standby-of", standby_of.name) if standby_of else ()))
        if standby_of:
            return
        admin = self.session("postgres")
        admin.query(f"CREATE ROLE {ROLE} LOGIN")
        for database in databases:
            admin.query(f"CREATE DATABASE {database} OWNER {ROLE}")

    def socket_path(self):
        return f"{self.env['PGHOST']}/.s.PGSQL.{self.env['PGPORT']}"

    def uri(self, database, port=None, language="ts"):
        if language == "py" and not port:
            # SQLAlchemy knows sockets by this form only.
            return f"postgresql://{ROLE}@/{database}?host={self.env['PGHOST']}&port={self.env['PGPORT']}"
        place = f"127.0.0.1:{port}" if port else f"{self.env['PGHOST'].replace('/', '%2F')}:{self.env['PGPORT']}"
        return f"postgresql://{ROLE}@{place}/{database}"

    def crash(self):
        self._run("crash", self.name)

    def crash_in_place(self, session_name, meanwhile=lambda: None):
        """SIGKILL for one backend of that name: the postmaster ends all others and begins anew, under its old start time."""
        admin = self.session("postgres")
        victim = until("a session", lambda: admin.query(f"SELECT pid FROM pg_stat_activity WHERE application_name = '{session_name}'"), 30)
        before = admin.value("SELECT stats_reset FROM pg_stat_archiver")
        os.kill(int(victim[0][0]), signal.SIGKILL)
        meanwhile()
        # Sessions that are there already when the reset is seen stay.
        until("the server has begun anew", lambda: self.session("postgres").value("SELECT stats_reset FROM pg_stat_archiver") != before, 60)

    def standby(self, name):
        """A server that streams from this one, and has everything that this one calls committed from now on."""
        other = Server(name, self.databases, self.backoff, standby_of=self)
        admin = self.session("postgres")
        until("the standby streams", lambda: admin.value("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1", 60)
        admin.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
        admin.query("SELECT pg_reload_conf()")
        until("commits wait for it", lambda: admin.value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1", 60)
        return other

    def promote(self):
        equal(self.session("postgres").value("SELECT pg_promote()", 90), "t", "promoted")


class Ticker(threading.Thread):
    """Somebody who calls maintain() from time to time, where no worker does: as the owner of the tables, who is no superuser."""

    def __init__(self, server, database):
        super().__init__(daemon=True)
        self.session, self.failed, self.over = server.session(database, ROLE), None, threading.Event()
        self.start()

    def run(self):
        try:
            while not self.over.wait(0.25):
                equal(self.session.query("SELECT tick FROM dbos_sys.maintain() WHERE rows IS NULL"), [], "ticks that failed")
        except Exception as error:  # told by end()
            self.failed = error

    def end(self):
        self.over.set()
        self.join(30)
        if self.failed:
            raise AssertionError(f"maintain(): {self.failed}")


class Process:
    """One executor of the application."""

    def __init__(self, uri, folder, name, version="v1", orders=0, at_once=5, step_ms=150, language="ts"):
        self.name, self.version, self.log = name, version, os.path.join(folder, "effects.log")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("DBOS", "PG"))}
        environment |= {"DBOS__VMID": name, "DBOS__APPVERSION": version, "ORDERS": str(orders), "AT_ONCE": str(at_once), "STEP_MS": str(step_ms),
                        "NODE_NO_WARNINGS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        command = ([os.environ["TS_NODE"], os.path.join(os.environ["TS_FOLDER"], "adopt.mjs")] if language == "ts"
                   else [os.environ["PY_PYTHON"], os.path.join(ROOT, "examples", "adopt", "app.py")])
        self.errors = os.path.join(folder, f"{name[:40]}.err")
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen([*command, uri, self.log], env=environment, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)

    def ready(self, timeout=60):
        until(f"{self.name} is ready", lambda: any(e.executor == self.name and e.phase == "ready" for e in effects(self.log)) or self._check(), timeout)
        return self

    def _check(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}: {open(self.errors, encoding='utf-8').read()[-1500:]}")

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()


def effects(path):
    found = []
    for place, line in enumerate(open(path, encoding="utf-8") if os.path.exists(path) else ()):
        words = line.rstrip("\n").split("\t") + [""] * 3
        if line.endswith("\n"):
            found.append(Effect(words[0], words[1], words[2], words[3], place))
    return found


class Account:
    """What the bodies did: `repeated` begins after the first; `together`: begun while another living process was at it; `after` its record."""

    def __init__(self, path, killed):
        self.begins, self.started = collections.Counter(), set()
        self.together, open_bodies = [], {}
        for effect in effects(path):
            key = (effect.order, effect.step)
            if effect.phase == "started":
                self.started.add(effect.order)
            elif effect.phase == "begin":
                self.begins[key] += 1
                other = open_bodies.get(key)
                if other and other.executor != effect.executor and other.executor not in killed:
                    self.together.append((key, other.executor, effect.executor))
                open_bodies[key] = effect
            elif effect.phase == "end" and open_bodies.get(key) and open_bodies[key].executor == effect.executor:
                del open_bodies[key]

    def repeated(self):
        return sum(count - 1 for count in self.begins.values())


class Road:
    """Forwards TCP connections to the server's socket until cut(): then all of them are reset and new ones refused, until mend(). From hold() to
    mend() nothing is handed on, and nobody is told."""

    def __init__(self, path):
        self.path, self.open, self.pairs, self.flowing = path, True, [], threading.Event()
        self.flowing.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if not self.open:
                self._reset(client)
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self.path)
            except OSError:
                self._reset(client)
                continue
            self.pairs.append((client, server))
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    @staticmethod
    def _reset(one):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        one.close()

    def _pump(self, source, target):
        try:
            while data := source.recv(65536):
                self.flowing.wait()
                target.sendall(data)
        except OSError:
            pass
        self._reset(source)
        self._reset(target)

    def cut(self):
        self.open = False
        for pair in self.pairs:
            for one in pair:
                self._reset(one)
        self.pairs = []

    def hold(self):
        self.flowing.clear()

    def mend(self):
        self.open = True
        self.flowing.set()

    def close(self):
        self.mend()
        self.listener.close()


class Pooler:
    """A PgBouncer that lends `size` server sessions by the transaction. It refuses to run as root, as the server does."""

    def __init__(self, server, size):
        self.folder = tempfile.mkdtemp(prefix="pooler.", dir="/tmp")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        ini = os.path.join(self.folder, "ini")
        with open(ini, "w", encoding="utf-8") as settings:
            settings.write(f"[databases]\n* = host={server.env['PGHOST']} port={server.env['PGPORT']}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
                           f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {self.folder}/users\npool_mode = transaction\n"
                           f"default_pool_size = {size}\nmax_client_conn = 200\nlogfile = {self.folder}/log\n")
        with open(os.path.join(self.folder, "users"), "w", encoding="utf-8") as users:
            users.write(f'"{ROLE}" ""\n')
        drop = []
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "postgres:", self.folder], check=True)
            drop = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self.process = subprocess.Popen([*drop, "pgbouncer", "-q", ini], stdin=subprocess.DEVNULL)
        until("the pooler answers", lambda: not socket.socket().connect_ex(("127.0.0.1", self.port)), 10)

    def close(self):
        self.process.terminate()
        self.process.wait(15)
        shutil.rmtree(self.folder)


def row(session, sql):
    return session.query(sql)[0]


def pending(session, executor):
    return int(session.value(f"SELECT count(*) FROM dbos.workflow_status WHERE status = 'PENDING' AND executor_id = '{executor}'"))


def unfinished(session):
    return int(session.value("SELECT count(*) FROM dbos.workflow_status WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED')"))


def now():
    return time.monotonic()
