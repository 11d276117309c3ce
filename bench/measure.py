"""One measurement: a fresh database, a driver (load or sdk.mjs), counters around its work, and the check of the tables afterwards."""

import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass

from processes import Child, Failure, machine_cpu, tree_cpu
from server import Session

# Longest that a driver may take for one phase.
LIMIT = 180


@dataclass
class Sample:
    """Of one phase of one run. Per 1,000 means per 1,000 workflows, or steps where steps are what the case counts."""

    phase: str
    metrics: dict

    def summary(self):
        parts = [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in self.metrics.values()]
        return f"{self.phase} ".lstrip() + ", ".join(f"{name} {part}" for name, part in zip(self.metrics, parts))


class Bench:
    def __init__(self, server, commands, delay, work, scale, forwarder):
        self.server, self.commands, self.delay, self.work = server, commands, delay, work
        self.scale, self.forwarder = scale, forwarder

    def measure(self, case, system, prepare_next):
        count = case.count(system) if case.unit != "wf/s" else max(1, round(case.count(system) * self.scale))
        database = self.server.new_database(system)
        try:
            if prepare_next and system == "ours":
                self.server.make_spare()
            with self._delay_server(case) as port:
                phases = ("enqueue", "drain") if case.queued else ("direct",)
                warm, samples = 0, []
                for phase in phases:
                    sample, warmed = self._phase(case, system, database, phase, count, warm, port)
                    warm += warmed
                    samples.append(sample)
            return samples
        finally:
            self.server.drop_database(database)

    def _phase(self, case, system, database, phase, count, warm, port):
        # Our runtime serves its queues from launch() on, so its drain has no warm-up; it needs none either.
        warm_up = 0 if system == "ours" and phase == "drain" else case.warm_up
        driver = self._start(case, system, database, phase, count, warm_up, port)
        session = None
        try:
            self._expect(driver, "ready")
            session = Session(self.server, database)
            begun = self.server.begin(database, session)
            sample = self._work(case, system, phase, count, driver, session, begun, warm + warm_up)
            driver.finish()
            if phase != "enqueue":
                total = sum(case.result_sum(n) for n in (count, *self._warm_ups(case, system, phase)))
                self.server.check(session, count + warm + warm_up, case.steps, total)
            return sample, warm_up
        finally:
            driver.kill()
            if session:
                session.close()

    @staticmethod
    def _warm_ups(case, system, phase):
        if phase == "drain" and system != "ours":
            return case.warm_up, case.warm_up
        return (case.warm_up,)

    def _work(self, case, system, phase, count, driver, session, begun, warmed):
        """The measured time itself."""
        others, client = self._others(), tree_cpu(driver.pid)
        since, wire = time.monotonic(), self._trips()
        driver.say("go")
        done = self._expect(driver, "done")
        if phase == "drain":
            done["ended_ns"] = self.server.wait_for_success(session, count + warmed, 60)
        client = tree_cpu(driver.pid) - client
        others = (self._others() - others) / (time.monotonic() - since)
        counters = self.server.end(begun)
        wire = self._trips() - wire
        units = count * case.steps if case.unit == "steps/s" else count
        # The SDK sends one statement a trip; ours sends BEGIN … COMMIT as one.
        trips = counters.transactions if system == "ours" else counters.statements
        self._compare_trips(trips, wire)
        seconds = (done["ended_ns"] - done["started_ns"]) / 1e9
        metrics = {"rate": units / seconds} if case.unit != "ms" else {"p50": done["p50_ns"] / 1e6, "p99": done["p99_ns"] / 1e6}
        thousands = units / 1000
        metrics |= {
            "commits": counters.commits / thousands,
            "trips": trips / thousands,
            "statements": counters.statements / thousands,
            "wal": counters.wal_bytes / units,
            "full_pages": counters.full_page_bytes / units,
            "server_cpu": counters.server_cpu / thousands,
            "client_cpu": client / thousands,
            "others": max(0.0, others),
        }
        if self.forwarder:
            metrics["wire"] = wire / thousands
        return Sample("" if phase == "direct" else phase, metrics)

    def _others(self):
        """CPU seconds of everything on the machine but the server and the bench."""
        return machine_cpu() - tree_cpu(os.getpid()) - tree_cpu(self.server.pid)

    def _trips(self):
        return self.forwarder.trips if self.forwarder else 0

    def _compare_trips(self, counted, wire):
        """Connecting costs trips that the server does not count, and the two are not read at the same moment."""
        if self.forwarder and not counted * 0.95 - 25 <= wire <= counted * 1.05 + 60:
            raise Failure(f"the server counts {counted} round trips, on the wire there were {wire}")

    def _start(self, case, system, database, phase, count, warm_up, port):
        uri = self.server.uri(database)
        if self.forwarder:
            uri = uri.replace(f":{self.server.port}/", f":{self.forwarder.port}/")
        command = [*self.commands[system], phase, "--database", uri, "--steps", str(case.steps), "--count", str(count)]
        command += ["--in-flight", str(case.in_flight), "--warm-up", str(warm_up)]
        if port:
            command += ["--delay-port", port]
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "DBOS"))}
        env |= {"NODE_NO_WARNINGS": "1", "DBOS__APPVERSION": "bench"}
        return Child(command, os.path.join(self.work, f"{system}.log"), env)

    @staticmethod
    def _expect(driver, word):
        line = driver.line(LIMIT)
        if line.split(" ", 1)[0] != word:
            driver.fail(f"said '{line}' instead of {word}")
        return json.loads(line[len(word) :] or "null")

    @contextmanager
    def _delay_server(self, case):
        """The port of a server that answers late, or nothing."""
        if not case.delay_ms:
            yield None
            return
        child = Child([self.delay, str(case.delay_ms)], os.path.join(self.work, "delay.log"))
        try:
            yield child.line(10)
            child.finish()
        finally:
            child.kill()
