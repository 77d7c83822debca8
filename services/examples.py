"""Examples and response tables of the OpenAPI document."""

from http import HTTPStatus
from typing import Any

from services.schemas import Problem

__all__ = ["PREDICTIONS", "PREDICT_BODY", "problems"]

_BINARY = {"type": "string", "format": "binary"}

PREDICT_BODY: dict[str, Any] = {
    "required": True,
    "description": "One picture as it is, any number of multipart files, or JSON with base64",
    "content": {
        "image/*": {"schema": _BINARY},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"images": {"type": "array", "items": _BINARY}}},
            "encoding": {"images": {"contentType": "image/*"}},
        },
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "additionalProperties": False,
                "properties": {"images": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "byte"}}},
            },
            "example": {"images": ["/9j/4AAQSkZJRgABAQ…"]},
        },
    },
}

_TIMINGS = {"prepare_s": 0.006, "wait_s": 0.005, "model_s": 0.031, "total_s": 0.046, "batch_images": 3}


def _prediction(task: str, classes: str, shard_id: str, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "model": {"shard_id": shard_id, "ontology": f"{task}.{classes}", "task": task, "generation": 2},
        "images": [{"width": 640, "height": 480, "annotations": annotations}],
        "timings": _TIMINGS,
    }


PREDICTIONS: dict[str, dict[str, Any]] = {
    "classification": {
        "summary": "Classes of the whole picture",
        "value": _prediction(
            "classification", "day-night", "car_park", [{"class_name": "night", "level": "image", "score": 0.98}]
        ),
    },
    "detection": {
        "summary": "Boxes",
        "value": _prediction(
            "detection",
            "person-parcel",
            "front_door",
            [{"class_name": "person", "level": "object", "score": 0.97, "bbox_xyxy": [312.4, 118.0, 401.9, 388.2]}],
        ),
    },
    "segmentation": {
        "summary": "Masks, one for each class that is there",
        "value": _prediction(
            "segmentation",
            "pole-road",
            "crossing",
            [
                {
                    "class_name": "pole",
                    "level": "object",
                    "score": 0.99,
                    "bbox_xyxy": [318.0, 460.0, 322.0, 480.0],
                    "mask": {"size": [480, 640], "counts": r"\`e4d0\>00000dcd4"},
                }
            ],
        ),
    },
    "keypoints": {
        "summary": "Objects with named points",
        "value": _prediction(
            "keypoints",
            "mouse",
            "open_field",
            [
                {
                    "class_name": "mouse",
                    "level": "object",
                    "score": 0.95,
                    "bbox_xyxy": [204.1, 140.7, 291.5, 222.3],
                    "keypoints": [
                        {"name": "snout", "x": 210.2, "y": 148.9, "visibility": 2},
                        {"name": "tail", "x": 283.0, "y": 214.6, "visibility": 1},
                    ],
                }
            ],
        ),
    },
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` entries of problem documents with these statuses."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
