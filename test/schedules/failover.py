#!/usr/bin/env python3
"""Schedules and a standby: the primary fires, is cut off from an asynchronous standby, goes on firing and crashes; the standby is promoted and goes on
where its copy ends. What only the primary had is fired again. failover.py WORKER. Prints TAP."""
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(1, os.path.join(ROOT, "test", "worker"))

from harness import CLUSTER, Cluster, Tap, equal, until  # noqa: E402

# `live` is fired by the background worker, beside a C++ application, in real time. `later` nobody maintains: sessions tick with a clock of their own.
LIVE, LATER = "live", "later"
SETTINGS = ("--databases", LIVE, "--conf", "dbos_sys.tick_interval=250", "--conf", "dbos_sys.reconnect_backoff=1s")
START = 1800000000000  # 2027-01-15 08:00 UTC
HOUR = 3600000
BACKFILLED = '{"automatic_backfill": true, "context": {"most": 7, "unit": "s"}, "application_name": "counts"}'


def iso(ms):
    return f"2027-01-15T{8 + (ms - START) // HOUR:02d}:{(ms - START) // 60000 % 60:02d}:00.000Z"


class Server(Cluster):
    """One session for each database."""

    def __init__(self, name, *options):
        self.kept = {}
        super().__init__(name, *SETTINGS, *options)

    def query(self, database, sql, timeout=30):
        if database not in self.kept:
            self.kept[database] = self.session(database)
        return self.kept[database].query(sql, timeout)

    def value(self, database, sql, timeout=30):
        return self.query(database, sql, timeout)[0][0]

    def crash(self):
        self.close_sessions()
        self._run("crash", self.name)


def make(server):
    server.query("postgres", "CREATE ROLE app LOGIN")
    for database in (LIVE, LATER):
        server.query("postgres", f"CREATE DATABASE {database} OWNER app")
        server.query(database, "CREATE EXTENSION dbos_sys")
        server.query(database, "SELECT dbos_sys.install()")
        # Each row that is made, whatever becomes of it: a time that has been fired twice stands here twice.
        server.query(database, """
            CREATE TABLE public.fired (place serial, id text, schedule text, made_at bigint DEFAULT dbos_sys.now_ms());
            CREATE FUNCTION public.note_fired() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN INSERT INTO public.fired (id, schedule) VALUES (NEW.workflow_uuid, NEW.schedule_name); RETURN NULL; END$$;
            CREATE TRIGGER note_fired AFTER INSERT ON dbos.workflow_status FOR EACH ROW EXECUTE FUNCTION public.note_fired();
            GRANT ALL ON public.fired, public.fired_place_seq TO PUBLIC""")


