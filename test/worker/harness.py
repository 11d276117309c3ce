"""What the tests of the background workers stand on: sessions through libpq, private
clusters of scripts/cluster, polling with a limit, and TAP lines."""
import ctypes
import os
import select
import shlex
import subprocess
import sys
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLUSTER = os.path.join(ROOT, "scripts", "cluster")
os.environ.setdefault("DBOS_SYS_RUN", f"w{os.getpid()}")

_pq = ctypes.CDLL("libpq.so.5")


class _Notify(ctypes.Structure):
    _fields_ = [("relname", ctypes.c_char_p), ("be_pid", ctypes.c_int), ("extra", ctypes.c_char_p)]


def _declare(name, result, *arguments):
    function = getattr(_pq, name)
    function.restype = result
    function.argtypes = arguments


_P, _S, _I = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
for _name, _signature in {
    "PQconnectdb": (_P, _S), "PQstatus": (_I, _P), "PQerrorMessage": (_S, _P), "PQfinish": (None, _P),
    "PQsendQuery": (_I, _P, _S), "PQgetResult": (_P, _P), "PQisBusy": (_I, _P), "PQconsumeInput": (_I, _P),
    "PQsocket": (_I, _P), "PQbackendPID": (_I, _P), "PQresultStatus": (_I, _P), "PQresultErrorField": (_S, _P, _I),
    "PQntuples": (_I, _P), "PQnfields": (_I, _P), "PQgetvalue": (_S, _P, _I, _I), "PQgetisnull": (_I, _P, _I, _I),
    "PQclear": (None, _P), "PQnotifies": (ctypes.POINTER(_Notify), _P), "PQfreemem": (None, _P),
    "PQsetNoticeReceiver": (_P, _P, _P, _P),
}.items():
    _declare(_name, *_signature)
_ignore_notice = ctypes.CFUNCTYPE(None, _P, _P)(lambda argument, result: None)


class SqlError(Exception):
    def __init__(self, state, message):
        super().__init__(f"{state}: {message}")
        self.state, self.message = state, message


class Session:
    """One connection. `send` leaves a query running, `rows` waits for its result."""

    def __init__(self, conninfo):
        self._conn = _pq.PQconnectdb(conninfo.encode())
        if _pq.PQstatus(self._conn) != 0:
            message = _pq.PQerrorMessage(self._conn).decode()
            self.close()
            raise SqlError("08001", message)
        _pq.PQsetNoticeReceiver(self._conn, ctypes.cast(_ignore_notice, _P), None)
        self.pid = _pq.PQbackendPID(self._conn)

    def close(self):
        if self._conn:
            _pq.PQfinish(self._conn)
            self._conn = None

    def send(self, sql):
        if not _pq.PQsendQuery(self._conn, sql.encode()):
            raise SqlError("08006", _pq.PQerrorMessage(self._conn).decode())

    def _input(self, seconds):
        ready = select.select([_pq.PQsocket(self._conn)], [], [], max(seconds, 0))[0]
        if ready and not _pq.PQconsumeInput(self._conn):
            raise SqlError("08006", _pq.PQerrorMessage(self._conn).decode())
        return bool(ready)

    def running(self):
        while _pq.PQisBusy(self._conn) and self._input(0):
            pass
        return bool(_pq.PQisBusy(self._conn))

    def rows(self, timeout=30):
        """Rows of the last result as lists of text, None for NULL."""
        limit, rows, error = time.monotonic() + timeout, [], None
        while True:
            while _pq.PQisBusy(self._conn):
                if not self._input(limit - time.monotonic()) and time.monotonic() >= limit:
                    raise AssertionError(f"no reply within {timeout} s")
            result = _pq.PQgetResult(self._conn)
            if not result:
                break
            error = error or self._error(result)
            rows = self._values(result)
            _pq.PQclear(result)
        if error:
            raise error
        return rows

    @staticmethod
    def _error(result):
        if _pq.PQresultStatus(result) != 7:
            return None
        field = lambda code: (_pq.PQresultErrorField(result, ord(code)) or b"").decode()
        return SqlError(field("C"), field("M"))

    @staticmethod
    def _values(result):
        cell = lambda r, c: None if _pq.PQgetisnull(result, r, c) else _pq.PQgetvalue(result, r, c).decode()
        return [[cell(r, c) for c in range(_pq.PQnfields(result))] for r in range(_pq.PQntuples(result))]

    def query(self, sql, timeout=30):
        self.send(sql)
        return self.rows(timeout)

    def value(self, sql, timeout=30):
        return self.query(sql, timeout)[0][0]

    def payloads(self, timeout):
        """Payloads of the notifications that have come, waiting for the first."""
        limit, found = time.monotonic() + timeout, []
        while True:
            _pq.PQconsumeInput(self._conn)
            while notify := _pq.PQnotifies(self._conn):
                found.append(notify.contents.extra.decode())
                _pq.PQfreemem(notify)
            if found or not self._input(limit - time.monotonic()) and time.monotonic() >= limit:
                return found


