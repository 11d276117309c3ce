"""Faults at random over a while: workers that are killed, frozen, asked to leave; sessions and
backends that end; servers that crash; connections that break. Batches of workflows are started
again until every caller was told; then the auditor judges all of them."""
import collections
import os
import random
import signal
import time

from auditor import Audit
from lib import Server, SqlError, Worker, finished, until
from links import Proxy

APPLICATION = "chaos"
LEASE_MS, GRACE, TICK, BACKOFF_MS = 3000, 1000, 200, 3000
WORKERS, BATCHES, BATCH = 4, 2, 25
LAUNCH_S = 20
COMMON = ("--lease-ms", LEASE_MS, "--step-ms", 20, "--nap-ms", 500)


class Slot:
    """A process that is started again whenever it has ended."""

    def __init__(self, start):
        self.start, self.worker, self.frozen_until, self.since = start, start(), 0.0, time.monotonic()

    def tend(self, now):
        if self.frozen_until and now >= self.frozen_until:
            self.worker.signal(signal.SIGCONT)
            self.frozen_until = 0.0
        # A launch whose connection fell silent does not come back: whoever supervises gives it up.
        if now > self.since + LAUNCH_S and not self.worker.is_ready():
            self.worker.kill()
        if not self.worker.alive():
            self.worker, self.frozen_until, self.since = self.start(), 0.0, now


class Batch:
    """Starts the same workflows until all of them were told."""

    def __init__(self, server, number):
        self.server, self.prefix, self.tries, self.said = server, f"b{number}", 0, []
        self.slot = Slot(self.start)

    def start(self):
        self.tries += 1
        worker = Worker(self.server, "start", self.prefix, f"{self.prefix}.{self.tries}", "--count", BATCH, *COMMON, application=APPLICATION)
        self.said.append(worker.said)
        return worker

    def told(self):
        worker = self.slot.worker
        return worker.process.poll() == 0 and len(worker.words("result")) + len(worker.words("failed")) == BATCH


class Chaos:
    def __init__(self, server, proxy, seed):
        self.server, self.proxy, self.random = server, proxy, random.Random(seed)
        self.batches, self.done, self.counts, self.names = [], [], collections.Counter(), 0
        self.slots = [Slot(lambda place=place: self.work(place)) for place in range(WORKERS)]

    def work(self, place):
        """The first two keep their executor ids, the last goes through the proxy."""
        self.names += 1
        name = f"w{place}" if place < 2 else f"w{place}.{self.names}"
        uri = self.proxy.uri() if place == WORKERS - 1 else None
        return Worker(self.server, "work", "chaos", name, *COMMON, uri=uri, application=APPLICATION)

    def everybody(self):
        return self.slots + [batch.slot for batch in self.batches]

    def tend(self):
        now = time.monotonic()
        for batch in list(self.batches):
            if batch.told():
                self.batches.remove(batch)
                self.done.append(batch)
        for slot in self.everybody():
            slot.tend(now)

    # ---- faults
    def kill(self):
        self.random.choice(self.everybody()).worker.kill()

    def freeze(self):
        slot = self.random.choice(self.everybody())
        if slot.worker.alive() and not slot.frozen_until:
            slot.worker.signal(signal.SIGSTOP)
            slot.frozen_until = time.monotonic() + self.random.uniform(0.5, 2.5 * LEASE_MS / 1000)

    def leave(self):
        slot = self.random.choice(self.everybody())
        if slot.worker.alive():
            slot.worker.signal(signal.SIGTERM)

    def sql(self, statement):
        try:
            session = self.server.session()
            found = session.query(statement)
            session.close()
            return found
        except SqlError:
            return []

    def cut_sessions(self):
        self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE starts_with(application_name, 'dbos_sys/') AND random() < {self.random.random():.2f}")

    def cancel_statements(self):
        self.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE starts_with(application_name, 'dbos_sys/') AND state = 'active'")

    def end_ticker(self):
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type LIKE 'dbos_sys%'")

    def kill_backend(self):
        found = self.sql("SELECT pid FROM pg_stat_activity WHERE starts_with(application_name, 'dbos_sys/') ORDER BY random() LIMIT 1")
        if found:
            os.kill(int(found[0][0]), signal.SIGKILL)

    def crash_server(self):
        self.server.crash()
        time.sleep(self.random.uniform(0, 2))
        self.server.start()

    def restart_server(self):
        self.server.stop()
        self.server.start()

    FAULTS = ((8, kill), (5, freeze), (4, leave), (6, cut_sessions), (3, cancel_statements), (1, end_ticker), (2, kill_backend), (1, crash_server),
              (1, restart_server))

    def run(self, seconds):
        end, number = time.monotonic() + seconds, 0
        weights, faults = zip(*self.FAULTS)
        next_fault = 0.0
        while time.monotonic() < end:
            while len(self.batches) < BATCHES:
                number += 1
                self.batches.append(Batch(self.server, number))
            self.tend()
            if time.monotonic() >= next_fault:
                fault = self.random.choices(faults, weights)[0]
                self.counts[fault.__name__] += 1
                before = time.monotonic()
                fault(self)
                print(f"# {fault.__name__} {time.monotonic() - before:.1f} s", flush=True)
                next_fault = time.monotonic() + self.random.uniform(0.1, 2.0)
            time.sleep(0.05)

    def calm_down(self):
        """No more faults: everything must come to its end by itself."""
        def all_told():
            self.tend()
            return not self.batches
        for slot in self.everybody():
            slot.frozen_until = slot.frozen_until and 1.0
        until("every caller was told", all_told, 120)
        session = until("the server answers", self.server.session, 30)
        for batch in self.done:
            finished(session, batch.prefix, 60)
        for slot in self.slots:
            if slot.worker.is_ready():
                slot.worker.stop()
        return session


def run(tests, folder, seed, minutes):
    server = Server("chaos", GRACE, TICK, folder, f"dbos_sys.reconnect_backoff={BACKOFF_MS}")
    try:
        with Proxy(server, "chaos", seed, "reply_lost,in_flight,cut,torn,delay,refuse,black_hole", every=20, most=1000000) as proxy:
            chaos = Chaos(server, proxy, seed)
            proxy.begin()
            tests.run([(f"{minutes:g} minutes of faults (seed {seed}): every start is told and everything ends", lambda: chaos.run(minutes * 60)),
                       ("without faults everything comes to its end by itself", lambda: setattr(chaos, "session", chaos.calm_down()))], 1)
            print(f"# {len(chaos.done)} batches; faults: {dict(chaos.counts)}; of the proxy: {dict(proxy.faults())}", flush=True)
        tests.run([(f"batch {batch.prefix}, started {batch.tries} times: all invariants hold", lambda batch=batch: judge(chaos, batch)) for batch in chaos.done], 1)
    finally:
        for worker in getattr(server, "workers", []):
            worker.kill()
        server.destroy()


def judge(chaos, batch):
    audit = Audit(chaos.session, batch.prefix, batch.slot.worker.log, batch.said).run()
    assert len(audit.rows) >= BATCH, f"{len(audit.rows)} rows"
