"""The service under load for as long as it is told: no 5xx, memory that does not grow, malformed requests refused with 4xx.

    OMP_NUM_THREADS=1 python tests/benchmarks/soak.py --minutes 60 --clients 4
    OMP_NUM_THREADS=1 python tests/benchmarks/soak.py --minutes 5 --rate 20 --setting cache_mib=64 --setting ingresses=2

Micro-models of three tasks, drawn and not fitted, are published to a store that is thrown away. The real service answers on a
Ray of its own; users of Locust ask every route that reads or predicts, with one, two and many pictures, and a share of what
they send is malformed. Once a minute the memory in RAM of every process of the service is noted. Growth is the slope of a
straight line through the second half of the run; its scatter is the standard error of the slope.

Exit code 1: a 5xx, no answer, a malformed request that was not refused, a good one that was, or, in runs of 20 minutes and
more, a process that grows by more than 5 % an hour by more than two standard errors.
"""

import argparse
import base64
import json
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from http_load import Ask, Heard, Load, latencies
from locust_load import load_with_locust
from processes import rss_mib, serving_processes
from served import add_settings, service, settings_of
from shared_trunk import World

from cluster.session import ray_session
from training.data.pictures import encode_jpeg
from training.models.device import best_device
from training.store.store import Store

RECIPE_OF = {"detection": "film", "segmentation": "head", "classification": "head"}
WIDTH, HEIGHT = 160, 96
FORM = {"content-type": "multipart/form-data; boundary=edge"}
JUDGED_FROM_MINUTES, MOST_GROWTH = 20.0, 0.05
SAMPLES_AT_LEAST = 12
Samples = dict[str, list[tuple[float, float]]]  # process -> (seconds, MiB)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--rate", type=float, help="requests a second of all users together, at most")
    parser.add_argument("--cpus", type=int, default=2, help="that Ray is told of")
    add_settings(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ray_session(num_cpus=asked.cpus):
        store = Store.create(folder)
        models = publish(store, asked.models)
        with service(store.url, settings_of(asked.setting)) as url:
            wanted = Load(
                url=url,
                asks=requests(),
                models=models,
                clients=asked.clients,
                seconds=60 * asked.minutes,
            )
            with sampled(min(60.0, 60 * asked.minutes / SAMPLES_AT_LEAST)) as samples:
                heard = load_with_locust(wanted, asked.rate)
    return 1 if tell(heard, samples, asked.minutes) else 0


def publish(store: Store, count: int) -> list[str]:
    """Live micro-models, of each task equally many."""
    torch.manual_seed(0)
    worlds = {task: World(store, "mobilenet_v2", task, (WIDTH, HEIGHT), best_device()) for task in RECIPE_OF}
    for world in worlds.values():
        store.add_ontology(world.ontology)
    tasks, names = list(worlds), []
    for number in range(count):
        task = tasks[number % len(tasks)]
        card = worlds[task].publish(RECIPE_OF[task], number, f"{task}-{number:03d}")
        store.registry.promote(card.shard_id, card.ontology, card.generation, "drawn")
        names.append(card.shard_id)
    return names


def requests() -> list[Ask]:
    """What is asked, and how often: mostly pictures; one of ten requests is malformed."""
    rng = np.random.default_rng(0)
    one, two = (encode_jpeg(rng.integers(0, 256, (2 * HEIGHT, 2 * WIDTH, 3), np.uint8)) for _ in range(2))
    text = [base64.b64encode(picture).decode() for picture in (one, two)]
    jpeg, plain = {"content-type": "image/jpeg"}, {"content-type": "application/json"}
    lines = "".join(json.dumps({"image": image}) + "\n" for image in 2 * text).encode()
    tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "data": text[:1]}
    predict, stream, infer = "/v1/models/{model}/predict", "/v1/models/{model}/predict-stream", "/v2/models/{model}/infer"
    good = [
        Ask(name="predict", path=predict, headers=jpeg, body=one, share=8),
        Ask(name="predict, JSON", path=predict, headers=plain, body=json.dumps({"images": text}).encode(), share=3),
        Ask(name="predict, form", path=predict, headers=FORM, body=form(one), share=2),
        Ask(name="predict-stream", path=stream, headers={"content-type": "application/x-ndjson"}, body=lines, share=1),
        Ask(name="infer", path=infer, headers=plain, body=json.dumps({"inputs": [tensor]}).encode(), share=2),
        Ask(name="model", path="/v1/models/{model}", method="GET", share=1),
        Ask(name="models", path="/v1/models?limit=20", method="GET", share=0.5),
        Ask(name="queue", path="/v1/queue", method="GET", share=0.5),
        Ask(name="ready", path="/readyz", method="GET", share=0.5),
        Ask(name="metadata", path="/v2/models/{model}", method="GET", share=0.5),
    ]
    bad = [
        Ask(name="bad: half a picture", path=predict, headers=jpeg, body=one[: len(one) // 2]),
        Ask(name="bad: no picture", path=predict, headers=jpeg, body=bytes(range(256))),
        Ask(name="bad: no base64", path=predict, headers=plain, body=b'{"images": ["%"]}'),
        Ask(name="bad: no JSON", path=infer, headers=plain, body=b'{"inputs": ['),
        Ask(name="bad: a film", path=predict, headers={"content-type": "video/mp4"}, body=one),
        Ask(name="bad: unknown model", path="/v1/models/nobody/predict", headers=jpeg, body=one),
        Ask(name="bad: a path", path="/v1/models/..%2f..%2fetc/predict", headers=jpeg, body=one),
        Ask(name="bad: generation", path=f"{predict}?generation=-1", headers=jpeg, body=one),
        Ask(name="bad: min_score", path=f"{predict}?min_score=nan", headers=jpeg, body=one),
        Ask(name="bad: method", path=predict, method="DELETE"),
    ]
    share = sum(ask.share for ask in good) / 9 / len(bad)
    return good + [replace(ask, share=share, expected=4) for ask in bad]


def form(picture: bytes) -> bytes:
    head = b'--edge\r\ncontent-disposition: form-data; name="images"; filename="1.jpg"\r\ncontent-type: image/jpeg\r\n\r\n'
    return head + picture + b"\r\n--edge--\r\n"


@contextmanager
def sampled(every_s: float) -> Iterator[Samples]:
    """Memory of every process of the service, noted for as long as the block lasts."""
    samples: Samples = defaultdict(list)
    began, over = time.monotonic(), threading.Event()

    def sample() -> None:
        while not over.wait(every_s):
            held = {name: rss_mib(pid) for pid, name in serving_processes().items()}
            for name, mib in held.items():
                samples[name].append((time.monotonic() - began, mib))
            said = ", ".join(f"{name} {mib:.0f}" for name, mib in held.items())
            print(f"{(time.monotonic() - began) / 60:6.1f} min, MiB: {said}", file=sys.stderr, flush=True)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def tell(heard: Sequence[Heard], samples: Samples, minutes: float) -> bool:
    """Print what came of it; whether anything is wrong."""
    seconds = max(one.began_s for one in heard)
    print(f"{len(heard)} requests in {seconds / 60:.1f} min, {len(heard) / seconds:.1f} a second")
    print("\nkind                     statuses                 p50, ms   p99, ms")
    for name in sorted({one.name for one in heard}):
        some = [one for one in heard if one.name == name]
        counts = ", ".join(f"{status}: {count}" for status, count in sorted(Counter(one.status for one in some).items()))
        p50, p99 = latencies(some)
        print(f"{name:24} {counts:24} {p50:7.0f} {p99:9.0f}")
    wrong = [one for one in heard if not one.right]
    for (name, status, said), count in Counter((one.name, one.status, one.said) for one in wrong).most_common(20):
        print(f"WRONG {count} times: {name} {status} {said}")
    return tell_growth(samples, judged=minutes >= JUDGED_FROM_MINUTES) or bool(wrong)


def tell_growth(samples: Samples, *, judged: bool) -> bool:
    """Whether a process grows too fast."""
    print("\nprocess       MiB at first   at last   MiB/h   scatter   %/h   (second half)")
    grows = False
    for name, noted in samples.items():
        half = noted[len(noted) // 2 :]
        if len(half) < 3:
            continue
        slope, error = slope_of(half)
        share = slope / half[0][1]
        too_fast = judged and (slope - 2 * error) / half[0][1] > MOST_GROWTH
        grows |= too_fast
        mib = f"{noted[0][1]:12.1f} {noted[-1][1]:9.1f} {slope:7.1f} {error:9.1f}"
        print(f"{name:13} {mib} {100 * share:5.1f}{'   GROWS' if too_fast else ''}")
    if not judged:
        print(f"growth is judged from {JUDGED_FROM_MINUTES:.0f} minutes on: before, caches still fill")
    return grows


def slope_of(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """MiB an hour and its standard error."""
    hours, mib = np.array(points).T / [[3600], [1]]
    (slope, _), covariance = np.polyfit(hours, mib, 1, cov="unscaled")
    residuals = mib - np.polyval(np.polyfit(hours, mib, 1), hours)
    return float(slope), float(np.sqrt(covariance[0, 0] * (residuals**2).sum() / max(1, len(mib) - 2)))


if __name__ == "__main__":
    sys.exit(main())
