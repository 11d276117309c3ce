#!/usr/bin/env -S python3 -B
"""A TCP proxy before PostgreSQL that breaks connections at chosen places of the protocol.

proxy.py --server HOST:PORT [--seed N] [--every K] [--most M] [--kinds LIST] [--delay MS]

It prints `port N`, and a line `fault KIND` for each fault. Until SIGUSR1 it only forwards; then
about one in K transactions is broken, M in all, by the kinds of the list alike:
  reply_lost   the transaction with its COMMIT reaches the server, which answers; nothing of the answer is handed on
  in_flight    as before, but the connection ends at once, while the server may still be committing
  cut          everything but the COMMIT reaches the server, then the connection ends
  torn         the answer stops in the middle of a message
  black_hole   from a BEGIN on nothing is handed on in either direction, and nobody is told
  stuck        as black_hole, but from the COMMIT on: the server keeps the transaction open
  delay        the answer comes MS later
  refuse       the next connection is refused too (with `cut`)
Connections are unencrypted (sslmode=disable, gssencmode=disable)."""
import argparse
import asyncio
import collections
import random
import signal
import struct

KINDS = ("reply_lost", "in_flight", "cut", "torn", "black_hole", "stuck", "delay", "refuse")
SILENT = ("black_hole", "stuck")
READY = b"Z"


class Faults:
    """Which transaction is broken how."""

    def __init__(self, given):
        self.random = random.Random(given.seed)
        self.kinds, self.every, self.left, self.delay = given.kinds.split(","), given.every, given.most, given.delay / 1000
        self.on, self.refusals = False, 0
        self.counts = collections.Counter()

    def next(self, at_begin):
        """None for most transactions."""
        kinds = [kind for kind in self.kinds if (kind == "black_hole") == at_begin]
        if not self.on or self.left <= 0 or not kinds or self.random.randrange(self.every * len(self.kinds) // len(kinds)):
            return None
        self.left -= 1
        kind = self.random.choice(kinds)
        print(f"fault {kind}", flush=True)
        if kind == "refuse":
            self.refusals += 1
            kind = "cut"
        return kind


class Messages:
    """Cuts a stream into messages; the first of a client has no type."""

    def __init__(self, reader, typed):
        self.reader, self.typed = reader, typed

    async def next(self):
        """(type, whole bytes)"""
        kind = await self.reader.readexactly(1) if self.typed else b""
        head = await self.reader.readexactly(4)
        self.typed = True
        return kind, kind + head + await self.reader.readexactly(struct.unpack("!I", head)[0] - 4)


def first_word(kind, message):
    """Of the statement of a Parse message: the transactions of a worker are single statements from BEGIN to COMMIT."""
    words = message[5:].split(b"\0")[1].upper().split() if kind == b"P" else ()
    return words[0].rstrip(b";") if words else b""


class Pair:
    """One connection of a client and the server's behind it."""

    def __init__(self, faults, client, server):
        self.faults = faults
        (self.client_reader, self.client), (self.server_reader, self.server) = client, server
        self.fault = None

    async def run(self):
        tasks = [asyncio.ensure_future(self.forward_client()), asyncio.ensure_future(self.forward_server())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self.fault in SILENT:
                # The end that is seen on one side is not told to the other either.
                await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.client.close()
            self.server.close()

    async def forward_client(self):
        messages = Messages(self.client_reader, typed=False)
        while True:
            kind, message = await messages.next()
            word = first_word(kind, message)
            if self.fault is None and word in (b"BEGIN", b"COMMIT"):
                self.fault = self.faults.next(word == b"BEGIN")
                if self.fault == "cut":
                    return
            if self.fault in SILENT:
                continue
            self.server.write(message)
            await self.server.drain()
            if self.fault == "in_flight" and kind == b"S":
                return

    async def forward_server(self):
        """An answer that is to be broken is so from the first message that comes after the COMMIT was seen."""
        messages = Messages(self.server_reader, typed=True)
        while True:
            kind, message = await messages.next()
            if self.fault in SILENT:
                continue
            if self.fault in ("reply_lost", "in_flight"):
                if kind == READY and self.fault == "reply_lost":
                    return
                continue
            if self.fault == "torn":
                self.client.write(message[:max(1, len(message) // 2)])
                await self.client.drain()
                return
            if self.fault == "delay":
                await asyncio.sleep(self.faults.delay)
                self.fault = None
            self.client.write(message)
            await self.client.drain()


async def serve(given):
    faults = Faults(given)
    host, port = given.server.rsplit(":", 1)
    running = set()

    async def connected(reader, writer):
        if faults.refusals:
            faults.refusals -= 1
            writer.close()
            return
        running.add(asyncio.current_task())
        try:
            server = await asyncio.open_connection(host, int(port))
            await Pair(faults, (reader, writer), server).run()
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
        finally:
            running.discard(asyncio.current_task())

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: setattr(faults, "on", True))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print(f"port {listener.sockets[0].getsockname()[1]}", flush=True)
    await ended.wait()
    listener.close()
    for task in list(running):
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--most", type=int, default=20)
    parser.add_argument("--kinds", default="reply_lost,in_flight,cut,torn,delay,refuse")
    parser.add_argument("--delay", type=int, default=200)
    given = parser.parse_args()
    unknown = set(given.kinds.split(",")) - set(KINDS)
    if unknown:
        parser.error(f"unknown kind {', '.join(unknown)}; there are {', '.join(KINDS)}")
    asyncio.run(serve(given))


if __name__ == "__main__":
    main()
