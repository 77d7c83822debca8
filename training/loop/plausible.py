"""Whether what a person drew can be true of its frame: the numbers checked, and what the task needs put in."""

from dataclasses import replace

from training.data.annotations import Annotation
from training.data.keypoint_box import box_around
from training.data.ontology import Ontology
from training.data.rle import mask_box, rle_to_string
from training.data.shards import Shard
from training.errors import BadAnnotation, UnknownClass
from training.loop.review import Vocabulary

__all__ = ["plausible"]

STICKS_OUT_PX = 1.0
Bounds = tuple[float, float, float, float]


def plausible(about: Vocabulary, frame_index: int, drawn: Annotation) -> Annotation:
    """`drawn` as it can be kept; where it sticks out of its picture by up to a pixel it is cut at the edge.

    A mask gets the box that it fills, keypoints without a box the one around them.

    Raises:
        UnknownClass: not of the ontology.
        BadAnnotation: not of the task, with a mask or keypoints of another task, further out of the picture, centred in another
            tile, or an impossible mask or point.
    """
    ontology = about.ontology
    if drawn.class_name not in ontology.classes:
        raise UnknownClass(f"class {drawn.class_name!r}, needed one of {', '.join(ontology.classes)}")
    _check_task(ontology, drawn)
    if ontology.task == "classification":
        return Annotation(class_name=drawn.class_name, level="image", ambiguous=drawn.ambiguous)
    if ontology.task == "segmentation":
        drawn = _masked(about.shard, frame_index, drawn)
    if ontology.task == "keypoints":
        drawn = _pointed(about, frame_index, drawn)
    if drawn.bbox_xyxy is None:
        raise BadAnnotation(f"{drawn.class_name}: no box, needed bbox_xyxy")
    inside = _cut(drawn.bbox_xyxy, _bounds(about.shard, frame_index), drawn.class_name)
    if about.shard.scene is not None and ontology.task != "segmentation":
        _check_home(about.shard, frame_index, inside)
    return replace(drawn, level="object", bbox_xyxy=inside)


def _check_task(ontology: Ontology, drawn: Annotation) -> None:
    for task, what, found in (("segmentation", "a mask", drawn.rle_counts), ("keypoints", "keypoints", drawn.keypoints_xyv)):
        if found is not None and ontology.task != task:
            raise BadAnnotation(f"{drawn.class_name}: {what}, needed none for {ontology.task}, the task of {ontology.name}")


def _masked(shard: Shard, frame_index: int, drawn: Annotation) -> Annotation:
    if drawn.rle_counts is None:
        raise BadAnnotation(f"{drawn.class_name}: no mask, needed one")
    height, width = shard.size_hw(frame_index)
    counts = rle_to_string({"size": [height, width], "counts": drawn.rle_counts}, height, width)
    box = mask_box(counts, height, width)
    if box is None:
        raise BadAnnotation(f"{drawn.class_name}: a mask without area, needed at least one pixel")
    return replace(drawn, rle_counts=counts, bbox_xyxy=box)


def _pointed(about: Vocabulary, frame_index: int, drawn: Annotation) -> Annotation:
    flat, names = drawn.keypoints_xyv or (), about.ontology.keypoints
    if len(flat) != 3 * len(names):
        raise BadAnnotation(f"{drawn.class_name}: {len(flat) // 3} keypoints, needed {', '.join(names)}")
    x1, y1, x2, y2 = _bounds(about.shard, frame_index)
    for name, x, y, v in zip(names, flat[0::3], flat[1::3], flat[2::3], strict=True):
        if v not in (0, 1, 2):
            raise BadAnnotation(f"{drawn.class_name}: visibility {v:g} of {name}, needed 0, 1 or 2")
        if v and max(x1 - x, y1 - y, x - x2, y - y2) > STICKS_OUT_PX:
            raise BadAnnotation(f"{drawn.class_name}: {name} at ({x:g}, {y:g}), needed a place within {(x1, y1, x2, y2)}")
    if drawn.bbox_xyxy is not None:
        return drawn
    height, width = about.shard.size_hw(frame_index)
    return replace(drawn, bbox_xyxy=box_around(flat, (width, height), (about.shard.width, about.shard.height)))


def _cut(box: Bounds, bounds: Bounds, name: str) -> Bounds:
    x1, y1, x2, y2 = bounds
    if max(x1 - box[0], y1 - box[1], box[2] - x2, box[3] - y2) > STICKS_OUT_PX:
        raise BadAnnotation(f"{name}: box {box} leaves its picture, needed at most 1 pixel beyond {bounds}")
    inside = max(x1, box[0]), max(y1, box[1]), min(x2, box[2]), min(y2, box[3])
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        raise BadAnnotation(f"{name}: box {box} has no area within {bounds}")
    return inside


def _check_home(shard: Shard, frame_index: int, box: Bounds) -> None:
    height, width = shard.size_hw(frame_index)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    if not (0 <= x < width and 0 <= y < height):
        raise BadAnnotation(f"box {box} has its centre outside its {width}x{height} tile, needed it on the tile that has it")


def _bounds(shard: Shard, frame_index: int) -> Bounds:
    """Where there is anything, in pixels of the frame: an object of a tile may stick out into the scene around it."""
    if shard.scene is None:
        return 0.0, 0.0, float(shard.width), float(shard.height)
    window = shard.scene.window(frame_index)
    return (
        float(-window.column),
        float(-window.row),
        float(shard.scene.width - window.column),
        float(shard.scene.height - window.row),
    )
