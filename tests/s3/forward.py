"""A front that can be killed while the server behind it lives on: forward.py PORT PORT_BEHIND; both on 127.0.0.1."""

import socket
import socketserver
import sys
import threading
from contextlib import suppress

BEHIND = ("127.0.0.1", int(sys.argv[2]))


class Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with socket.create_connection(BEHIND) as behind:
            answers = threading.Thread(target=copy, args=(behind, self.request), daemon=True)
            answers.start()
            copy(self.request, behind)
            answers.join()


class Front(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True


def copy(source: socket.socket, target: socket.socket) -> None:
    """Until either side has ended."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):  # closed alone, it would not be told to whoever waits for it in the other thread
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


Front(("127.0.0.1", int(sys.argv[1])), Connection).serve_forever()