class Worker:
    """The application `counts`: makes the schedule `count`, of every second, and runs what it has enqueued, and what `filled` has."""

    def __init__(self, program, server, log):
        uri = f"postgresql://app@{server.env['PGHOST'].replace('/', '%2F')}:{server.env['PGPORT']}/{LIVE}"
        read, write = os.pipe()
        with open(log, "ab") as output:
            self.process = subprocess.Popen(["bash", "-c", f"exec 3>&{write}; exec \"$@\"", "worker", program, uri, "counts"], pass_fds=(write,),
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        os.close(write)
        with os.fdopen(read) as ready:
            if ready.readline() != "ready\n":
                self.kill()
                raise AssertionError(f"the worker does not launch: {open(log, encoding='utf-8').read()[-1000:]}")

    def kill(self):
        self.process.kill()
        self.process.wait()


def tick(server, clock):
    server.query(LATER, f"SET dbos_sys.fake_now = '{clock}'")
    server.query(LATER, "SELECT dbos_sys.schedule_tick()")


def ids(server, database, schedule):
    return [row[0] for row in server.query(database, f"SELECT id FROM public.fired WHERE schedule = '{schedule}' ORDER BY place")]


def more(server, schedule, count):
    """Waits until a schedule has fired so many times more."""
    before = len(ids(server, LIVE, schedule))
    until(f"{schedule} fires {count} times", lambda: len(ids(server, LIVE, schedule)) >= before + count, 60)


def cut_off(standby):
    standby.query("postgres", "ALTER SYSTEM SET primary_conninfo = ''")
    standby.query("postgres", "SELECT pg_reload_conf()")
    until("the standby receives nothing", lambda: standby.query("postgres", "SELECT FROM pg_stat_wal_receiver") == [], 60)
    # What it has received it applies.
    until("it has applied all", lambda: standby.value("postgres", "SELECT pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()") == "t", 60)


class Scene:
    """A primary that fired and crashed, and the standby, promoted. `copied`, `lost`: by schedule, what the standby had when it was cut off and what the
    primary fired after that."""

    def __init__(self, program, folder):
        self.servers, self.workers, self.copied, self.lost = [], [], {}, {}
        self.program, self.log = program, os.path.join(folder, "worker.log")

    def __enter__(self):
        primary = self.add("first")
        make(primary)
        self.workers.append(Worker(self.program, primary, self.log))
        primary.query(LIVE, f"SELECT dbos_sys.create_schedule('filled', 'sum', '* * * * * *', '{BACKFILLED}')")
        for name, backfill in (("plain", "false"), ("filled", "true")):
            primary.query(LATER, f"SELECT dbos_sys.create_schedule('{name}', 'w', '* * * * *', '{{\"automatic_backfill\": {backfill}}}')")
        tick(primary, START + 30000)
        tick(primary, START + 60000)
        return self

    def add(self, name, *options):
        self.servers.append(Server(name, *options))
        return self.servers[-1]

    def fail_over(self):
        primary, standby = self.servers[0], self.add("second", "--standby-of", "first")
        more(standby, "filled", 2)
        cut_off(standby)
        copied = {(database, schedule): ids(standby, database, schedule) for database, schedule in
                  ((LIVE, "count"), (LIVE, "filled"), (LATER, "plain"), (LATER, "filled"))}
        tick(primary, START + 120000)
        for schedule in ("count", "filled"):
            until("more has been fired than the standby has", lambda: len(ids(primary, LIVE, schedule)) >= len(copied[LIVE, schedule]) + 3, 60)
        self.copied = copied
        self.lost = {key: ids(primary, *key)[len(known):] for key, known in copied.items()}
        primary.crash()
        self.workers[0].kill()
        equal(standby.value("postgres", "SELECT pg_promote()", 90), "t", "promoted")

    def __exit__(self, *error):
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        for server in self.servers:
            server.destroy()


def goes_on(scene):
    """a promoted standby goes on firing by itself, and an application that comes back runs what it has enqueued"""
    scene.fail_over()
    server = scene.servers[1]
    more(server, "count", 3)
    scene.workers.append(Worker(scene.program, server, scene.log))
    for schedule in ("count", "filled"):
        more(server, schedule, 3)
        server.query(LIVE, f"SELECT dbos_sys.pause_schedule('{schedule}')")
    until("every run ends", lambda: server.query(
        LIVE, "SELECT workflow_uuid, status FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')") == [], 60)


def once(scene):
    """no time has been fired twice, and none is missing that is not a minute old"""
    for schedule in ("count", "filled"):
        server = scene.servers[1]
        equal(server.query(LIVE, f"SELECT id, count(*) FROM public.fired WHERE schedule = '{schedule}' GROUP BY 1 HAVING count(*) > 1"), [], f"{schedule}: fired twice")
        # With a backfill nothing at all; else what was due a minute before the promoted server came to it.
        missing = server.query(LIVE, f"""
            WITH times AS (SELECT right(id, 24)::timestamptz AS at FROM public.fired WHERE schedule = '{schedule}'),
              since AS (SELECT to_timestamp(min(f.made_at) / 1000.0) AS at FROM public.fired AS f
                WHERE f.schedule = '{schedule}' AND f.id <> ALL (ARRAY{scene.copied[LIVE, schedule]}))
            SELECT t.at FROM generate_series((SELECT min(at) FROM times), (SELECT max(at) FROM times), interval '1 s') AS t(at), since AS s
            WHERE t.at NOT IN (SELECT at FROM times) AND ('{schedule}' = 'filled' OR t.at > s.at - interval '1 min')""")
        equal(missing, [], f"{schedule}: missing")


def lost_again(scene):
    """what was fired just before the crash, and was not copied, is fired once more, and runs once, with its own time"""
    for schedule in ("count", "filled"):
        lost = scene.lost[LIVE, schedule]
        if len(lost) < 3:
            raise AssertionError(f"{schedule}: the primary fired only {lost}")
        found = scene.servers[1].query(LIVE, f"""
            SELECT l.id, count(f.id), min(w.status), min(w.recovery_attempts), bool_and(o.output = to_json((EXTRACT(epoch FROM right(l.id, 24)::timestamptz) * 1000)::bigint || ' 7 s')::text)
            FROM unnest(ARRAY{lost}) AS l(id) LEFT JOIN public.fired AS f ON f.id = l.id LEFT JOIN dbos.workflow_status AS w ON w.workflow_uuid = l.id
            LEFT JOIN dbos.workflow_output AS o ON o.workflow_uuid = l.id GROUP BY 1 ORDER BY 1""")
        equal(found, [[one, "1", "SUCCESS", "1", "t"] for one in lost], f"{schedule}: lost and fired again")


def hour_later(scene):
    """promoted after an hour, it leaves out what is a minute old, and fires all since the copy's last firing where there is a backfill"""
    server = scene.servers[1]
    equal([scene.copied[LATER, s] + scene.lost[LATER, s] for s in ("plain", "filled")],
          [[f"sched-{s}-{iso(START + m * 60000)}" for m in (1, 2)] for s in ("plain", "filled")], "fired by the primary")
    equal(len(scene.lost[LATER, "plain"]), 1, "of these lost")
    tick(server, START + HOUR + 30000)
    tick(server, START + HOUR + 31000)
    equal(ids(server, LATER, "plain"), [f"sched-plain-{iso(at)}" for at in (START + 60000, START + HOUR)], "plain")
    equal(ids(server, LATER, "filled"), [f"sched-filled-{iso(START + m * 60000)}" for m in range(1, 61)], "filled")


def main():
    subprocess.run([CLUSTER, "prepare"], check=True, stdout=subprocess.DEVNULL)
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder, Scene(sys.argv[1], folder) as scene:
        for test in (goes_on, once, lost_again, hour_later):
            tap.run(test, scene)
    tap.finish()


if __name__ == "__main__":
    main()
