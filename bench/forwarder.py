"""A TCP forwarder that counts round trips: how often a client's bytes follow the server's on the same connection.

It checks the way the bench counts round trips in the server (README.md). It costs time, so rates are not taken through it.
"""

import selectors
import socket
import threading


class Forwarder:
    def __init__(self, server_port):
        self.server_port = server_port
        self.trips = 0
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.waker, waking = socket.socketpair()
        self.selector.register(waking, selectors.EVENT_READ, "stop")
        self.peers = {}
        # Connections on which the server spoke last.
        self.answered = set()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self):
        self.waker.send(b"x")
        self.thread.join()

    def _run(self):
        while True:
            for key, _ in self.selector.select():
                if key.data == "stop":
                    for connection in [self.listener, *self.peers]:
                        connection.close()
                    return
                if key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj in self.peers:
                    self._forward(key.fileobj, from_client=key.data == "client")

    def _accept(self):
        client, _ = self.listener.accept()
        server = socket.create_connection(("127.0.0.1", self.server_port))
        for connection, other, side in ((client, server, "client"), (server, client, "server")):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peers[connection] = other
            self.selector.register(connection, selectors.EVENT_READ, side)

    def _forward(self, source, from_client):
        target = self.peers[source]
        try:
            data = source.recv(1 << 18)
            if data:
                target.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._close(source, target)
        elif not from_client:
            self.answered.add(target)
        elif source in self.answered:
            self.answered.discard(source)
            self.trips += 1

    def _close(self, *pair):
        for connection in pair:
            self.selector.unregister(connection)
            self.peers.pop(connection)
            self.answered.discard(connection)
            connection.close()
