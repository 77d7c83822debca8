"""What the report shows of each shard: frames spread over a video, or a scene put together again from its tiles."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cluster.report import Picture
from training.data.annotations import FrameLabels
from training.data.coco import read_coco
from training.data.folder import labelled_folder
from training.data.shards import Shard
from training.data.sources import open_frames
from training.learning.merge import merge_tiles
from training.store.store import Store

__all__ = ["pictures_of"]

_NUM_FRAMES = 8


def pictures_of(store: Store, result: Mapping[str, Any], world: Path) -> dict[tuple[str, str], list[Picture]]:
    """Pictures of every (shard, task) in `result`, whose sources and true labels lie in `world`."""
    labels = {source.shard_id: source.labels for source in labelled_folder(world)}
    pictures: dict[tuple[str, str], list[Picture]] = {}
    for entry in result["shards"]:
        shard, truth_file = store.shard(entry["shard_id"]), labels[entry["shard_id"]]
        assert truth_file is not None
        ontology, truth = read_coco(truth_file, shard).labels[entry["task"]]
        answering = [one["generation"] for one in entry["generations"] if one["live"]][-1]
        said, _ = store.predictions.read(shard.shard_id, ontology.name, answering)
        by_hand = {frame.frame_index for frame in store.labels(shard.shard_id, ontology.name)}
        show = _frames if shard.scene is None else _scene
        shown = show(shard, truth, said, by_hand)
        pictures[shard.shard_id, entry["task"]] = [replace(picture, ontology=ontology) for picture in shown]
    return pictures


def _frames(shard: Shard, truth: Sequence[FrameLabels], said: Sequence[FrameLabels], by_hand: set[int]) -> list[Picture]:
    true, machine = ({frame.frame_index: frame.annotations for frame in labels} for labels in (truth, said))
    spread = np.linspace(0, shard.num_frames - 1, _NUM_FRAMES).round().astype(int).tolist()
    middle = sorted(by_hand)[len(by_hand) // 2]
    chosen = {*spread, middle} - {min(spread, key=lambda index: abs(index - middle))} | {middle}
    with open_frames(shard) as frames:
        return [
            Picture(
                image_HW3=frame.image_HW3,
                truth=true.get(frame.frame_index, ()),
                machine=machine.get(frame.frame_index, ()),
                caption=f"frame {frame.frame_index}",
                by_hand=frame.frame_index in by_hand,
            )
            for frame in frames.read(chosen)
        ]


def _scene(shard: Shard, truth: Sequence[FrameLabels], said: Sequence[FrameLabels], by_hand: set[int]) -> list[Picture]:
    """One picture of the whole scene: for the small scenes of the demonstration only."""
    assert shard.scene is not None
    whole_HW3 = np.zeros((shard.scene.height, shard.scene.width, 3), dtype=np.uint8)
    with open_frames(shard) as frames:
        for frame in frames.read():
            window = shard.scene.window(frame.frame_index)
            whole_HW3[window.row : window.row + window.height, window.column : window.column + window.width] = frame.image_HW3
    (true,), (machine,) = merge_tiles(shard, truth), merge_tiles(shard, said)
    caption = f"the whole scene; {len(by_hand)} of its {shard.num_frames} tiles were labelled by hand"
    return [Picture(image_HW3=whole_HW3, truth=true.annotations, machine=machine.annotations, caption=caption)]
