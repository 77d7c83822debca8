"""Which frames people should label: the sampler against frames evenly spaced in time and frames drawn at random.

    OMP_NUM_THREADS=1 python tests/benchmarks/sampler_study.py DIR --weights mobilenet_v2.pth --recipe head --seeds 0 1 2

DIR is a folder in the convention of `simulate` (NAME.mp4 beside NAME.coco.json). Everything runs in one process without Ray.
`ours` labels representative frames first; each larger number of labels adds the frames that `next` would have people review,
corrected to what is true. All choices of one sequence and seed are scored on the frames that none of them touched, so that
nobody is rewarded for leaving hard frames out; the table also has recall on each choice's own untouched frames. Frames are
enlarged by the sizes of all true objects instead of those labelled, the same for every choice, so that the maps of a frozen
trunk can be kept from fit to fit. The last columns say how many labels a method needs, interpolated between the numbers
tried, for the tight recall that evenly spaced frames reach with the last but one of them.
"""

import argparse
import dataclasses
import json
import pickle
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from training.data.annotations import FrameLabels
from training.data.coco import read_coco
from training.data.sources import open_frames, probe
from training.learning.fit import fit_bank
from training.learning.labelled import LabelledFrames
from training.learning.recipes import Recipe, recipe
from training.learning.resolution import input_scale
from training.loop import sample
from training.loop.appearance import frame_features
from training.loop.revisit import frames_to_review
from training.loop.simulation import Truth
from training.models.backbones import Backbone
from training.models.bank import Bank
from training.models.inputs import place_frame, stack_inputs
from training.models.micro_model import MicroModel
from training.models.network import DenseNetwork
from training.models.tasks import task_for

METHODS = ("uniform", "random", "ours")
Kept = tuple[list[torch.Tensor], Any]  # maps of one frame, and where it lies on them


class Study:
    """Fits of one sequence, with whatever they have in common computed once."""

    def __init__(self, truth: Truth, recipe: Recipe, backbone: Backbone) -> None:
        sizes = task_for(truth.ontology).object_sizes(truth.labels)
        scale = input_scale(sizes, width=truth.shard.width, height=truth.shard.height, recipe=recipe)
        side = round(scale * max(truth.shard.width, truth.shard.height))
        self.truth, self.backbone = truth, backbone
        self.recipe = dataclasses.replace(recipe, min_long_side=side, max_long_side=side)
        self.known = [frame.frame_index for frame in truth.labels]
        self._maps: list[Kept] = []
        self._answers: dict[tuple[int, tuple[int, ...]], list[FrameLabels]] = {}

    def answers(self, seed: int, chosen: Sequence[int]) -> list[FrameLabels]:
        """What a micro-model that was fitted on these frames says about all of them."""
        key = seed, tuple(sorted(chosen))
        if key not in self._answers:
            self._answers[key] = self._label(self._fit(seed, key[1]))
        return self._answers[key]

    def tight_recall(self, predicted: Sequence[FrameLabels], frame_indices: set[int]) -> float:
        said = [frame for frame in predicted if frame.frame_index in frame_indices]
        sizes_hw = [self.truth.shard.size_hw(frame.frame_index) for frame in said]
        return task_for(self.truth.ontology).measure(self.truth.of(sorted(frame_indices)), said, sizes_hw)["tight_recall"]

    def _fit(self, seed: int, chosen: Sequence[int]) -> MicroModel:
        with open_frames(self.truth.shard) as source:
            frames = tuple(source.read(chosen))
        shard_id, labels = self.truth.shard.shard_id, tuple(self.truth.of(chosen))
        labelled = LabelledFrames(shard_id=shard_id, ontology=self.truth.ontology, frames=frames, labels=labels)
        fit = fit_bank([labelled], recipe=self.recipe, backbone=self.backbone, seed=seed)
        for error in fit.failures.values():
            raise error
        return fit.models[shard_id]

    @torch.inference_mode()
    def _label(self, model: MicroModel) -> list[FrameLabels]:
        if self.recipe.parameters != "head":
            bank = Bank([MicroModel.restore(model.shard_id, None, model.to_json(), model.tensors())])
            with open_frames(self.truth.shard) as source:
                return [bank.predict([frame], [0])[0] for frame in source.read(self.known)]
        if not self._maps:
            self._maps = list(self._frozen_maps(model))
        found = []
        for index, (maps, place) in zip(self.known, self._maps, strict=True):
            assert isinstance(model.network, DenseNetwork), "keypoints and boxes, as --tasks says"
            outputs = model.network.answer([x.float() for x in maps])
            (annotations,) = model.task.decode(outputs, [place], model.network.config, model.decoding)
            found.append(FrameLabels(shard_id=model.shard_id, frame_index=index, annotations=annotations))
        return found

    def _frozen_maps(self, model: MicroModel) -> Iterator[Kept]:
        with open_frames(self.truth.shard) as source:
            for frame in source.read(self.known):
                image, place = place_frame(frame, model.network.config.scale)
                yield [x.half() for x in model.network.features(stack_inputs([image], torch.device("cpu")))], place


