"""How long the service takes from its start to its first answer over a store of very many micro-models, and the memory it holds.

    OMP_NUM_THREADS=1 python tests/benchmarks/serve_start.py --models 10000 --cache-mib 256

One micro-model is published; the others are copies of its files.
Then the clock starts: the application is built and deployed on a Ray that runs, and asked until it answers. After that, each of
`--ask` models is asked once; the memory in RAM of its processes is told before and after.
"""

import argparse
import tempfile
import time
import urllib.error
import urllib.request

from http_load import Load, load
from processes import rss_mib, serving_processes
from served import add_settings, picture, predict, publish_live, service, settings_of

from cluster.session import ray_session
from training.models.cache import ModelCache
from training.store.store import Store

SIZE = (160, 96)
PATIENCE_S, MOST_S = 300.0, 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--recipe", choices=("head", "film", "full"), default="head")
    parser.add_argument("--cache-mib", type=int, default=256)
    parser.add_argument("--ask", type=int, default=2000, help="models, each once")
    parser.add_argument("--clients", type=int, default=8)
    add_settings(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ray_session(num_cpus=2):
        store = Store.create(folder)
        cards = publish_live(store, asked.models, asked.recipe, SIZE, drawn=1)
        names = [card.shard_id for card in cards]
        own = ModelCache(store.registry, 10**12).get(cards[0]).num_bytes
        print(f"{len(names)} models, {own * len(names) / 2**20:.0f} MiB of weights, cache of {asked.cache_mib} MiB", flush=True)
        began = time.perf_counter()
        with service(store.url, {"cache_mib": asked.cache_mib, **settings_of(asked.setting)}) as url:
            answered(f"{url}/v1/models/{names[-1]}/predict")
            took = time.perf_counter() - began
            print(f"first answer after {took:.1f} s; {MOST_S:.0f} were allowed")
            tell_memory("before")
            wanted = Load(url=url, asks=[predict(picture(SIZE))], models=names[: asked.ask], clients=asked.clients, in_turn=True)
            heard = load(wanted)
            seconds = max(one.began_s for one in heard)
            wrong = sum(not one.right for one in heard)
            print(f"{len(heard)} models asked once, {len(heard) / seconds:.0f} a second, {wrong} wrong")
            tell_memory("after")
            listing = time.perf_counter()
            direct().open(f"{url}/v1/models?limit=500", timeout=PATIENCE_S).read()
            print(f"the first listing of all of them took {time.perf_counter() - listing:.1f} s")
            tell_memory("after listing")


def answered(url: str) -> None:
    """Ask until there is an answer."""
    request = urllib.request.Request(url, picture(SIZE), {"content-type": "image/jpeg"})
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            direct().open(request, timeout=PATIENCE_S).read()
            return
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def direct() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def tell_memory(when: str) -> None:
    held = {name: rss_mib(pid) for pid, name in serving_processes().items()}
    print(f"MiB {when}: {', '.join(f'{name} {mib:.0f}' for name, mib in held.items())}", flush=True)


if __name__ == "__main__":
    main()
