"""A TCP relay that counts what the server sends, to see compression from outside the library."""

import socket
import threading


class Relay:
    def __init__(self, endpoint):
        host, port = endpoint.rsplit(":", 1)
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.received = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            for source, sink, counts in ((client, server, False), (server, client, True)):
                pump = threading.Thread(target=self._pump, args=(source, sink, counts), daemon=True)
                pump.start()

    def _pump(self, source, sink, counts):
        try:
            while True:
                chunk = source.recv(65536)
                if not chunk:
                    break
                if counts:
                    self.received += len(chunk)
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
