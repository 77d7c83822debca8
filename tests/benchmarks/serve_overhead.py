"""What the service adds to a bare FastAPI application on Ray Serve that answers the same pictures by the same micro-model.

    OMP_NUM_THREADS=1 python tests/benchmarks/serve_overhead.py --clients 1 8 32

The bare one (bare_host.py) has one deployment, one micro-model in memory, the same decoding, network and torch threads, and no
batches. The same number of clients asks each in turn, as fast as it is answered. "adds" is the time a request beyond the bare
one's, by throughput; "CPU" the same by processor time of replicas and Serve's proxy.
"""

import argparse
import tempfile
from statistics import median

from bare_host import bare_application
from ray import serve
from served import publish_live, service, settings_of
from sides import Round, Side, add_sides, spread

from cluster.session import ray_session
from training.store.store import Store

FIELDS = {"per_second": 14, "p50": 10, "cpu_ms": 10}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=(1, 8, 32))
    add_sides(parser, seconds=10.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ray_session(num_cpus=asked.cpus):
        store = Store.create(folder)
        size = (asked.size[0], asked.size[1])
        (card,) = publish_live(store, 1, asked.recipe, size)
        with service(store.url, {"threads_per_host": asked.threads, **settings_of(asked.setting)}) as url:
            bare = bare_application(store.url, card.shard_id, threads=asked.threads)
            serve.run(bare, name="bare", route_prefix="/bare")
            ours = Side(url, "/v1/models/{model}/predict", ("ingress", "host", "proxy"), size)
            theirs = Side(url, "/bare/predict", ("bare", "proxy"), size)
            print("clients   bare: a second   p50, ms   CPU, ms   ours: a second   p50, ms   CPU, ms   adds   CPU")
            for clients in asked.clients:
                compare(ours, theirs, card.shard_id, clients, asked)
            serve.delete("bare")


def compare(ours: Side, bare: Side, name: str, clients: int, asked: argparse.Namespace) -> None:
    for side in (bare, ours):
        side.round([name], clients=clients, seconds=2.0)
    rounds: list[list[Round]] = []
    for _ in range(asked.rounds):
        rounds.append([side.round([name], clients=clients, seconds=asked.seconds) for side in (bare, ours)])
    said = [
        "".join(f"{median(getattr(one, field) for one in some):{width}.1f}" for field, width in FIELDS.items())
        for some in zip(*rounds, strict=True)
    ]
    adds = spread([bare.per_second / ours.per_second - 1 for bare, ours in rounds], "{:+.0%}")
    cpu = spread([ours.cpu_ms / bare.cpu_ms - 1 for bare, ours in rounds], "{:+.0%}")
    print(f"{clients:7} {said[0]}   {said[1]}   {adds}   {cpu}", flush=True)


if __name__ == "__main__":
    main()
