"""Broken connections between workers and the server, by proxy.py at chosen places of the
protocol: outcomes that stay unknown, cuts, silence, delay."""
import collections
import os
import signal
import subprocess
import sys

from auditor import Audit
from executors import begun, busy, executor, incarnation
from lib import HERE, Worker, equal, finished, read, until

GRACE, TICK = 2000, 500
COUNT = 30


class Proxy:
    def __init__(self, server, name, seed, kinds, every=3, most=25, delay=200):
        self.server = server
        self.said = os.path.join(server.folder, f"{name}.proxy")
        port = server.env["TCP_URI"].rsplit(":", 1)[1].strip("/")
        command = [sys.executable, "-B", os.path.join(HERE, "proxy.py"), "--server", f"127.0.0.1:{port}", "--seed", str(seed), "--kinds", kinds,
                   "--every", str(every), "--most", str(most), "--delay", str(delay)]
        with open(self.said, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out)
        until("the proxy listens", lambda: read(self.said).startswith("port "))
        self.port = int(read(self.said).split()[1])

    def uri(self):
        return self.server.tcp_uri(self.port) + "?sslmode=disable&gssencmode=disable"

    def begin(self):
        self.process.send_signal(signal.SIGUSR1)

    def faults(self):
        return collections.Counter(line.split()[1] for line in read(self.said).splitlines() if line.startswith("fault "))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()


def broken(server, seed, prefix, kinds, faults_at_least, may_run_twice=False, **how):
    """Two workers, both behind a proxy; all starts are told in the end, and the auditor finds nothing."""
    session = server.session()
    with Proxy(server, prefix, seed, kinds, **how) as proxy:
        helper = Worker(server, "work", prefix, f"{prefix}.helper", "--lease-ms", 5000, uri=proxy.uri()).ready()
        worker = Worker(server, "start", prefix, f"{prefix}.starter", "--count", COUNT, "--step-ms", 10, "--lease-ms", 5000, uri=proxy.uri()).ready()
        proxy.begin()
        worker.ends_well(60)
        finished(session, prefix)
        happened = proxy.faults()
        helper.stop()
    equal(len(worker.words("ack")), COUNT, "acknowledged starts")
    equal(len(worker.words("result")) + len(worker.words("failed")), COUNT, "waiters told")
    assert sum(happened.values()) >= faults_at_least and len(happened) > len(kinds.split(",")) / 2, f"faults: {happened}"
    audit = Audit(session, prefix, worker.log, [worker.said, helper.said]).run()
    if not may_run_twice:
        equal({key: count for key, count in audit.bodies().items() if count > 1}, {}, "bodies that ran again")
    return audit


def stuck(server, seed):
    """a connection that falls silent in the middle of a transaction: the server ends its session and with it the locks, the work goes on"""
    session = server.session()
    with Proxy(server, "l7", seed, "stuck", every=1, most=2) as proxy:
        worker = Worker(server, "start", "l7", "l7.silenced", "--kinds", "chain", "--way", "direct", "--count", 6, "--threads", 6, "--step-ms", 300,
                        "--lease-ms", 3000, uri=proxy.uri()).ready()
        busy(session, worker, 6)
        proxy.begin()
        until("two connections are silent", lambda: proxy.faults()["stuck"] == 2)
        held = "SELECT FROM pg_stat_activity WHERE application_name LIKE 'dbos_sys/%' AND xact_start < now() - interval '1 second' AND wait_event = 'ClientRead'"
        until("their transactions stand", lambda: session.query(held))
        heir = Worker(server, "work", "l7", "l7.heir").ready()
        until("none stands any more", lambda: not session.query(held), 25)
        finished(session, "l7")
        worker.ends_well()
        heir.stop()
    equal(len(worker.words("result")), 6, "waiters told")
    Audit(session, "l7", worker.log, [worker.said, heir.said]).run()


def black_hole(server, seed):
    """a connection that falls silent without an end: within the lease another executor has the work, and the silenced one works again"""
    session = server.session()
    with Proxy(server, "l5", seed, "black_hole", every=1, most=2) as proxy:
        worker = Worker(server, "start", "l5", "l5.silenced", "--kinds", "chain", "--way", "direct", "--count", 6, "--threads", 6, "--step-ms", 300,
                        "--lease-ms", 3000, uri=proxy.uri()).ready()
        busy(session, worker, 6)
        first = incarnation(session, worker)
        proxy.begin()
        until("two connections are silent", lambda: proxy.faults()["black_hole"] == 2)
        heir = Worker(server, "work", "l5", "l5.heir").ready()
        until("the silenced one joins again", lambda: incarnation(session, worker) != first, 25)
        finished(session, "l5")
        worker.ends_well()
        heir.stop()
    equal(len(worker.words("result")), 6, "waiters told")
    Audit(session, "l5", worker.log, [worker.said, heir.said]).run()


def tests(server, random):
    def case(name, *arguments, **how):
        seed = random.randrange(1000000)
        return f"{name} (proxy seed {seed})", lambda: broken(server, seed, *arguments, **how)

    seed = random.randrange(1000000)
    return [
        (f"{black_hole.__doc__} (proxy seed {seed})", lambda: black_hole(server, seed)),
        (f"{stuck.__doc__} (proxy seed {seed})", lambda: stuck(server, seed)),
        case("the reply of a COMMIT is lost: what committed is found again, nothing is recorded or run twice", "l1", "reply_lost", 10),
        case("the connection ends while the server commits: the outcome is settled by key and token, nothing runs twice", "l2", "in_flight", 10),
        case("the connection ends before the COMMIT: the whole transaction is sent again, nothing is lost", "l3", "cut,refuse", 10),
        case("an answer stops in the middle of a message: it counts as lost, never as read", "l4", "torn", 10),
        case("delays, cuts and lost replies together: nothing is lost", "l6", "reply_lost,in_flight,cut,torn,delay,refuse", 20, most=40),
    ]