def choices(study: Study, method: str, numbers: Sequence[int], seed: int) -> dict[int, list[int]]:
    """Number of labels -> the frames that the method has labelled by then."""
    if method == "uniform":
        return {count: [study.known[at] for at in sample.evenly_spaced(len(study.known), count)] for count in numbers}
    if method == "random":
        order = random.Random(seed).sample(study.known, len(study.known))
        return {count: order[:count] for count in numbers}
    shard, ontology = study.truth.shard, study.truth.ontology
    chosen = sample.representative_frames(shard, study.known, numbers[0], backbone=study.backbone)
    found = {numbers[0]: list(chosen)}
    for count in numbers[1:]:
        suggestions = frames_to_review(
            shard,
            ontology,
            labels=study.truth.of(chosen),
            predicted=study.answers(seed, chosen),
            candidates=[index for index in study.known if index not in chosen],
            count=count - len(chosen),
            backbone=study.backbone,
        )
        chosen = [*chosen, *(one.frame_index for one in suggestions)]
        found[count] = list(chosen)
    return found


def labels_needed(recall: dict[int, float], wanted: float) -> float:
    """Fewest labels of that recall, by straight lines between the numbers tried; infinity if none has it."""
    numbers = sorted(recall)
    if recall[numbers[0]] >= wanted:
        return numbers[0]
    for low, high in pairwise(numbers):
        if recall[high] >= wanted:
            return low + (high - low) * (wanted - recall[low]) / (recall[high] - recall[low])
    return float("inf")


def compare(study: Study, numbers: Sequence[int], seeds: Sequence[int], keep: Path | None) -> dict[str, Any]:
    """Tight recall by method, number of labels and seed."""
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        chosen = {method: choices(study, method, numbers, seed) for method in METHODS}
        touched = {index for by_number in chosen.values() for frames in by_number.values() for index in frames}
        for method in METHODS:
            for count, frames in chosen[method].items():
                said = study.answers(seed, frames)
                common, own = set(study.known) - touched, set(study.known) - set(frames)
                score = {"common": study.tight_recall(said, common), "own": study.tight_recall(said, own)}
                rows.append({"seed": seed, "method": method, "labels": count, "frames": sorted(frames), **score})
                if keep is not None:
                    _keep(keep, study, f"{method}.{count}.{seed}", (study.truth, sorted(frames), said))
    mean = {
        (method, count, kind): float(np.mean([row[kind] for row in rows if (row["method"], row["labels"]) == (method, count)]))
        for method in METHODS
        for count in numbers
        for kind in ("common", "own")
    }
    wanted = mean["uniform", numbers[-2], "common"]
    needed = {method: labels_needed({count: mean[method, count, "common"] for count in numbers}, wanted) for method in METHODS}
    name = f"{study.truth.shard.shard_id}:{study.truth.ontology.task}"
    for method in METHODS:
        tight = "  ".join(f"{mean[method, count, 'common']:.3f} ({mean[method, count, 'own']:.3f})" for count in numbers)
        print(f"{name:40}{method:9}{tight}   needs {needed[method]:.1f}", flush=True)
    return {"sequence": name, "frames": len(study.known), "needed": needed, "rows": rows}


def _keep(folder: Path, study: Study, name: str, found: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    what = f"{study.truth.shard.shard_id}.{study.truth.ontology.task}.{study.recipe.name}"
    (folder / f"{what}.{name}.pkl").write_bytes(pickle.dumps(found))


def truths(folder: Path, only: Sequence[str], tasks: Sequence[str]) -> Iterator[Truth]:
    for path in sorted(folder.glob("*.mp4")):
        if only and path.stem not in only:
            continue
        shard = probe(path, shard_id=path.stem)
        for task, (ontology, labels) in read_coco(path.with_suffix(".coco.json"), shard).labels.items():
            if task in tasks:
                yield Truth(shard=shard, ontology=ontology, labels=labels)


def keep_looks() -> None:
    """The looks of a frame do not depend on the others, so they are computed once in this process."""
    kept: dict[tuple[str, int], Any] = {}

    def remembered(shard: Any, frame_indices: Sequence[int], backbone: Backbone) -> Any:
        missing = [index for index in frame_indices if (shard.shard_id, index) not in kept]
        if missing:
            features = frame_features(shard, missing, backbone)
            kept.update({(shard.shard_id, index): row for index, row in zip(missing, features, strict=True)})
        return np.stack([kept[shard.shard_id, index] for index in frame_indices])

    patch.object(sample, "frame_features", remembered).start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="names, with commas; all by default")
    parser.add_argument("--tasks", default="detection,keypoints")
    parser.add_argument("--recipe", default="head")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--labels", type=int, nargs="+", default=[3, 5, 8, 10, 15])
    parser.add_argument("--keep", type=Path, help="folder for the predictions")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_looks()
    backbone, found = Backbone(weights=given.weights), []
    print(f"tight recall on frames that no choice touched (and on those a choice did not), {given.labels} labels")
    for truth in truths(given.folder, [name for name in given.only.split(",") if name], given.tasks.split(",")):
        found.append(compare(Study(truth, recipe(given.recipe), backbone), sorted(given.labels), given.seeds, given.keep))
        if given.json:
            given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
