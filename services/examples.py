"""Examples and response tables of the OpenAPI document."""

from http import HTTPStatus
from typing import Any

from services.protocol_schemas import InferIn
from services.schemas import Problem
from services.work_schemas import AnswersIn

__all__ = [
    "ANSWERS",
    "ANSWERS_BODY",
    "INFERRED",
    "INFER_BODY",
    "KEPT",
    "PREDICTIONS",
    "PREDICT_BODY",
    "QUEUE",
    "STREAMED",
    "STREAM_BODY",
    "problems",
    "whole",
]

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


def whole(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its parts in their places: an OpenAPI document has no `$defs` of its own."""
    parts = schema.pop("$defs", {})

    def placed(node: Any) -> Any:
        if isinstance(node, list):
            return [placed(one) for one in node]
        if not isinstance(node, dict):
            return node
        known = parts[node["$ref"].rpartition("/")[2]] if "$ref" in node else {}
        return {key: placed(value) for key, value in {**known, **node}.items() if key != "$ref"}

    return dict(placed(schema))


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


STREAM_BODY: dict[str, Any] = {
    "required": True,
    "description": "A JSON object with a picture in base64 on each line",
    "content": {
        "application/x-ndjson": {"schema": {"type": "string"}, "example": '{"id": "a", "image": "/9j/4AAQSkZJRgABAQ…"}\n'}
    },
}

STREAMED = (
    '{"position":0,"id":"a","model":{"shard_id":"front_door","ontology":"detection.person-parcel","task":"detection",'
    '"generation":2},"image":{"width":640,"height":480,"annotations":[]}}\n'
)

INFER: dict[str, Any] = {
    "id": "42",
    "parameters": {"min_score": 0.5},
    "inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": ["/9j/4AAQSkZJRgABAQ…"]}],
}

INFER_BODY: dict[str, Any] = {
    "required": True,
    "description": "One tensor of pictures",
    "content": {"application/json": {"schema": whole(InferIn.model_json_schema()), "example": INFER}},
}

INFERRED: dict[str, Any] = {
    "model_name": "front_door",
    "model_version": "2",
    "id": "42",
    "outputs": [
        {"name": "size_hw", "datatype": "INT32", "shape": [1, 2], "data": [480, 640]},
        {"name": "picture", "datatype": "INT32", "shape": [1], "data": [0]},
        {"name": "class_name", "datatype": "BYTES", "shape": [1], "data": ["person"]},
        {"name": "score", "datatype": "FP32", "shape": [1], "data": [0.97]},
        {"name": "bbox_xyxy", "datatype": "FP32", "shape": [1, 4], "data": [312.4, 118.0, 401.9, 388.2]},
    ],
}


_PROPOSAL = {"class_name": "person", "level": "object", "score": 0.61, "bbox_xyxy": [312.4, 118.0, 401.9, 388.2]}

QUEUE: dict[str, Any] = {
    "queue": 3,
    "made_at": "2026-01-02T03:00:00+00:00",
    "frames": [
        {
            "shard_id": "front_door",
            "ontology": "detection.person-parcel",
            "frame_index": 57,
            "kind": "review",
            "generation": 2,
            "why": "objects jump or blink",
            "expected_seconds": 8.7,
            "width": 640,
            "height": 480,
            "picture": "/v1/shards/front_door/frames/57.jpg",
            "proposals": [{**_PROPOSAL, "annotation_id": "0"}],
        }
    ],
}

ANSWERS: dict[str, Any] = {
    "answers": [
        {
            "answer_id": "ann-57",
            "shard_id": "front_door",
            "ontology": "detection.person-parcel",
            "frame_index": 57,
            "kind": "review",
            "generation": 2,
            "who": "ann",
            "when": "2026-01-02T03:04:05+00:00",
            "seconds": 6.5,
            "annotations": [
                {"annotation_id": "0", "class_name": "person", "bbox_xyxy": [318.0, 118.0, 402.0, 390.0]},
                {"class_name": "parcel", "bbox_xyxy": [200.0, 340.0, 260.0, 390.0]},
            ],
        }
    ]
}

ANSWERS_BODY: dict[str, Any] = {
    "required": True,
    "description": "Whole frames as people left them",
    "content": {"application/json": {"schema": whole(AnswersIn.model_json_schema()), "example": ANSWERS}},
}

KEPT: dict[str, Any] = {
    "recorded": 1,
    "known": 0,
    "answers": [
        {
            "answer_id": "ann-57",
            "shard_id": "front_door",
            "ontology": "detection.person-parcel",
            "frame_index": 57,
            "recorded": True,
            "actions": {"draw": 1, "delete": 0, "adjust": 1, "confirm": 0},
        }
    ],
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` entries of problem documents with these statuses."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
