"""Two applications on one Serve, asked in turn by the same clients: what each does in a round, and ratios with their spread."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from http_load import Heard, Load, latencies, load
from served import add_settings, cpu_of_service, picture, predict

__all__ = ["Round", "Side", "add_sides", "spread"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one side did in one round. cpu_ms: a request."""

    per_second: float
    cpu_ms: float
    p50: float
    p99: float


class Side:
    """One application that answers pictures, as its clients see it.

    path: '{model}' stands for the model. kinds: of its processes, whose processor time is its own. size: of the network's input.
    """

    def __init__(self, url: str, path: str, kinds: Sequence[str], size: tuple[int, int]) -> None:
        self._url, self._ask, self._kinds = url, predict(picture(size), path), kinds

    def in_turn(self, names: Sequence[str], clients: int = 1) -> list[Heard]:
        """Each model once."""
        return right(load(Load(url=self._url, asks=[self._ask], models=names, clients=clients, in_turn=True)))

    def round(self, names: Sequence[str], *, clients: int, seconds: float, seed: int = 0) -> Round:
        """Models drawn from these by every client, again and again."""
        before = cpu_of_service(*self._kinds)
        wanted = Load(url=self._url, asks=[self._ask], models=names, clients=clients, seconds=seconds, seed=seed)
        heard = right(load(wanted))
        spent = cpu_of_service(*self._kinds) - before
        took = max(one.began_s + one.ms / 1e3 for one in heard)
        p50, p99 = latencies(heard)
        return Round(per_second=len(heard) / took, cpu_ms=1e3 * spent / len(heard), p50=p50, p99=p99)


def right(heard: Sequence[Heard]) -> list[Heard]:
    wrong = [one for one in heard if not one.right]
    if wrong:
        raise SystemExit(f"{len(wrong)} of {len(heard)} requests were not answered: {wrong[0]}")
    return list(heard)


def spread(values: Sequence[float], form: str = "{:.2f}x") -> str:
    """The median, and the least and the most of them."""
    middle, least, most = (form.format(value) for value in (median(values), min(values), max(values)))
    return f"{middle} ({least} to {most})"


def add_sides(parser: argparse.ArgumentParser, *, seconds: float) -> None:
    """Arguments of every comparison of two sides. seconds: of a round, if none are given."""
    parser.add_argument("--recipe", choices=("head", "film", "full"), default="head")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(288, 160), metavar=("WIDTH", "HEIGHT"), help="of the network's input"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=seconds, help="of a round of each side")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of a replica of either side")
    parser.add_argument("--cpus", type=int, default=4, help="that Ray is told of: both sides are there at once")
    add_settings(parser)
