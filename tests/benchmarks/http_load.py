"""Clients in a process of their own, each asks again as soon as it is answered; other benchmarks start it."""

import asyncio
import base64
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

import aiohttp
import numpy as np
from yarl import URL

__all__ = ["NO_ANSWER", "TIMEOUT_S", "Ask", "Heard", "Load", "latencies", "load"]

NO_ANSWER = 0
TIMEOUT_S = 120.0
AS_CLIENTS = "--as-clients"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One kind of request. '{model}' in path and headers stands for one of `models`, drawn anew each time.

    share: how often it is asked, relative to the others. expected: first digit of the status that is right.
    """

    name: str
    path: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    share: float = 1.0
    expected: int = 2

    def about(self, model: str) -> "Ask":
        """The same with a model in its place."""
        headers = {name: value.replace("{model}", model) for name, value in self.headers.items()}
        return replace(self, path=self.path.replace("{model}", model), headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came of one request. began_s: since the load began. status: 0 where there was no answer. said: of a wrong one."""

    name: str
    model: str
    status: int
    expected: int
    began_s: float
    ms: float
    said: str = ""

    @property
    def right(self) -> bool:
        return self.status // 100 == self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """seconds: how long.

    in_turn: each model once, in the order given, instead of models drawn until the time is over.
    """

    url: str
    asks: Sequence[Ask]
    models: Sequence[str]
    clients: int
    seconds: float = 0.0
    in_turn: bool = False
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        asks = [{**asdict(one), "body": base64.b64encode(one.body).decode()} for one in self.asks]
        return {**asdict(self), "asks": asks, "models": list(self.models)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Load":
        asks = [Ask(**{**one, "body": base64.b64decode(one["body"])}) for one in document["asks"]]
        return cls(**{**document, "asks": asks})


def load(wanted: Load) -> list[Heard]:
    """Everything that was heard, in the order of the answers."""
    words = json.dumps(wanted.to_json())
    done = subprocess.run([sys.executable, __file__, AS_CLIENTS], input=words, stdout=subprocess.PIPE, text=True, check=True)
    return [Heard(**json.loads(line)) for line in done.stdout.splitlines()]


def latencies(heard: Sequence[Heard]) -> tuple[float, float]:
    """p50 and p99 in milliseconds of the right answers."""
    ms = [one.ms for one in heard if one.right] or [float("nan")]
    return median(ms), float(np.percentile(ms, 99))


def main() -> None:
    wanted = Load.from_json(json.load(sys.stdin))
    for one in asyncio.run(_asked(wanted)):
        print(json.dumps(asdict(one)))


async def _asked(wanted: Load) -> list[Heard]:
    heard: list[Heard] = []
    began = time.perf_counter()
    in_turn = iter(wanted.models)
    timeout, connector = aiohttp.ClientTimeout(total=TIMEOUT_S), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

        async def client(seed: int) -> None:
            rng = random.Random(seed)
            for model in in_turn if wanted.in_turn else _drawn(wanted, rng, began):
                (ask,) = rng.choices(wanted.asks, [one.share for one in wanted.asks])
                heard.append(await _one(session, wanted.url, ask.about(model), model, began))

        await asyncio.gather(*(client(1_000_003 * wanted.seed + number) for number in range(wanted.clients)))
    return heard


async def _one(session: aiohttp.ClientSession, url: str, ask: Ask, model: str, began: float) -> Heard:
    started = time.perf_counter()
    try:
        async with session.request(
            ask.method, URL(f"{url}{ask.path}", encoded=True), data=ask.body or None, headers=ask.headers
        ) as response:
            status, body = response.status, await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        status, body = NO_ANSWER, repr(error).encode()
    ms = 1e3 * (time.perf_counter() - started)
    said = "" if status // 100 == ask.expected else f"{ask.path} {body[:300].decode(errors='replace')}"
    return Heard(name=ask.name, model=model, status=status, expected=ask.expected, began_s=started - began, ms=ms, said=said)


def _drawn(wanted: Load, rng: random.Random, began: float) -> Iterator[str]:
    while time.perf_counter() - began < wanted.seconds:
        yield rng.choice(wanted.models)


if __name__ == "__main__" and AS_CLIENTS in sys.argv:
    main()
