"""moto behind one lock, as a process: serve_mock.py PORT. Without the lock two conditional PUTs at once may both be accepted."""

import sys
import threading
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

moto: Callable[..., Iterable[bytes]] = DomainDispatcherApplication(create_backend_app)
lock = threading.Lock()


def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ.get("CONTENT_LENGTH"):  # nobody else waits for a body that never comes whole
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    with lock:
        return list(moto(environ, start_response))


make_server("127.0.0.1", int(sys.argv[1]), answer, threaded=True).serve_forever()
