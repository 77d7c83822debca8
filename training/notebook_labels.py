"""Frames and annotations as a notebook holds them, checked and paired for fitting."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.annotations import Annotation, FrameLabels
from training.data.frames import Frame
from training.data.ontology import Ontology, TaskName
from training.data.pictures import decode_picture
from training.data.rle import decode
from training.errors import BadAnnotation, BadInput, NothingToLearn, UnknownClass, WrongShape
from training.learning.labelled import LabelledFrames

__all__ = ["Picture", "Said", "frame_of", "labelled_frames"]

Picture = Frame | NDArray[np.uint8] | str | Path
Said = FrameLabels | Sequence[Annotation]
_STICKS_OUT_PX = 1.0


def labelled_frames(
    frames: Sequence[Picture],
    annotations: Sequence[Said],
    *,
    name: str,
    task: TaskName | None = None,
    classes: Sequence[str] | None = None,
    keypoints: Sequence[str] | None = None,
    skeleton: Sequence[tuple[int, int]] = (),
) -> LabelledFrames:
    """What `training.fit` was given as one shard `name`; arguments and errors are described there."""
    pairs = _pairs(frames, annotations, name)
    every = [annotation for _, labels in pairs for annotation in labels.annotations]
    if not every:
        raise NothingToLearn(f"{name}: {len(pairs)} labelled frames without any annotation, needed one")
    ontology = _ontology(every, task, classes, keypoints, skeleton)
    _check(pairs, ontology)
    return LabelledFrames(
        shard_id=name,
        ontology=ontology,
        frames=tuple(frame for frame, _ in pairs),
        labels=tuple(labels for _, labels in pairs),
    )


def _pairs(frames: Sequence[Picture], annotations: Sequence[Said], name: str) -> list[tuple[Frame, FrameLabels]]:
    """Frames and labels numbered alike."""
    if len(frames) != len(annotations):
        raise WrongShape(f"{len(frames)} frames with annotations of {len(annotations)}, needed one entry each")
    pairs = []
    for index, (given, said) in enumerate(zip(frames, annotations, strict=True)):
        if isinstance(given, Frame) and isinstance(said, FrameLabels):
            ours, theirs = (given.shard_id, given.frame_index), (said.shard_id, said.frame_index)
            if ours != theirs:
                raise WrongShape(f"position {index}: {ours[0]} frame {ours[1]} with labels of {theirs[0]} frame {theirs[1]}")
        found = said.annotations if isinstance(said, FrameLabels) else tuple(said)
        pairs.append((frame_of(given, index, name), FrameLabels(shard_id=name, frame_index=index, annotations=found)))
    sizes = {(frame.width, frame.height): frame.frame_index for frame, _ in pairs if frame.window is None}
    if len(sizes) > 1:
        (one, a), (other, b) = list(sizes.items())[:2]
        raise BadInput(f"frame {a} is {one[0]}x{one[1]} and frame {b} is {other[0]}x{other[1]}, needed frames of one size")
    return pairs


def frame_of(given: Picture, index: int, name: str) -> Frame:
    """The picture as frame `index` of shard `name`.

    Raises:
        WrongShape: an array that is not uint8 (H, W, 3), or something else altogether.
        BadPicture, BadInput: a path that cannot be read.
    """
    if isinstance(given, Frame):
        return Frame(shard_id=name, frame_index=index, image_HW3=given.image_HW3, window=given.window)
    if isinstance(given, str | os.PathLike):
        try:
            return Frame(shard_id=name, frame_index=index, image_HW3=decode_picture(Path(given).read_bytes(), name=str(given)))
        except OSError as error:
            raise BadInput(f"{given}: {error.strerror}, needed a picture") from error
    if not isinstance(given, np.ndarray):
        raise WrongShape(f"frame {index} is a {type(given).__name__}, needed a uint8 array (H, W, 3), a Frame or a path")
    return Frame(shard_id=name, frame_index=index, image_HW3=given)


def _ontology(
    every: Sequence[Annotation],
    task: TaskName | None,
    classes: Sequence[str] | None,
    keypoints: Sequence[str] | None,
    skeleton: Sequence[tuple[int, int]],
) -> Ontology:
    task = task or _task(every)
    names = tuple(classes) if classes is not None else tuple(sorted({annotation.class_name for annotation in every}))
    points: tuple[str, ...] = ()
    if task == "keypoints":
        most = max(len(annotation.keypoints_xyv or ()) // 3 for annotation in every)
        points = tuple(keypoints) if keypoints is not None else tuple(f"p{number}" for number in range(1, most + 1))
    return Ontology(name=task, task=task, classes=names, keypoints=points, skeleton=tuple(skeleton) if points else ())


def _task(every: Sequence[Annotation]) -> TaskName:
    found = {_says(annotation) for annotation in every}
    if len(found) > 1:
        raise BadInput(f"annotations of {' and of '.join(sorted(found))}, needed those of one task")
    return found.pop()


def _says(annotation: Annotation) -> TaskName:
    """The most that an annotation says: keypoints and masks come with boxes."""
    if annotation.level == "image":
        return "classification"
    if annotation.keypoints_xyv is not None and annotation.rle_counts is not None:
        raise BadInput(f"{annotation.class_name}: a mask and keypoints, needed `task` to say which of them to learn")
    if annotation.keypoints_xyv is not None:
        return "keypoints"
    return "segmentation" if annotation.rle_counts is not None else "detection"


def _check(pairs: Sequence[tuple[Frame, FrameLabels]], ontology: Ontology) -> None:
    """Every annotation has what the task learns from, inside its frame."""
    for frame, labels in pairs:
        for annotation in labels.annotations:
            problem = _problem(annotation, frame, ontology)
            if problem:
                raise BadAnnotation(f"frame {frame.frame_index}: {annotation.class_name}: {problem}")
            if annotation.class_name not in ontology.classes:
                raise UnknownClass(
                    f"frame {frame.frame_index}: {annotation.class_name!r}, needed one of {', '.join(ontology.classes)}"
                )


def _problem(annotation: Annotation, frame: Frame, ontology: Ontology) -> str | None:
    if (annotation.level == "image") != (ontology.task == "classification"):
        return f"level {annotation.level!r}, which {ontology.task} cannot learn from"
    if ontology.task == "classification":
        return None
    if ontology.task == "segmentation":
        if annotation.rle_counts is None:
            return "no mask, needed run lengths over the whole frame"
        return _mask_problem(annotation.rle_counts, frame)
    if annotation.bbox_xyxy is None:
        return "no box, needed one around the object"
    x1, y1, x2, y2 = annotation.bbox_xyxy
    beyond = max(-x1, -y1, x2 - frame.width, y2 - frame.height)
    if frame.window is None and beyond > _STICKS_OUT_PX:
        return f"box {annotation.bbox_xyxy} leaves the {frame.width}x{frame.height} frame; needed x1, y1, x2, y2 in its pixels"
    if ontology.task == "keypoints" and len(annotation.keypoints_xyv or ()) != 3 * len(ontology.keypoints):
        return f"{len(annotation.keypoints_xyv or ()) // 3} keypoints, needed {len(ontology.keypoints)}"
    return None


def _mask_problem(counts: str, frame: Frame) -> str | None:
    try:
        decode(counts, frame.height, frame.width)
    except BadAnnotation as error:
        return str(error)
    return None
