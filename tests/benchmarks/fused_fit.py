"""Fits of many shards together against the same fits one at a time, side by side in one run: micro-models per hour.

    OMP_NUM_THREADS=1 python tests/benchmarks/fused_fit.py --recipe head --models 8 --device cpu
    python tests/benchmarks/fused_fit.py --recipe quality --models 32 --device cuda

Shards are drawn: noise with a few bright squares on each of five frames. The trunk starts from random weights with settled
statistics, read as a file of weights, so that norms are held as with ImageNet weights. The rounds alternate between the two ways
and the fastest of each counts, by the clock and, where the device is a CPU, by processor time, which other work on the machine
changes less. `--alone N` fits only N of them one at a time, for runs that must be short. Preparing a fit and the kept maps of
`head` are in it; `--steps` shortens every fit, so that these weigh more. Last comes how far apart the weights are where both ways
ended, and how good both are on frames that no fit saw.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torchvision

from training.data.annotations import Annotation, FrameLabels
from training.data.frames import Frame
from training.data.ontology import Ontology
from training.learning.fit import BankFit, fit_bank
from training.learning.labelled import LabelledFrames
from training.learning.recipes import RECIPES, recipe
from training.models.backbones import Backbone
from training.models.bank import Bank
from training.models.tasks import task_for

FRAMES = 5
UNSEEN = 10
SQUARES = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="head")
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--alone", type=int, help="fit only so many one at a time, and take the others to need as long each")
    parser.add_argument("--rounds", type=int, default=2, help="of each way; the fastest counts")
    parser.add_argument("--size", type=int, nargs=2, default=(384, 216), metavar=("WIDTH", "HEIGHT"))
    asked = parser.parse_args()
    chosen = recipe(asked.recipe)
    chosen = replace(chosen, steps=asked.steps or chosen.steps)
    bundle = [drawn_shard(number, range(FRAMES), *asked.size) for number in range(asked.models)]
    unseen = [drawn_shard(number, range(FRAMES, FRAMES + UNSEEN), *asked.size) for number in range(asked.models)]
    with tempfile.TemporaryDirectory() as folder:
        backbone = settled_backbone(asked.backbone, Path(folder))

        def fit(at_once: int, count: int) -> BankFit:
            return fit_bank(bundle[:count], recipe=chosen, backbone=backbone, device=asked.device, at_once=at_once)

        alone = min(asked.alone or asked.models, asked.models)
        ways = {
            "one at a time": Way(fit=lambda: fit(1, alone), models=alone),
            "together": Way(fit=lambda: fit(asked.models, asked.models), models=asked.models),
        }
        banks = compare(ways, asked.rounds, asked.device)
    for way, bank in banks.items():
        found = quality(bank, unseen[: len(bank.models)], asked.device)
        print(
            f"{way}: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()) + f" on {UNSEEN} unseen frames a shard"
        )


@dataclass(frozen=True)
class Way:
    """fit: one round. models: how many micro-models it fits."""

    fit: Callable[[], BankFit]
    models: int


def compare(ways: dict[str, Way], rounds: int, device: str) -> dict[str, BankFit]:
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    banks: dict[str, BankFit] = {}
    for number in range(1, rounds + 1):
        for name, way in ways.items():
            banks[name], *seconds = timed(way.fit, device)
            print(f"round {number}: {name}, {way.models} micro-models: {seconds[0]:.1f} s", file=sys.stderr, flush=True)
            spent[name].append((seconds[0], seconds[1]))
    for clock, name in enumerate(["wall"] if device.startswith("cuda") else ["wall", "processor"]):
        best = {way: min(round_[clock] for round_ in rounds_) / ways[way].models for way, rounds_ in spent.items()}
        said = ", ".join(f"{way} {3600 / seconds:.0f}" for way, seconds in best.items())
        all_s = "; ".join(" ".join(f"{round_[clock]:.1f}" for round_ in rounds_) for rounds_ in spent.values())
        ratio = best["one at a time"] / best["together"]
        print(f"{name:>9} time: ratio {ratio:.2f}; micro-models an hour: {said}; seconds of the rounds: {all_s}", flush=True)
    if len(banks["one at a time"].models) > 1:
        print(f"weights apart: {apart(banks['one at a time'], banks['together']):.1e} of how far those of two shards are")
    return banks


def quality(fitted: BankFit, unseen: Sequence[LabelledFrames], device: str) -> dict[str, float]:
    """Means over the shards, of what the micro-models say about frames that no fit saw."""
    bank = Bank([fitted.models[shard.shard_id] for shard in unseen], device)
    found = []
    for position, shard in enumerate(unseen):
        said = bank.predict(shard.frames, [position] * len(shard.frames))
        size = (shard.frames[0].height, shard.frames[0].width)
        found.append(task_for(shard.ontology).measure(shard.labels, said, [size] * len(said)))
    return {name: float(np.mean([one[name] for one in found])) for name in ("precision", "recall", "mean_iou")}


def timed(fit: Callable[[], BankFit], device: str) -> tuple[BankFit, float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    bank = fit()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return bank, time.perf_counter() - wall, time.process_time() - processor


def apart(one: BankFit, other: BankFit) -> float:
    """Distance between the weights of the same shard, as a share of the distance between two shards; the median shard."""
    names = sorted(one.models)
    flat = [{name: flattened(bank, name) for name in names} for bank in (one, other)]
    return float(np.median([(flat[0][a] - flat[1][a]).norm() / (flat[0][a] - flat[0][b]).norm() for a, b in pairs(names)]))


def pairs(names: list[str]) -> list[tuple[str, str]]:
    return list(zip(names, names[1:] + names[:1], strict=True))


def flattened(bank: BankFit, shard_id: str) -> torch.Tensor:
    return torch.cat([tensor.flatten().double() for tensor in bank.models[shard_id].tensors().values()])


def drawn_shard(number: int, indices: Sequence[int], width: int, height: int) -> LabelledFrames:
    name = f"shard_{number:04d}"
    frames, labels = [], []
    for index in indices:
        random = np.random.default_rng((number, index))
        image = random.integers(0, 90, (height, width, 3), np.uint8)
        said = []
        for _ in range(SQUARES):
            side = int(random.integers(height // 8, height // 4))
            x, y = int(random.integers(width - side)), int(random.integers(height - side))
            image[y : y + side, x : x + side] = random.integers(150, 255, 3)
            said.append(Annotation(class_name="square", bbox_xyxy=(x, y, x + side, y + side)))
        frames.append(Frame(shard_id=name, frame_index=index, image_HW3=image))
        labels.append(FrameLabels(shard_id=name, frame_index=index, annotations=tuple(said)))
    ontology = Ontology(name="squares", task="detection", classes=("square",))
    return LabelledFrames(shard_id=name, ontology=ontology, frames=tuple(frames), labels=tuple(labels))


def settled_backbone(name: str, folder: Path) -> Backbone:
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None)
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(4, 3, 96, 96))
    torch.save(model.state_dict(), folder / "start.pth")
    return Backbone(name=name, weights=str(folder / "start.pth"))


if __name__ == "__main__":
    main()
