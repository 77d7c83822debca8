"""Which sequence a picture comes from, told by its looks: how often that is right, wrong, or left open.

    OMP_NUM_THREADS=1 python tests/benchmarks/routing.py DIR --weights mobilenet_v2.pth --only davis_dog,davis_cows,dota_p1888

DIR has NAME.mp4 and NAME.png (a scene, cut into tiles of 128 pixels). Name only one of two files that show the same; the others
can be given as `--also`, and are then added at the end. For each seed, other frames describe every sequence: one drawn from each
of 25 equal stretches. The rest are asked about, as they are and changed. Then one domain after the other is taken away, and all
its frames should be in none.
"""

import argparse
import io
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from training.data.frames import Frame
from training.data.pictures import decode_picture
from training.data.sources import SCENE_SUFFIXES, open_frames, probe
from training.data.world.video import CAMERAS, draw_frames
from training.domain.describe import MAX_FRAMES, condensed, look, whole_tiles
from training.domain.nearest import Abstention, Answer, Domains
from training.loop.sample import evenly_spaced
from training.models.backbones import Backbone
from training.models.eye import Eye
from training.store.descriptors import Descriptor

Picture = NDArray[np.uint8]
Seen = NDArray[np.float32]
MOST = 72  # frames of a sequence that are looked at
FLEET = 10_000  # domains, of which the size and the time of one answer are told
NOWHERE = np.empty((0, 2))


def saved(kind: str, quality: int, size: float = 1.0) -> Callable[[Picture], Picture]:
    def encode(image_HW3: Picture) -> Picture:
        height, width = image_HW3.shape[:2]
        small = Image.fromarray(image_HW3).resize(
            (max(1, round(width * size)), max(1, round(height * size))), Image.Resampling.BOX
        )
        out = io.BytesIO()
        small.save(out, kind, quality=quality)
        return decode_picture(out.getvalue(), name=kind)

    return encode


def toned(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Callable[[Picture], Picture]:
    return lambda image_HW3: (255 * np.clip(change((image_HW3 / 255).astype(np.float32)), 0, 1)).astype(np.uint8)


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "JPEG 75": saved("JPEG", 75),
    "JPEG 30": saved("JPEG", 30),
    "WebP 50": saved("WEBP", 50),
    "half the size": saved("PNG", 0, 0.5),
    "two thirds, JPEG 60": saved("JPEG", 60, 0.66),
    "a third, JPEG 70": saved("JPEG", 70, 0.33),
    "15 % brighter": toned(lambda x: x * 1.15),
    "15 % darker": toned(lambda x: x * 0.85),
    "contrast 1.2": toned(lambda x: (x - x.mean()) * 1.2 + x.mean()),
    "gamma 0.8": toned(lambda x: x**0.8),
}


