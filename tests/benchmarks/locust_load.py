"""The users of Locust (https://locust.io) that soak.py sends, in a process of their own: gevent changes all of it.

Locust runs this file too; what is asked and what is heard are files that the environment names.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from http_load import NO_ANSWER, TIMEOUT_S, Heard, Load

__all__ = ["load_with_locust"]

ASKED, HEARD, RATE = "SOAK_ASKED", "SOAK_HEARD", "SOAK_RATE"


def load_with_locust(wanted: Load, rate: float | None) -> list[Heard]:
    """Everything that was heard, in the order of the answers.

    Args:
        rate: requests a second of all users together, at most; None for as many as are answered.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, heard = Path(folder, "asked.json"), Path(folder, "heard.jsonl")
        asked.write_text(json.dumps(wanted.to_json()))
        users = ["--users", str(wanted.clients), "--spawn-rate", str(wanted.clients), "--run-time", f"{wanted.seconds:.0f}s"]
        quiet = ["--headless", "--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0"]
        quiet += ["--stop-timeout", f"{TIMEOUT_S + 10:.0f}s"]  # what was asked last is heard too
        where = {ASKED: str(asked), HEARD: str(heard), RATE: str(rate or 0.0)}
        command = [sys.executable, "-m", "locust", "--locustfile", __file__, "--host", wanted.url, *users, *quiet]
        subprocess.run(command, env={**os.environ, **where}, stdout=sys.stderr, check=True)
        return [Heard(**json.loads(line)) for line in heard.read_text().splitlines()]


if ASKED in os.environ:
    from locust import HttpUser, constant_throughput, task

    wanted = Load.from_json(json.loads(Path(os.environ[ASKED]).read_text()))
    rate = float(os.environ[RATE])
    began, drawn = time.perf_counter(), random.Random(wanted.seed)

    class Client(HttpUser):
        """Asks one thing after the other, each of them as often as its share says."""

        if rate:
            wait_time = constant_throughput(rate / wanted.clients)

        @task
        def ask(self) -> None:
            model = drawn.choice(wanted.models)
            ask = drawn.choices(wanted.asks, [one.share for one in wanted.asks])[0].about(model)
            how: dict[str, Any] = {"data": ask.body or None, "headers": ask.headers, "name": ask.name, "timeout": TIMEOUT_S}
            started = time.perf_counter()
            with self.client.request(ask.method, ask.path, **how, catch_response=True) as response:
                status, said = response.status_code or NO_ANSWER, response.text or repr(response.error)
                one = Heard(
                    name=ask.name,
                    model=model,
                    status=status,
                    expected=ask.expected,
                    began_s=started - began,
                    ms=1e3 * (time.perf_counter() - started),
                    said="" if status // 100 == ask.expected else f"{ask.path} {said[:300]}",
                )
                with Path(os.environ[HEARD]).open("a") as heard:
                    heard.write(json.dumps(asdict(one)) + "\n")
                if one.right:
                    response.success()
                else:
                    response.failure(f"{status} {one.said}")
