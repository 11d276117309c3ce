"""Random limits and random callers on the fake clock: every call that the database sees is made here, over one connection, in the order of their times.
Judged from what the callers were told and when they gave it back."""
import heapq
import itertools
import random
import uuid

BEGIN = 1_800_000_000_000
# A slot may be told so much after its time, and waits are told in whole ms.
LATE = 10 + 1


class World:
    """The clock, the limit, and the log: starts as the callers may begin, permits from the call that gave them to the one that ended them."""

    def __init__(self, sql, generator):
        self.sql, self.random = sql, generator
        self.now, self.shown, self.order, self.events = BEGIN, None, itertools.count(), []
        rate = generator.choice([None, generator.uniform(5, 200)])
        self.rate, self.burst = rate, generator.choice([0, 0, generator.randint(1, 10)]) if rate else 0
        self.concurrency = generator.choice([None, generator.randint(1, 8)]) if rate else generator.randint(1, 8)
        self.weights = {f"k{n}": generator.choice([0.5, 2, 5]) for n in range(generator.randint(0, 3))}
        self.name = f"limit \"{generator.randrange(1 << 30)}\""
        self.starts, self.permits, self.held_until, self.broken = [], 0, 0, []
        self.waiting, self.idle_since, self.calls = set(), None, 0
        self.call(f"SELECT dbos_sys.register_limit('{self.name}', rate => {rate or 'NULL'}, burst => {self.burst}, "
                  f"concurrency => {self.concurrency or 'NULL'}, weights => '{str(self.weights).replace(chr(39), chr(34))}')")

    def call(self, statement):
        if self.shown != self.now:
            self.sql.query(f"SET dbos_sys.fake_now = '{self.now}'")
            self.shown = self.now
        self.calls += 1
        return self.sql.query(statement)

    def at(self, when, action, first=False):
        """`first`: before whatever else happens in that millisecond, as leases end."""
        heapq.heappush(self.events, (when, not first, next(self.order), action))

    def begin(self, wait, permit):
        """A grant; with a permit it counts until end()."""
        self.idle_since = None
        self.starts.append(self.now + wait)
        if self.now + wait < self.held_until:
            self.broken.append(f"begins at {self.now + wait - BEGIN}, held until {self.held_until - BEGIN}")
        if permit:
            self.permits += 1
            if self.permits > self.concurrency:
                self.broken.append(f"{self.permits} permits at {self.now - BEGIN}")

    def end(self):
        self.permits -= 1

    def hold(self):
        until = int(self.call(f"SELECT dbos_sys.hold('{self.name}', '{self.random.randint(50, 1500)} ms')")[0][0])
        self.held_until = max(self.held_until, until)
        self.at(self.now + self.random.randint(2000, 6000), self.hold)

    def look(self):
        """Somebody who keeps his times waits, there is room, and nothing was granted for more than a second."""
        interval = 1000 / self.rate if self.rate else 0
        room = (self.waiting and self.now >= self.held_until and self.permits < (self.concurrency or 1 << 30)
                and (not self.starts or self.now >= max(self.starts) + interval))
        if not room:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = self.now
        elif self.now - self.idle_since > 1000 + interval:
            self.broken.append(f"{len(self.waiting)} wait and nobody begins from {self.idle_since - BEGIN} to {self.now - BEGIN}")
            self.idle_since = self.now

    def run(self, ms):
        until = BEGIN + ms
        while self.events and self.events[0][0] <= until:
            when, _, _, action = heapq.heappop(self.events)
            self.now = max(self.now, when)
            action()
            self.look()

    def judge(self):
        starts = sorted(self.starts)
        if self.rate:
            for first, begin in enumerate(starts):
                for count, end in enumerate(starts[first:first + 400], 1):
                    if count > self.rate * (end - begin + LATE) / 1000 + self.burst + 1:
                        self.broken.append(f"{count} begin from {begin - BEGIN} to {end - BEGIN}")
                        break
        wrong = self.sql.query(
            f"""SELECT l.waiting, l.taken, t.waiting, t.taken, k.waiting FROM dbos_ops.limits AS l,
            LATERAL (SELECT count(*) FILTER (WHERE state = 'waiting') AS waiting, count(*) FILTER (WHERE state <> 'waiting') AS taken
              FROM dbos_ops.limit_tickets WHERE limit_name = l.name) AS t,
            LATERAL (SELECT COALESCE(sum(waiting), 0) AS waiting FROM dbos_ops.limit_keys WHERE limit_name = l.name) AS k
            WHERE l.name = '{self.name}' AND (l.waiting, l.taken, l.waiting) <> (t.waiting, t.taken, k.waiting)""")
        if wrong:
            self.broken.append(f"the counters differ from the tickets: {wrong[0]}")


