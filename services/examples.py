"""Examples and response tables of the OpenAPI document."""

from http import HTTPStatus
from typing import Any

from services.schemas import Problem

__all__ = ["PREDICTION", "PREDICT_BODY", "problems"]

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

PREDICTION: dict[str, Any] = {
    "model": {"shard_id": "front_door", "ontology": "detection.person-parcel", "task": "detection", "generation": 2},
    "images": [
        {
            "width": 854,
            "height": 480,
            "annotations": [
                {"class_name": "person", "level": "object", "score": 0.97, "bbox_xyxy": [312.4, 118.0, 401.9, 388.2]},
            ],
        }
    ],
    "timings": {"prepare_s": 0.006, "wait_s": 0.005, "model_s": 0.031, "total_s": 0.046, "batch_images": 3},
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` entries of problem documents with these statuses."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