class Cluster:
    def __init__(self, name, *options):
        self.name = name
        self._run("start", name, "--owner", str(os.getpid()), *options)
        self.env = dict(shlex.split(line)[0].split("=", 1) for line in self._run("env", name).splitlines())
        self._sessions = []

    @staticmethod
    def _run(*arguments):
        done = subprocess.run([CLUSTER, *arguments], text=True, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"cluster {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def session(self, database="dbos_sys", user="postgres"):
        env = self.env
        session = Session(f"host={env['PGHOST']} port={env['PGPORT']} user={user} dbname={database} connect_timeout=5")
        session.cluster = self
        self._sessions.append(session)
        return session

    def close_sessions(self):
        for session in self._sessions:
            session.close()
        self._sessions = []

    def log(self):
        with open(self.env["LOG"], encoding="utf-8", errors="replace") as file:
            return file.read()

    def stop(self):
        """Stops as `pg_ctl stop -m fast`."""
        self._run("stop", self.name)

    def start(self):
        self._run("start", self.name)

    def destroy(self):
        self.close_sessions()
        self._run("destroy", self.name)


class Disk(threading.Thread):
    """Writes to a file beside the server's and notes when that takes long: while the disk stands still no commit ends, whoever waits for it.
    Moments are time.monotonic()."""
    LONG = 0.05

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.path = os.path.join(os.path.dirname(cluster.env["LOG"]), "disk")
        self.stopped, self.writing, self.stalls = threading.Event(), threading.Lock(), []

    def run(self):
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT)
        while not self.stopped.wait(0.02):
            with self.writing:
                begin = time.monotonic()
                os.pwrite(file, b"x", 0)
                os.fdatasync(file)
                end = time.monotonic()
                if end - begin > self.LONG:
                    self.stalls.append((begin, end))
        os.close(file)

    def stood(self, moment):
        return any(begin <= moment < end for begin, end in self.stalls)

    def seconds(self, begin, end):
        """How long it did not stand still between the two."""
        with self.writing:
            return end - begin - sum(max(0, min(end, to) - max(begin, since)) for since, to in self.stalls)

    def since(self, begin):
        return self.seconds(begin, time.monotonic())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.join()


def until(what, condition, timeout=15.0):
    """The first true value of condition(), which may fail with SqlError meanwhile."""
    limit = time.monotonic() + timeout
    while True:
        try:
            if value := condition():
                return value
            last = value
        except SqlError as error:
            last = error
        if time.monotonic() > limit:
            raise AssertionError(f"not within {timeout} s: {what} (last: {last!r})")
        time.sleep(0.02)


def equal(found, wanted, what="value"):
    if found != wanted:
        raise AssertionError(f"{what}: found {found!r}, wanted {wanted!r}")


def raises(state, session, sql):
    try:
        found = session.query(sql)
    except SqlError as error:
        equal(error.state, state, f"SQLSTATE of {sql} ({error.message})")
        return error
    raise AssertionError(f"{sql} gave {found!r}, wanted {state}")


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def run(self, test, *arguments):
        self.count += 1
        name = test.__doc__.split("\n")[0]
        try:
            test(*arguments)
            print(f"ok {self.count} - {name}", flush=True)
        except Exception:
            self.failed += 1
            print(f"not ok {self.count} - {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)

    def finish(self):
        print(f"1..{self.count}", flush=True)
        sys.exit(1 if self.failed else 0)
