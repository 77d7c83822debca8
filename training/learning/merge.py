"""Tiles back into their scene: labels in scene pixels, objects on a seam kept once."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from training.data import rle
from training.data.annotations import Annotation, FrameLabels
from training.data.shards import SceneGrid, Shard
from training.models.overlap import nms

__all__ = ["merge_tiles"]

SAME_OBJECT_IOU = 0.5


def merge_tiles(shard: Shard, labels: Sequence[FrameLabels]) -> list[FrameLabels]:
    """The labels of a scene's tiles as those of one frame 0, the whole scene; of any other shard, as they are.

    Machine boxes that two tiles both found are kept once, the better score wins; masks and what people said are never
    dropped. Classes of whole tiles stay with their tiles.
    """
    whole = [annotation.level == "image" for frame in labels for annotation in frame.annotations]
    if shard.scene is None or any(whole):
        return list(labels)
    moved = [_in_scene(shard.scene, frame.frame_index, annotation) for frame in labels for annotation in frame.annotations]
    found = [annotation for annotation in moved if annotation.provenance == "model" and annotation.rle_counts is None]
    kept = [annotation for annotation in moved if annotation.provenance != "model" or annotation.rle_counts is not None]
    return [FrameLabels(shard_id=shard.shard_id, frame_index=0, annotations=(*kept, *_without_doubles(found)))]


def _in_scene(grid: SceneGrid, frame_index: int, annotation: Annotation) -> Annotation:
    assert annotation.bbox_xyxy is not None
    window = grid.window(frame_index)
    x1, y1, x2, y2 = annotation.bbox_xyxy
    box = (x1 + window.column, y1 + window.row, x2 + window.column, y2 + window.row)
    counts = annotation.rle_counts
    shift = (window.column, window.row, 0)
    points = annotation.keypoints_xyv
    return replace(
        annotation,
        bbox_xyxy=box,
        rle_counts=None if counts is None else rle.paste(counts, window, grid.height, grid.width),
        keypoints_xyv=None if points is None else tuple(value + shift[i % 3] for i, value in enumerate(points)),
    )


def _without_doubles(found: Sequence[Annotation]) -> list[Annotation]:
    if not found:
        return []
    names = sorted({annotation.class_name for annotation in found})
    keep = nms(
        torch.tensor([annotation.bbox_xyxy for annotation in found]),
        torch.tensor([annotation.score or 0.0 for annotation in found]),
        torch.tensor([names.index(annotation.class_name) for annotation in found]),
        SAME_OBJECT_IOU,
    )
    return [found[index] for index in keep.tolist()]
