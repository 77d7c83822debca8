"""What the report shows of each shard: frames spread over a video, or a scene put together again from its tiles."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.report_drawing import MAX_SIDE, Picture, resized
from training.data.annotations import FrameLabels
from training.data.coco import read_coco
from training.data.folder import labelled_folder
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.data.sources import open_frames
from training.errors import BadInput, MicroModelError, UnknownModel, named
from training.learning.merge import merge_tiles
from training.store.store import Store

__all__ = ["pictures_of"]

_log = logging.getLogger(__name__)

_NUM_FRAMES = 8


def pictures_of(
    store: Store, result: Mapping[str, Any], world: Path, *, say: Callable[[str], None] = _log.warning
) -> dict[tuple[str, str], list[Picture]]:
    """Pictures of every (shard, task) in `result`, whose sources and true labels lie in `world`.

    say: told, a line each, of which there are none and why: frames or labels that cannot be read any more, or no live
        micro-model.
    Raises:
        BadInput: `world` as a whole cannot be read any more.
    """
    labels = {source.shard_id: source.labels for source in labelled_folder(world)}
    pictures: dict[tuple[str, str], list[Picture]] = {}
    for entry in result["shards"]:
        shard_id, task = entry["shard_id"], entry["task"]
        try:
            pictures[shard_id, task] = _pictures(store, entry, labels.get(shard_id))
        except MicroModelError as error:
            say(f"{shard_id} {task}: no pictures, {named(error)}")
    return pictures


def _pictures(store: Store, entry: Mapping[str, Any], truth_file: Path | None) -> list[Picture]:
    shard = store.shard(entry["shard_id"])
    ontology, truth = _truth(shard, entry["task"], truth_file)
    said, _ = store.predictions.read(shard.shard_id, ontology.name, _answering(store, entry, ontology))
    by_hand = {frame.frame_index for frame in store.labels(shard.shard_id, ontology.name)}
    show = _frames if shard.scene is None else _scene
    return [replace(picture, ontology=ontology) for picture in show(shard, truth, said, by_hand)]


def _truth(shard: Shard, task: str, file: Path | None) -> tuple[Ontology, Sequence[FrameLabels]]:
    found = {} if file is None else dict(read_coco(file, shard).labels.items())
    if task not in found:
        raise BadInput(f"{file or shard.uri}: no {task} labels any more, needed those it was judged by")
    return found[task]


def _answering(store: Store, entry: Mapping[str, Any], ontology: Ontology) -> int:
    """The newest generation that went live; where the gate refused them all, the older one that they were judged in place of."""
    live = [one["generation"] for one in entry["generations"] if one["live"]]
    answering = live[-1] if live else store.registry.live(entry["shard_id"], ontology.name)
    if answering is None:
        raise UnknownModel(f"{entry['shard_id']} {ontology.name}: no live generation, needed one to show what it says")
    return answering


def _frames(shard: Shard, truth: Sequence[FrameLabels], said: Sequence[FrameLabels], by_hand: set[int]) -> list[Picture]:
    true, machine = ({frame.frame_index: frame.annotations for frame in labels} for labels in (truth, said))
    spread = np.linspace(0, shard.num_frames - 1, _NUM_FRAMES).round().astype(int).tolist()
    chosen = set(spread)
    if by_hand:
        middle = sorted(by_hand)[len(by_hand) // 2]
        chosen = chosen - {min(spread, key=lambda index: abs(index - middle))} | {middle}
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
    """One picture of the whole scene."""
    assert shard.scene is not None
    width, height = shard.scene.width, shard.scene.height
    small_HW3 = _mosaic(shard)
    shrunk = "" if small_HW3.shape[:2] == (height, width) else f", {width}x{height} pixels made smaller"
    (true,), (machine,) = merge_tiles(shard, truth), merge_tiles(shard, said)
    return [
        Picture(
            image_HW3=small_HW3,
            truth=true.annotations,
            machine=machine.annotations,
            caption=f"the whole scene{shrunk}; {len(by_hand)} of its {shard.num_frames} tiles were labelled by hand",
            frame_wh=(width, height),
        )
    ]


def _mosaic(shard: Shard) -> NDArray[np.uint8]:
    """The scene from its tiles, (H, W, 3) with at most MAX_SIDE pixels a side; each tile is made smaller as it is read."""
    grid = shard.scene
    assert grid is not None
    longer = max(grid.width, grid.height, MAX_SIDE)

    def start(position: int) -> int:
        return position * MAX_SIDE // longer

    def stop(position: int) -> int:
        return -(-position * MAX_SIDE // longer)

    small_HW3 = np.zeros((stop(grid.height), stop(grid.width), 3), dtype=np.uint8)
    with open_frames(shard) as frames:
        for frame in frames.read():
            window = grid.window(frame.frame_index)
            x1, x2 = start(window.column), stop(window.column + window.width)
            y1, y2 = start(window.row), stop(window.row + window.height)
            small_HW3[y1:y2, x1:x2] = resized(frame.image_HW3, x2 - x1, y2 - y1)
    return small_HW3
