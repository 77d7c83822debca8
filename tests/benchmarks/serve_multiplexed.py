"""Many micro-models behind the service, and behind a plain `@serve.multiplexed` deployment: ratios of one run.

    OMP_NUM_THREADS=1 python tests/benchmarks/serve_multiplexed.py --recipe head --models 1000
    OMP_NUM_THREADS=1 python tests/benchmarks/serve_multiplexed.py --recipe full --models 100 --shares 0.1 0.5 1

The plain deployment (plain_host.py) is what the documentation of Ray Serve shows for many models: a FastAPI ingress that loads
models by id into an LRU of so many of them, and asks one model after the other. It reads the same store, of which only what is a
micro-model's own, as the base stays in memory. Both decode pictures and answers by the same code, with the same torch threads;
the same clients ask both, which draw a model anew for every request. Rounds take turns. The plain one computes in float32, as
that documentation does; with --plain-precision its trunks are in bfloat16, too.

What a cache holds: with --cache-mib both get that many bytes of weights (of the plain one: as many whole networks as fit), with
--shares both get that share of the fleet, the service in bytes and the plain one by count.

"ms of CPU" is processor time a request of all processes of a side (replicas and Serve's proxy), which other work on the machine
changes less than throughput. "single" is the service asked for one and the same micro-model by as many clients. "cold" is a
client alone that asks for one micro-model after the other that is not in memory.
"""

import argparse
import tempfile
from collections.abc import Sequence
from statistics import median

import numpy as np
from http_load import Heard
from plain_host import plain_application
from ray import serve
from served import publish_live, service, settings_of
from sides import Round, Side, add_sides, spread

from cluster.session import ray_session
from training.models.bases import with_base
from training.models.cache import ModelCache
from training.models.micro_model import MicroModel
from training.models.networks import config_of
from training.models.precision import Precision
from training.store.card import Card
from training.store.store import Store

MIB = 2**20
NUM_COLD = 100  # models, at most
OURS, PLAIN = ("ingress", "host", "proxy"), ("plain", "proxy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--cache-mib", type=int, default=720, help="of both sides; a thousand heads or films fit")
    parser.add_argument("--shares", type=float, nargs="+", help="of the fleet that the caches hold, instead of --cache-mib")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--plain-precision", type=Precision, choices=list(Precision), default=Precision.float32)
    parser.add_argument("--replicas", type=int, default=1, help="of the plain deployment")
    add_sides(parser, seconds=15.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ray_session(num_cpus=asked.cpus):
        store = Store.create(folder)
        cards = publish_live(store, asked.models, asked.recipe, tuple(asked.size))
        whole, own, shared = sizes(store, cards[0], asked.plain_precision)
        print(f"{asked.recipe}, {len(cards)} models of {whole / 1e6:.2f} MB; {own / 1e6:.3f} MB own, trunk {shared / 1e6:.2f} MB")
        fleet = own * len(cards) + shared
        if asked.shares is None:
            compare(store, cards, asked, asked.cache_mib * MIB, asked.cache_mib * MIB // whole)
        for share in asked.shares or ():
            print(f"\ncache of {share:.0%} of the fleet")
            compare(store, cards, asked, round(share * fleet) + MIB, round(share * len(cards)))


def sizes(store: Store, card: Card, plain: Precision) -> tuple[int, int, int]:
    """Bytes of a plain network with all its tensors, of a micro-model's own in memory, and of the trunk that it shares."""
    cache = ModelCache(store.registry, 10**12)
    own = cache.get(card).num_bytes
    tensors = store.registry.load(card)
    if card.base is not None:
        tensors = with_base(config_of(card.network), tensors, store.registry.bases.load(card.base))
    whole = MicroModel.restore(card.shard_id, 1, card.network, tensors, precision=plain).num_bytes
    return whole, own, cache.num_bytes - own


def compare(store: Store, cards: Sequence[Card], asked: argparse.Namespace, cache_bytes: int, most: int) -> None:
    settings = {"cache_mib": max(1, cache_bytes // MIB), "threads_per_host": asked.threads, **settings_of(asked.setting)}
    most = max(1, min(most, len(cards)))
    print(f"the service keeps {settings['cache_mib']} MiB, the plain deployment {most} models a replica; {asked.clients} clients")
    names = [card.shard_id for card in cards]
    with service(store.url, settings) as url:
        serve.run(
            plain_application(
                store.url, most=most, replicas=asked.replicas, threads=asked.threads, precision=asked.plain_precision
            ),
            name="plain",
            route_prefix="/plain",
        )
        size = tuple(asked.size)
        side = {"ours": Side(url, "/v1/models/{model}/predict", OURS, size), "plain": Side(url, "/plain/predict", PLAIN, size)}
        cold = {name: one.in_turn(names[:NUM_COLD]) for name, one in side.items()}
        side["ours"].in_turn(names, clients=asked.clients)
        side["plain"].in_turn(names[:most], clients=asked.clients)
        rounds: dict[str, list[Round]] = {"ours": [], "plain": [], "single": []}
        how = {"clients": asked.clients, "seconds": asked.seconds}
        for number in range(asked.rounds):
            rounds["plain"].append(side["plain"].round(names, **how, seed=number))
            rounds["ours"].append(side["ours"].round(names, **how, seed=number))
            rounds["single"].append(side["ours"].round(names[:1], **how, seed=number))
        tell(rounds, cold)
        serve.delete("plain")


def tell(rounds: dict[str, list[Round]], cold: dict[str, list[Heard]]) -> None:
    print("side     a second  ms of CPU   p50, ms   p99, ms   cold p50   cold p95")
    for name, some in rounds.items():
        values = [median(getattr(one, field) for one in some) for field in ("per_second", "cpu_ms", "p50", "p99")]
        ms = [one.ms for one in cold.get(name, [])]
        said = f"{np.percentile(ms, 50):10.0f} {np.percentile(ms, 95):10.0f}" if ms else ""
        print(f"{name:8}", "{:8.1f} {:10.1f} {:9.0f} {:9.0f}".format(*values), said)
    ratios = [ours.per_second / plain.per_second for ours, plain in zip(rounds["ours"], rounds["plain"], strict=True)]
    cpu = [plain.cpu_ms / ours.cpu_ms for ours, plain in zip(rounds["ours"], rounds["plain"], strict=True)]
    tails = [ours.p99 / single.p99 for ours, single in zip(rounds["ours"], rounds["single"], strict=True)]
    print(
        f"throughput {spread(ratios)} of the plain one; by processor time {spread(cpu)}; p99 {spread(tails)} of a single model's"
    )


if __name__ == "__main__":
    main()
