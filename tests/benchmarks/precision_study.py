"""What trunks in bfloat16 change: what fitted micro-models say of frames that no fit saw, in either precision, and how fast.

    OMP_NUM_THREADS=1 python tests/benchmarks/precision_study.py DIR --recipe head --weights mobilenet_v2.pth --only davis_dog

DIR has NAME.mp4 with NAME.coco.json. Each micro-model is fitted once to five evenly spaced frames, in float32 as always, and
answers for at most 60 others as the service and `label` let it: `head` and `film` through a trunk that is shared, others with one
of their own. Two numbers a quality: float32, bfloat16. "Alike" is the first of them with what float32 says as the truth.
Milliseconds of processor time are of a whole frame, in batches of 8.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from sampler_study import truths

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.data.sources import open_frames
from training.learning.fit import fit_bank
from training.learning.labelled import LabelledFrames
from training.learning.recipes import RECIPES, recipe
from training.loop.sample import evenly_spaced
from training.loop.simulation import Truth
from training.models.backbones import Backbone
from training.models.bank import Bank
from training.models.bases import own_norms, own_tensors, starting_base
from training.models.micro_model import MicroModel
from training.models.mixed_precision import trunk_dtype
from training.models.precision import Precision
from training.models.shared_trunk import SharedTrunk
from training.models.tasks import task_for

LABELS, MOST, BATCH = 5, 60, 8
SHOWN = ("precision", "recall", "tight_recall", "mean_iou", "miou", "pck", "macro_f1", "accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", default="", help="names, with commas; all by default")
    parser.add_argument("--tasks", default="detection,segmentation,keypoints,classification")
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="head")
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    backbone = Backbone(name=asked.backbone, weights=asked.weights)
    for truth in truths(asked.directory, [name for name in asked.only.split(",") if name], asked.tasks.split(",")):
        for seed in asked.seeds:
            compare(truth, asked.recipe, backbone, seed)


def compare(truth: Truth, recipe_name: str, backbone: Backbone, seed: int) -> None:
    known = [frame.frame_index for frame in truth.labels]
    chosen = [known[position] for position in evenly_spaced(len(known), LABELS)]
    others = [index for index in known if index not in chosen]
    others = [others[position] for position in evenly_spaced(len(others), min(MOST, len(others)))]
    with open_frames(truth.shard) as source:
        seen, unseen = tuple(source.read(chosen)), tuple(source.read(others))
    labelled = LabelledFrames(
        shard_id=truth.shard.shard_id, ontology=truth.ontology, frames=seen, labels=tuple(truth.of(chosen)), others=unseen
    )
    fit = fit_bank([labelled], recipe=recipe(recipe_name), backbone=backbone, seed=seed)
    for error in fit.failures.values():
        raise error
    fitted = fit.models[truth.shard.shard_id]
    said, spent = {}, {}
    for kind in (Precision.float32, Precision.bfloat16):
        said[kind], spent[kind] = answers(ready(fitted, backbone, seed, kind), unseen)
    task, sizes_hw = task_for(truth.ontology), [truth.shard.size_hw(index) for index in others]
    exact, low = (task.measure(truth.of(others), some, sizes_hw) for some in said.values())
    alike = next(iter(task.measure(said[Precision.float32], said[Precision.bfloat16], sizes_hw).values()))
    qualities = "  ".join(f"{name} {exact[name]:.3f} {low[name]:.3f}" for name in SHOWN if name in exact)
    times = " to ".join(f"{ms:.1f}" for ms in spent.values())
    name = f"{truth.shard.shard_id} {truth.ontology.task} {recipe_name} {seed}"
    print(f"{name:52} {qualities}  alike {alike:.3f}  {times} ms", flush=True)


def ready(fitted: MicroModel, backbone: Backbone, seed: int, precision: Precision) -> MicroModel:
    """As ModelCache makes it of what a store keeps."""
    tensors, config, device = fitted.tensors(), fitted.network.config, torch.device("cpu")
    start = starting_base(backbone, seed)
    own, shared = own_tensors(config, tensors, start), None
    if own is not None:
        norms = own_norms(config, own)
        assert norms is not None, "only a grid on a scratch trunk has statistics without weights"
        dtype = trunk_dtype(precision, device)
        shared = SharedTrunk(backbone.name, start.tensors, own_norms=norms, device=device, dtype=dtype)
    return MicroModel.restore(fitted.shard_id, None, fitted.to_json(), own or tensors, shared=shared, precision=precision)


def answers(model: MicroModel, frames: Sequence[Frame]) -> tuple[list[FrameLabels], float]:
    """What it says, and milliseconds of processor time a frame."""
    bank, said = Bank([model]), []
    bank.predict(frames[:1], [0])
    began = time.process_time()
    for start in range(0, len(frames), BATCH):
        batch = frames[start : start + BATCH]
        said += bank.predict(batch, [0] * len(batch))
    return said, 1e3 * (time.process_time() - began) / len(frames)


if __name__ == "__main__":
    main()
