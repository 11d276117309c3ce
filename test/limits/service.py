"""The service that the callers must not overrun: service.py LIMIT WINDOW-MS LOG. It answers 429 to a call that would be one too many in any
sliding window (LIMIT 0: never), else 200 after as many ms as the call asks for. LOG gets a line for each call: begin, end, who, key, status;
times in s. Prints its port."""
import asyncio
import collections
import socket
import sys
import time
import urllib.parse


class Service:
    def __init__(self, limit, window, log):
        self.limit, self.window, self.log = limit, window, log
        self.accepted = collections.deque()

    def admit(self, now):
        while self.accepted and self.accepted[0] <= now - self.window:
            self.accepted.popleft()
        if self.limit and len(self.accepted) >= self.limit:
            return False
        self.accepted.append(now)
        return True

    async def serve(self, reader, writer):
        begin = time.monotonic()
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            begin = time.monotonic()
            asked = urllib.parse.parse_qs(urllib.parse.urlsplit(head.split(b" ")[1].decode()).query)
            status, ms = (200 if self.admit(begin) else 429), int(asked["ms"][0])
            end = begin + (ms / 1000 if status == 200 else 0)
            # Written before it is over: whoever dies meanwhile was inside.
            self.log.write(f"{begin:.6f}\t{end:.6f}\t{asked['who'][0]}\t{asked['key'][0]}\t{status}\n")
            self.log.flush()
            await asyncio.sleep(max(0, end - time.monotonic()))
            writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def main():
    with open(sys.argv[3], "w", encoding="ascii") as log:
        service = Service(int(sys.argv[1]), int(sys.argv[2]) / 1000, log)
        server = await asyncio.start_server(service.serve, "127.0.0.1", 0, family=socket.AF_INET, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
