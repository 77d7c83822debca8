"""Which sequence a picture comes from, told by its looks: how often that is right, and how often nobody answers.

    OMP_NUM_THREADS=1 python tests/benchmarks/routing.py DIR --weights mobilenet_v2.pth --only davis_dog,davis_cows,dota_p1888

DIR has NAME.mp4 and NAME.png (a scene, cut into tiles of 128 pixels). Name only one of two files that show the same. Every
sequence is described by five labelled frames and others; other frames of it are asked about: as they are, and at half the size
as JPEG of quality 50. Then its own domain is taken away, and the same frames and its described ones should be in none.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from training.data.pictures import decode_picture, encode_jpeg
from training.data.sources import SCENE_SUFFIXES, open_frames, probe
from training.domain.describe import describe
from training.domain.nearest import REACH, Abstention, Answer, Domains
from training.loop.sample import evenly_spaced
from training.models.backbones import Backbone
from training.models.eye import Eye
from training.store.descriptors import Descriptor

Seen = list[NDArray[np.float32]]
QUERIES = 12  # of a sequence
FLEET = 10_000  # domains, of which the size and the time of one answer are told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--only", required=True, help="names of sequences, separated by commas")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    eye = Eye(Backbone(weights=arguments.weights))
    descriptors, asked, encoded = [], {}, {}
    for name in arguments.only.split(","):
        descriptor, asked[name], encoded[name] = look(arguments.directory, name, eye)
        descriptors.append(descriptor)
    print("| | spread | right | right, re-encoded | own distance, median / 95 % | none, its domain taken away | then nearest |")
    print("|---|---|---|---|---|---|---|")
    for one in descriptors:
        print(row(eye, descriptors, one, asked[one.shard_id], encoded[one.shard_id]))
    domains = Domains(eye, descriptors)
    for kind, pictures in generated().items():
        answers = [domains.nearest(picture) for picture in pictures]
        print(f"{kind}: {said(answers)} of {len(answers)}")
    print(cost(eye, descriptors))


def look(directory: Path, name: str, eye: Eye) -> tuple[Descriptor, Seen, Seen]:
    """The sequence's descriptor, and what other frames of it look like as they are and re-encoded."""
    path = next(path for path in sorted(directory.glob(f"{name}.*")) if path.suffix in {".mp4", *SCENE_SUFFIXES})
    shard = probe(path, shard_id=name, tile=128)
    descriptor = describe(shard, eye, labelled=evenly_spaced(shard.num_frames, 5))
    others = sorted(set(range(shard.num_frames)) - set(descriptor.frames_K.tolist()))
    chosen = [others[position] for position in evenly_spaced(len(others), QUERIES)]
    asked, encoded = [], []
    with open_frames(shard) as source:
        for frame in source.read(chosen):
            asked.append(eye.glance(frame))
            encoded.append(eye.glance(replace(frame.alone(), image_HW3=re_encoded(frame.image_HW3))))
    return descriptor, asked, encoded


def re_encoded(image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    half_HW3 = np.array(Image.fromarray(image_HW3).reduce(2))
    return decode_picture(encode_jpeg(half_HW3, quality=50), name="half")


def row(eye: Eye, descriptors: Sequence[Descriptor], one: Descriptor, asked: Seen, encoded: Seen) -> str:
    domains = Domains(eye, descriptors)
    others = Domains(eye, [other for other in descriptors if other is not one])
    place = domains.shard_ids.index(one.shard_id)
    own = [domains.distances(seen)[place] for seen in asked] or [np.nan]
    away = [others.nearest_to(seen) for seen in [*asked, *one.seen_KD]]
    nearest = min(min(zip(others.distances(seen), others.shard_ids, strict=True)) for seen in [*asked, *one.seen_KD])
    return (
        f"| {one.shard_id} | {one.spread:.3f} | {right(domains, one.shard_id, asked)} | {right(domains, one.shard_id, encoded)}"
        f" | {np.median(own):.2f} / {np.quantile(own, 0.95):.2f}"
        f" | {sum(isinstance(answer, Abstention) for answer in away)} of {len(away)} | {nearest[1]} {nearest[0]:.2f} |"
    )


def right(domains: Domains, shard_id: str, seen: Seen) -> str:
    answers = [domains.nearest_to(one) for one in seen]
    found = sum(not isinstance(answer, Abstention) and answer.shard_id == shard_id for answer in answers)
    wrong = [answer for answer in answers if isinstance(answer, Abstention) or answer.shard_id != shard_id]
    return f"{found} of {len(answers)}" + (f" ({said(wrong)})" if wrong else "")


def said(answers: Sequence[Answer]) -> str:
    words = Counter(answer.reason if isinstance(answer, Abstention) else f"in {answer.shard_id}" for answer in answers)
    return ", ".join(f"{count} {word}" for word, count in words.most_common())


def generated() -> dict[str, list[NDArray[np.uint8]]]:
    """Pictures of nothing."""
    random, sizes = np.random.default_rng(0), ((480, 640), (360, 480), (720, 1280), (512, 512))
    return {
        "noise": [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes for _ in range(3)],
        "black": [np.zeros((*size, 3), np.uint8) for size in sizes],
        "flat": [np.full((*size, 3), random.integers(0, 256, 3), np.uint8) for size in sizes for _ in range(3)],
        "blocks": [random.integers(0, 256, (12, 16, 3), np.uint8).repeat(40, 0).repeat(40, 1) for _ in range(6)],
    }


def cost(eye: Eye, descriptors: Sequence[Descriptor]) -> str:
    """Of a fleet whose domains are these, over and over."""
    many = [replace(descriptors[i % len(descriptors)], shard_id=f"shard-{i}") for i in range(FLEET)]
    fleet, seen_D = Domains(eye, many), descriptors[0].seen_KD[0]
    taken = []
    for _ in range(20):
        start = time.perf_counter()
        fleet.nearest_to(seen_D)
        taken.append(time.perf_counter() - start)
    return f"{FLEET} domains: {fleet.num_bytes / 2**20:.0f} MiB, {1000 * np.median(taken):.1f} ms an answer; they end at {REACH}"


if __name__ == "__main__":
    main()
