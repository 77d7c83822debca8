"""Pictures out of tensors and labels into tensors, for the Open Inference Protocol.

N pictures have K annotations together, P keypoints each: `picture` says which one each annotation belongs to.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from services.answering import Answer
from services.payload import decode_base64
from services.protocol_schemas import Datatype, TensorIn, TensorMetadata, TensorOut
from training.data.annotations import Annotation
from training.errors import BadRequest

__all__ = ["OUTPUTS", "encoded_pictures", "output_names", "output_tensors", "tensor_metadata"]

OUTPUTS: Final[Mapping[str, tuple[Datatype, tuple[int, ...]]]] = {
    "size_hw": ("INT32", (-1, 2)),
    "picture": ("INT32", (-1,)),
    "class_name": ("BYTES", (-1,)),
    "score": ("FP32", (-1,)),
    "bbox_xyxy": ("FP32", (-1, 4)),
    "mask_counts": ("BYTES", (-1,)),
    "keypoints_xyv": ("FP32", (-1, -1, 3)),
}
_MORE: Final[Mapping[str, tuple[str, ...]]] = {
    "classification": (),
    "detection": ("bbox_xyxy",),
    "segmentation": ("bbox_xyxy", "mask_counts"),
    "keypoints": ("bbox_xyxy", "keypoints_xyv"),
}


def output_names(task: str, wanted: Sequence[str] | None) -> Sequence[str]:
    """The tensors of an answer: those that are `wanted`, else all that the task has.

    Raises:
        BadRequest: a wanted tensor that the task does not have.
    """
    names = ("size_hw", "picture", "class_name", "score", *_MORE[task])
    strangers = sorted(set(wanted or ()) - set(names))
    if strangers:
        raise BadRequest(f"outputs: {strangers[0]!r:.100}, needed some of {', '.join(names)}")
    return names if wanted is None else wanted


def tensor_metadata(name: str) -> TensorMetadata:
    """Of an output."""
    datatype, shape = OUTPUTS[name]
    return TensorMetadata(name=name, datatype=datatype, shape=list(shape))


def encoded_pictures(tensor: TensorIn) -> list[bytes]:
    """The pictures as files: BYTES as they came, UINT8 as PPM.

    Raises:
        BadRequest: data that does not have the shape, or is not of the datatype: true is no number, and 1.0 no whole one.
    """
    if tensor.datatype == "BYTES":
        if tensor.shape != [len(tensor.data)]:
            raise BadRequest(f"images: shape {tensor.shape} for {len(tensor.data)} texts, needed [N]")
        return [_bytes(text, f"images.{position}") for position, text in enumerate(tensor.data)]
    if len(tensor.shape) != 4 or tensor.shape[3] != 3 or not math.prod(tensor.shape):
        raise BadRequest(f"images: UINT8 of shape {tensor.shape}, needed [N, height, width, 3]")
    return _ppm(tensor.data, tensor.shape)


def output_tensors(names: Sequence[str], answer: Answer, min_score: float) -> list[TensorOut]:
    """The tensors of an answer, without annotations that score lower."""
    kept = [
        (picture, one)
        for picture, labels in enumerate(answer.labels)
        for one in labels.annotations
        if one.score is None or one.score >= min_score
    ]
    return [_tensor(name, kept, answer) for name in names]


def _tensor(name: str, kept: Sequence[tuple[int, Annotation]], answer: Answer) -> TensorOut:
    rows: dict[str, Sequence[Sequence[Any]]] = {
        "size_hw": [(height, width) for width, height in answer.sizes_wh],
        "picture": [(picture,) for picture, _ in kept],
        "class_name": [(one.class_name,) for _, one in kept],
        "score": [(1.0 if one.score is None else one.score,) for _, one in kept],
        "bbox_xyxy": [one.bbox_xyxy or () for _, one in kept],
        "mask_counts": [(one.rle_counts or "",) for _, one in kept],
        "keypoints_xyv": [one.keypoints_xyv or () for _, one in kept],
    }
    datatype, (_, *rest) = OUTPUTS[name]
    inner = [len(answer.keypoint_names), 3] if name == "keypoints_xyv" else rest
    flat = [value for row in rows[name] for value in row]
    return TensorOut(name=name, datatype=datatype, shape=[len(rows[name]), *inner], data=flat)


def _bytes(text: object, name: str) -> bytes:
    if not isinstance(text, str):
        raise BadRequest(f"{name}: {type(text).__name__}, needed base64")
    return decode_base64(text, name)


def _ppm(data: list[Any], shape_NHWC: Sequence[int]) -> list[bytes]:
    pixels = _pixels(_flat(data, shape_NHWC))
    _, height, width, channels = shape_NHWC
    header, size = f"P6 {width} {height} 255\n".encode(), height * width * channels
    return [header + pixels[start : start + size] for start in range(0, len(pixels), size)]


def _flat(data: list[Any], shape: Sequence[int]) -> list[Any]:
    """The values in row-major order, of data that is flat or nested just as the shape says; what they are is not looked at."""
    if not (data and isinstance(data[0], list)):
        if len(data) != math.prod(shape):
            raise BadRequest(f"images: {len(data)} values in one list, needed as many as shape {list(shape)!r:.200} has")
        return data
    rows = [data]
    for depth, length in enumerate(shape):
        for row in rows:
            if not isinstance(row, list) or len(row) != length:
                found = f"a list of {len(row)}" if isinstance(row, list) else type(row).__name__
                raise BadRequest(
                    f"images: {found} at depth {depth}, needed lists of shape {list(shape)!r:.200}, or one flat list"
                )
        rows = [one for row in rows for one in row]
    return rows


def _pixels(values: list[Any]) -> bytes:
    """Only where something is wrong it is looked for: there are millions of them."""
    if set(map(type, values)) <= {int}:
        with suppress(ValueError):
            return bytes(values)
    place, value = next((place, one) for place, one in enumerate(values) if type(one) is not int or not 0 <= one <= 255)
    if type(value) is not int:
        raise BadRequest(f"images: value {place} is of type {type(value).__name__}, needed a whole number from 0 to 255")
    raise BadRequest(f"images: value {place} is {'below 0' if value < 0 else 'above 255'}, needed 0 to 255")
