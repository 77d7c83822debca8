"""Tiles back into their scene: labels in scene pixels, objects on a seam kept once."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torchvision.ops import batched_nms

from training.data.annotations import Annotation, FrameLabels
from training.data.shards import SceneGrid, Shard

__all__ = ["merge_tiles"]

SAME_OBJECT_IOU = 0.5


def merge_tiles(shard: Shard, labels: Sequence[FrameLabels]) -> list[FrameLabels]:
    """The labels of a scene's tiles as those of one frame 0, the whole scene; of any other shard, as they are.

    Machine labels that two tiles both found are kept once, the better score wins; what people said is never merged.
    """
    if shard.scene is None:
        return list(labels)
    moved = [_in_scene(shard.scene, frame.frame_index, annotation) for frame in labels for annotation in frame.annotations]
    said = [annotation for annotation in moved if annotation.provenance != "model"]
    found = [annotation for annotation in moved if annotation.provenance == "model"]
    return [FrameLabels(shard_id=shard.shard_id, frame_index=0, annotations=(*said, *_without_doubles(found)))]


def _in_scene(grid: SceneGrid, frame_index: int, annotation: Annotation) -> Annotation:
    assert annotation.bbox_xyxy is not None
    window = grid.window(frame_index)
    x1, y1, x2, y2 = annotation.bbox_xyxy
    box = (x1 + window.column, y1 + window.row, x2 + window.column, y2 + window.row)
    return replace(annotation, bbox_xyxy=box)


def _without_doubles(found: Sequence[Annotation]) -> list[Annotation]:
    if not found:
        return []
    names = sorted({annotation.class_name for annotation in found})
    keep = batched_nms(
        torch.tensor([annotation.bbox_xyxy for annotation in found]),
        torch.tensor([annotation.score or 0.0 for annotation in found]),
        torch.tensor([names.index(annotation.class_name) for annotation in found]),
        SAME_OBJECT_IOU,
    )
    return [found[index] for index in keep.tolist()]