class Process:
    """Asks for all its tickets in one call, as the C++ client does; may be killed at any time."""
    LEASE = 3000

    def __init__(self, world, load):
        self.world, self.load = world, load
        self.caller, self.keys, self.held, self.fresh, self.over = str(uuid.UUID(int=world.random.getrandbits(128))), {}, set(), [], []
        self.number, self.alive, self.due, self.last = 0, True, None, world.now
        world.at(world.now + world.random.randint(0, 300), self.ask)
        if world.random.random() < 0.6:
            world.at(world.now + world.random.randint(1000, 12000), self.die)

    def ask(self):
        if not self.alive or (self.due is not None and self.world.now < self.due):
            return
        world = self.world
        while len(self.keys) < self.load:
            self.number += 1
            ticket = f"{self.caller}-{self.number:06d}"
            self.keys[ticket] = f"k{world.random.randrange(5)}"
            self.fresh.append(ticket)
        array = lambda texts: "ARRAY[" + ", ".join(f"'{text}'" for text in texts) + "]::text[]"
        rows = world.call(
            f"SELECT * FROM dbos_sys.limit_trip(NULL, NULL, '{self.caller}', {self.LEASE}, {world.random.choice(['true', 'false'])}, {array(self.fresh)}, "
            f"{array([world.name] * len(self.fresh))}, {array(self.keys[t] for t in self.fresh)}, {array([world.name])}, {array(self.over)})")
        for _ in self.over:
            world.end()
        self.fresh, self.over, self.last = [], [], world.now
        again = self.LEASE // 3
        for kind, name, wait in rows:
            if kind == "ask":
                again = min(again, int(wait))
                continue
            del self.keys[name]
            world.begin(int(wait), kind == "permit")
            if kind == "permit":
                self.held.add(name)
                world.at(world.now + int(wait) + world.random.randint(0, 400), lambda name=name: self.finish(name))
        if self.keys:
            world.waiting.add(self.caller)
        else:
            world.waiting.discard(self.caller)
        self.later(again + world.random.choice([0, 1, 5, world.random.randint(0, 60)]))

    def later(self, ms):
        self.due = self.world.now + ms
        self.world.at(self.due, self.ask)

    def finish(self, ticket):
        if self.alive:
            self.held.discard(ticket)
            self.over.append(ticket)
            self.later(self.world.random.randint(0, 3))

    def die(self):
        self.alive = False
        self.world.waiting.discard(self.caller)
        for _ in [*self.held, *self.over]:
            self.world.at(self.last + self.LEASE, self.world.end, True)
        Process(self.world, self.load)


class Single:
    """Asks ticket by ticket, as any language does with acquire(); may never come back."""

    def __init__(self, world, number):
        self.world, self.number, self.ticket = world, number, "NULL"
        world.at(world.now + world.random.randint(0, 500), self.ask)

    def ask(self):
        world, lease = self.world, self.world.random.randint(300, 2000)
        granted, ticket, wait = world.call(f"SELECT * FROM dbos_sys.acquire('{world.name}', key => 'k{self.number % 5}', ticket => {self.ticket}, "
                                           f"lease => '{lease} ms', holder => 'single {self.number}')")[0]
        gone = world.random.random() < 0.05
        if granted == "f":
            self.ticket = "NULL" if gone else f"'{ticket}'"
            world.at(world.now + int(wait) + world.random.randint(0, 30), self.ask)
            return
        self.ticket = "NULL"
        world.begin(int(wait), ticket is not None)
        takes = int(wait) + world.random.randint(0, 250)
        if ticket is None:
            world.at(world.now + takes, self.ask)
        elif gone or takes >= lease:
            world.at(world.now + lease, world.end, True)
            world.at(world.now + lease + world.random.randint(0, 500), self.ask)
        else:
            world.at(world.now + takes, lambda: self.give_back(ticket))

    def give_back(self, ticket):
        self.world.call(f"SELECT dbos_sys.release('{ticket}', 'single {self.number}')")
        self.world.end()
        self.world.at(self.world.now + self.world.random.randint(0, 50), self.ask)


def bounds_hold(server, folder, given, generator):
    """no instant above a concurrency, no window above a rate, nobody begins in a hold, and room is used, whatever callers do"""
    sql = server.session("bounds")
    for _ in range(3):
        seed = generator.randrange(1 << 30)
        world = World(sql, random.Random(seed))
        for _ in range(world.random.randint(1, 3)):
            Process(world, world.random.randint(1, 30))
        for number in range(world.random.randint(0, 6)):
            Single(world, number)
        if world.random.random() < 0.5:
            world.at(BEGIN + 3000, world.hold)
        world.run(15000)
        world.judge()
        print(f"# seed {seed}: rate {world.rate}, burst {world.burst}, concurrency {world.concurrency}, {len(world.starts)} grants in "
              f"{world.calls} calls", flush=True)
        used = len(world.starts) / (world.rate * 15) if world.rate and not world.concurrency and not world.held_until else 1
        assert len(world.starts) > 20 and used >= 0.9, f"seed {seed}: {len(world.starts)} grants, {used:.0%} of the rate"
        assert not world.broken, f"seed {seed}: {len(world.broken)} broken, the first: {world.broken[:3]}"