@dataclass(frozen=True, slots=True)
class Sequence_:
    """What the frames of one sequence look like, in all views of a description and changed."""

    name: str
    seen_NVD: Seen
    changed: dict[str, Seen]

    def split(self, seed: int) -> tuple[list[int], list[int]]:
        """Frames that describe, one of each of equal stretches, and the others."""
        num_frames = len(self.seen_NVD)
        ends = np.linspace(0, num_frames, min(MAX_FRAMES, num_frames * 2 // 3) + 1)
        random = np.random.default_rng([seed, *self.name.encode()])
        chosen = sorted({int(random.uniform(*stretch)) for stretch in pairwise(ends)})
        return chosen, sorted(set(range(num_frames)) - set(chosen))

    def described(self, seed: int, eye: str) -> Descriptor:
        chosen, _ = self.split(seed)
        return condensed(self.name, eye, chosen, self.seen_NVD[chosen], ring_P2=NOWHERE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--only", required=True, help="names of sequences, separated by commas")
    parser.add_argument("--also", default="", help="names of sequences that show the same as one of those")
    parser.add_argument("--photos", type=Path, help="a folder of other photographs")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    eye = Eye(Backbone(weights=arguments.weights))
    sequences = [looked_at(arguments.directory, name, eye) for name in arguments.only.split(",")]
    outside = {kind: np.stack([glance(eye, one) for one in pictures]) for kind, pictures in generated().items()}
    if arguments.photos is not None:
        outside["photographs, and parts of them"] = np.stack([glance(eye, one) for one in photographs(arguments.photos)])
    seeds = range(arguments.seeds)
    by_sequence(sequences, seeds, eye)
    by_change(sequences, seeds, eye)
    strangers(sequences, seeds, eye, outside)
    small_stores(sequences, seeds, eye, outside)
    if arguments.also:
        same = [looked_at(arguments.directory, name, eye) for name in arguments.also.split(",")]
        twice(sequences, same, seeds, eye)
    print(cost(eye, [one.described(0, eye.identity) for one in sequences]))


def looked_at(directory: Path, name: str, eye: Eye) -> Sequence_:
    path = next(path for path in sorted(directory.glob(f"{name}.*")) if path.suffix in {".mp4", *SCENE_SUFFIXES})
    shard = probe(path, shard_id=name, tile=128)
    frames = whole_tiles(shard)
    seen: list[Any] = []
    changed: dict[str, list[Any]] = {kind: [] for kind in CHANGES}
    with open_frames(shard) as source:
        for frame in source.read([frames[place] for place in evenly_spaced(len(frames), MOST)]):
            seen.append(look(frame, eye))
            for kind, change in CHANGES.items():
                changed[kind].append(glance(eye, change(frame.image_HW3)))
    return Sequence_(name, np.stack(seen), {kind: np.stack(some) for kind, some in changed.items()})


def glance(eye: Eye, image_HW3: Picture) -> Seen:
    return eye.glance(Frame(shard_id="asked", frame_index=0, image_HW3=np.ascontiguousarray(image_HW3)))


def domains_of(sequences: Sequence[Sequence_], seed: int, eye: Eye) -> Domains:
    return Domains(eye.identity, [one.described(seed, eye.identity) for one in sequences])


def by_sequence(sequences: Sequence[Sequence_], seeds: Sequence[int], eye: Eye) -> None:
    print(
        "\n| | reach | right | half the size, JPEG 50 | in none, its domain taken away | then nearest |"
        "\n|---|---|---|---|---|---|"
    )
    total = Counter[str]()
    for one in sequences:
        reach, nearest, told = [], [], Counter[str]()
        for seed in seeds:
            _, others = one.split(seed)
            domains, away = domains_of(sequences, seed, eye), domains_of([x for x in sequences if x is not one], seed, eye)
            reach.append(domains.reach_S[domains.shard_ids.index(one.name)])
            told += counted(domains, one.name, one.seen_NVD[others, 0], "own ") + counted(
                domains, one.name, one.seen_NVD[others, 1], "half "
            )
            told += counted(away, one.name, one.seen_NVD[:, 0], "away ")
            nearest += [min(zip(away.distances(seen_D), away.shard_ids)) for seen_D in one.seen_NVD[:, 0]]
        total += told
        distance, other = min(nearest)
        print(
            f"| {one.name} | {np.mean(reach):.3f} | {right(told, 'own ')} | {right(told, 'half ')} | {left(told)} "
            f"| {other} {distance:.2f} |"
        )
    print(f"| together | | {right(total, 'own ')} | {right(total, 'half ')} | {left(total)} | |")


def by_change(sequences: Sequence[Sequence_], seeds: Sequence[int], eye: Eye) -> None:
    print("\n| own frames, changed | right | elsewhere | undecided | outside |\n|---|---|---|---|---|")
    for kind in CHANGES:
        told = Counter[str]()
        for seed in seeds:
            domains = domains_of(sequences, seed, eye)
            for one in sequences:
                told += counted(domains, one.name, one.changed[kind][one.split(seed)[1]])
        print(
            f"| {kind} | {share(told, 'right')} | {share(told, 'wrong')} "
            f"| {share(told, 'undecided')} | {share(told, 'outside')} |"
        )


def strangers(sequences: Sequence[Sequence_], seeds: Sequence[int], eye: Eye, outside: dict[str, Seen]) -> None:
    print("\n| of nothing in the store | in none |\n|---|---|")
    for kind, seen in outside.items():
        told = sum((counted(domains_of(sequences, seed, eye), "", seen) for seed in seeds), Counter[str]())
        print(f"| {kind} | {told.total() - told['wrong']} of {told.total()} |")


def small_stores(sequences: Sequence[Sequence_], seeds: Sequence[int], eye: Eye, outside: dict[str, Seen]) -> None:
    print(
        "\n| shards in the store | own frames right | elsewhere | frames of others in none | nothing: in none |"
        "\n|---|---|---|---|---|"
    )
    random = np.random.default_rng(0)
    for size in (1, 2, 4, 8):
        told, foreign, nothing = Counter[str](), Counter[str](), Counter[str]()
        for seed in seeds:
            order = random.permutation(len(sequences))
            for some in np.array_split(order, -(-len(order) // size)):
                there = [sequences[place] for place in some]
                domains = domains_of(there, seed, eye)
                for one in sequences:
                    if one in there:
                        told += counted(domains, one.name, one.seen_NVD[one.split(seed)[1], 0])
                    else:
                        foreign += counted(domains, "", one.seen_NVD[:, 0])
                for seen in outside.values():
                    nothing += counted(domains, "", seen)
        kept = " | ".join(f"{one.total() - one['wrong']} of {one.total()}" for one in (foreign, nothing))
        print(f"| at most {size} | {share(told, 'right')} | {share(told, 'wrong')} | {kept} |")


def twice(sequences: Sequence[Sequence_], same: Sequence[Sequence_], seeds: Sequence[int], eye: Eye) -> None:
    """Sequences that show the same as others are in the store too."""
    print(
        f"\nand {', '.join(one.name for one in same)} beside them:\n"
        "\n| | right | elsewhere | undecided | outside |\n|---|---|---|---|---|"
    )
    for one in [*sequences, *same]:
        told = Counter[str]()
        for seed in seeds:
            told += counted(domains_of([*sequences, *same], seed, eye), one.name, one.seen_NVD[one.split(seed)[1], 0])
        print(
            f"| {one.name} | {share(told, 'right')} | {share(told, 'wrong')} "
            f"| {share(told, 'undecided')} | {share(told, 'outside')} |"
        )


def counted(domains: Domains, name: str, seen: Seen, prefix: str = "") -> Counter[str]:
    return Counter(prefix + said(domains.nearest_to(seen_D), name) for seen_D in seen)


def said(answer: Answer, name: str) -> str:
    if isinstance(answer, Abstention):
        return answer.reason
    return "right" if answer.shard_id == name else "wrong"


def share(told: Counter[str], what: str) -> str:
    return f"{100 * told[what] / max(1, told.total()):.1f} %"


def right(told: Counter[str], prefix: str) -> str:
    asked = {word.removeprefix(prefix): count for word, count in told.items() if word.startswith(prefix)}
    others = ", ".join(f"{count} {word}" for word, count in asked.items() if word != "right")
    return f"{asked.get('right', 0)} of {sum(asked.values())}" + (f" ({others})" if others else "")


def left(told: Counter[str]) -> str:
    asked = {word: count for word, count in told.items() if word.startswith("away ")}
    return f"{sum(asked.values()) - asked.get('away wrong', 0)} of {sum(asked.values())}"


def photographs(folder: Path) -> list[Picture]:
    """Each as it is, and four parts of it."""
    random, found = np.random.default_rng(0), []
    for path in sorted(folder.iterdir()):
        image_HW3 = decode_picture(path.read_bytes(), name=path.name)
        found.append(image_HW3)
        for share_of in random.uniform(0.4, 0.9, 4):
            height, width = (round(side * share_of) for side in image_HW3.shape[:2])
            y, x = (int(random.integers(0, side - part + 1)) for side, part in zip(image_HW3.shape[:2], (height, width)))
            found.append(image_HW3[y : y + height, x : x + width])
    return found


def generated() -> dict[str, list[Picture]]:
    """Pictures of nothing, and of a world that is drawn."""
    random, sizes = np.random.default_rng(0), [(480, 640), (360, 480), (720, 1280), (512, 512), (128, 128)] * 4
    kinds = {
        "noise": [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes],
        "black and flat": [
            np.full((*size, 3), random.integers(0, 256, 3) * (n % 3 > 0), np.uint8) for n, size in enumerate(sizes)
        ],
        "gradients": [gradient(random, size) for size in sizes],
        "blocks": [random.integers(0, 256, (12, 16, 3), np.uint8).repeat(40, 0).repeat(40, 1) for _ in sizes],
        "clouds": [clouds(random, size) for size in sizes],
    }
    for name, camera in CAMERAS.items():
        drawn = draw_frames(seed=3, num_frames=24, width=320, height=192, camera=camera)
        kinds[f"drawn: {name}"] = [picture for picture, _ in drawn][::2]
    return kinds


def gradient(random: np.random.Generator, size: tuple[int, int]) -> Picture:
    down, along = np.linspace(0, 1, size[0])[:, None, None], np.linspace(0, 1, size[1])[None, :, None]
    place = down * random.uniform() + along * random.uniform()
    return np.clip(random.uniform(0, 255, 3) * (1 - place) + random.uniform(0, 255, 3) * place, 0, 255).astype(np.uint8)


def clouds(random: np.random.Generator, size: tuple[int, int]) -> Picture:
    """Noise of as many large as small shapes, as in photographs."""
    pitch = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])[None, :])
    pitch[0, 0] = np.inf
    noise = np.fft.fft2(random.normal(size=(3, *size))) / pitch ** random.uniform(0.8, 1.6)
    shade = np.real(np.fft.ifft2(noise)).transpose(1, 2, 0)
    picture: Picture = np.clip(128 + 45 * (0.7 * shade[..., :1] + 0.3 * shade) / shade.std(), 0, 255).astype(np.uint8)
    return picture


def cost(eye: Eye, descriptors: Sequence[Descriptor]) -> str:
    """Of a fleet whose domains are these, each frame of them a little changed."""
    random, many = np.random.default_rng(0), []
    for number in range(FLEET):
        like = descriptors[number % len(descriptors)]
        rows = like.seen_MD + random.normal(0, 0.3 / like.seen_MD.shape[1] ** 0.5, like.seen_MD.shape[1]).astype(np.float32)
        many.append(replace(like, shard_id=f"shard-{number}", seen_MD=rows / np.linalg.norm(rows, axis=1, keepdims=True)))
    started = time.perf_counter()
    fleet, seen_D = Domains(eye.identity, many), descriptors[0].seen_MD[0]
    made, taken = time.perf_counter() - started, []
    for _ in range(20):
        start = time.perf_counter()
        fleet.nearest_to(seen_D)
        taken.append(time.perf_counter() - start)
    picture, looks = np.zeros((480, 640, 3), np.uint8), []
    for _ in range(10):
        start = time.perf_counter()
        glance(eye, picture)
        looks.append(time.perf_counter() - start)
    return (
        f"\n{FLEET} domains: {fleet.num_bytes / 2**20:.0f} MiB, {made:.0f} s to find how far they reach, "
        f"{1000 * np.median(taken):.0f} ms"
        f" an answer; {1000 * np.median(looks):.0f} ms a look"
    )


if __name__ == "__main__":
    main()
