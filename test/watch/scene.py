"""A database that an application made itself, its processes, and the judgement of what they did."""
import os
import subprocess

from applications import PLAIN, ROLE, ROOT, Account, Process, Ticker, effects, pending, unfinished
from harness import equal, until


def left(session):
    """Each unfinished workflow, and what watch() thinks of the executors: for the message of a wait that was in vain."""
    rows = session.query("SELECT workflow_uuid, status, executor_id, application_version, queue_name, recovery_attempts FROM dbos.workflow_status "
                         "WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED')")
    return f"unfinished {rows}, watched {session.query('SELECT executor_id, application_version, state, pending FROM dbos_sys.watched()')}"


def finished(session, timeout=60):
    try:
        until("all workflows are finished", lambda: unfinished(session) == 0, timeout)
    except AssertionError as error:
        raise AssertionError(f"{error}; {left(session)}") from None


def settled(scene, timeout=60):
    """All workflows are finished but those that the SDK of a living process has let go of: it told its caller so, and they stay PENDING as long as
    the process lives (seen with 5.3.0, when sessions are terminated while it records an outcome; watched or not)."""
    log = os.path.join(scene.folder, "effects.log")
    ids = "SELECT workflow_uuid FROM dbos.workflow_status WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED')"
    try:
        until("all workflows are finished or let go of",
              lambda: {r[0] for r in scene.admin.query(ids)} <= {e.order for e in effects(log) if e.phase == "unanswered"}, timeout)
    except AssertionError as error:
        raise AssertionError(f"{error}; {left(scene.admin)}") from None


# SDK 5.3.0 takes this for an error of the workflow when its sessions are terminated under a write, watched or not.
BROKEN_PIPE = "o.error LIKE '%EPIPE%'"


def judged(session, folder, killed=(), orders=None, broken_pipes=False):
    """Nothing is lost, nothing recorded twice, no body ran while another process was at it."""
    account = Account(os.path.join(folder, "effects.log"), killed)
    equal(account.together, [], "bodies that ran in two living processes at once")
    equal(session.query("SELECT s.workflow_uuid, s.status, s.executor_id, s.recovery_attempts, left(o.error, 300) FROM dbos.workflow_status AS s "
                        "LEFT JOIN dbos.workflow_output AS o USING (workflow_uuid) WHERE s.status <> 'SUCCESS' AND NOT " + (BROKEN_PIPE if broken_pipes else "false")), [], "unsuccessful workflows")
    known = {r[0] for r in session.query("SELECT workflow_uuid FROM dbos.workflow_status")}
    account.lost = account.started - known
    equal(account.lost, set(), "acknowledged and lost")
    if orders is not None:
        equal(len(known), orders, "workflows")
    account.twice = session.query("SELECT s.workflow_uuid FROM dbos.workflow_status AS s WHERE s.status = 'SUCCESS' AND (SELECT count(*) FROM dbos.operation_outputs AS o "
                                  "WHERE o.workflow_uuid = s.workflow_uuid AND o.function_name IN ('reserve', 'charge', 'pack', 'ship')) <> 4")
    equal(account.twice, [], "workflows without exactly one record of each step")
    return account


class Scene:
    """A database that the application made itself, and its processes."""

    def __init__(self, server, folder, database, language="ts", adopted=True, **how):
        self.server, self.database, self.language = server, database, language
        self.folder = os.path.join(folder, database)
        os.makedirs(self.folder)
        self.processes, self.how = [], how
        self.admin = self.ticker = None
        if adopted:
            Process(server.uri(database, language=language), self.folder, "first", language=language).ready().stop()
            self.adopt()

    def start(self, name, *, port=None, ready=True, **how):
        process = Process(self.server.uri(self.database, port, self.language), self.folder, name, **({"language": self.language} | self.how | how))
        self.processes.append(process)
        return process.ready() if ready else process

    def adopt(self):
        if PLAIN:
            env = self.server.env
            subprocess.run([os.path.join(env["BINDIR"], "psql"), "-Xq", "-v", "ON_ERROR_STOP=1", "-h", env["PGHOST"], "-p", env["PGPORT"], "-U", ROLE, "-d", self.database,
                            "-f", os.path.join(ROOT, "extension", "dbos_sys-plain.sql")], check=True, stdout=subprocess.DEVNULL)
            # From here on without a superuser.
            self.admin = self.server.session(self.database, ROLE)
        else:
            self.admin = self.server.session(self.database)
            self.admin.query("CREATE EXTENSION dbos_sys")
        self.admin.query("SET client_min_messages = error; SELECT dbos_sys.install()")
        if PLAIN:
            self.ticker = Ticker(self.server, self.database)

    def watch(self, more="", grace="1 s"):
        name = "" if self.language == "ts" else ", session_name => 'orders_{executor}_{version}'"
        return self.admin.query(f"SELECT executor_id, state FROM dbos_sys.watch('orders', grace => '{grace}'{name}{more})")

    def busy(self, process, count=3):
        until(f"{process.name} is busy", lambda: pending(self.admin, process.name) >= count, 30)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.stop()
        if self.ticker:
            self.ticker.end()
