"""Examples of the OpenAPI document for pictures whose micro-model is found, and for rules."""

from typing import Any

from services.examples import PREDICT_BODY, whole
from services.rules_schemas import RoutesIn

__all__ = ["ROUTED", "ROUTED_BODY", "ROUTES", "ROUTES_BODY"]

_METADATA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "video": {"type": "string"},
        "sensor": {"type": "string"},
        "lon": {"type": "number", "minimum": -180, "maximum": 180},
        "lat": {"type": "number", "minimum": -90, "maximum": 90},
        "time": {"type": "string", "format": "date-time"},
    },
}
_JSON = PREDICT_BODY["content"]["application/json"]

ROUTED_BODY: dict[str, Any] = {
    **PREDICT_BODY,
    "content": {
        **PREDICT_BODY["content"],
        "application/json": {
            "schema": {
                **_JSON["schema"],
                "properties": {
                    **_JSON["schema"]["properties"],
                    "metadata": {"oneOf": [_METADATA, {"type": "array", "items": _METADATA}]},
                },
            },
            "example": {
                "images": ["/9j/4AAQSkZJRgABAQ…"],
                "metadata": {"sensor": "door-7", "time": "2026-01-02T03:04:05Z"},
            },
        },
    },
}

_TIMINGS = {"look_s": 0.024, "prepare_s": 0.006, "wait_s": 0.005, "model_s": 0.031, "total_s": 0.071, "batch_images": 1}
_MODEL = {"shard_id": "front_door", "ontology": "detection.person-parcel", "task": "detection", "generation": 2}
_PERSON = {"class_name": "person", "level": "object", "score": 0.97, "bbox_xyxy": [312.4, 118.0, 401.9, 388.2]}
_DOMAINS = {"eye": "mobilenet_v2-0f1e2d3c4b5a6978", "shards": 214, "undescribed": 0}
_FOUND = {
    "by": "domain",
    "distance": 0.41,
    "margin": 1.64,
    "next": {"shard_id": "back_door", "distance": 2.05},
}
_NEAR = [{"shard_id": "front_door", "distance": 2.3}, {"shard_id": "car_park", "distance": 2.9}]

ROUTED: dict[str, dict[str, Any]] = {
    "found": {
        "summary": "By its looks",
        "value": {
            "images": [{"width": 640, "height": 480, "model": _MODEL, "route": _FOUND, "annotations": [_PERSON]}],
            "domains": _DOMAINS,
            "timings": _TIMINGS,
        },
    },
    "ruled": {
        "summary": "By a rule",
        "value": {
            "images": [
                {
                    "width": 640,
                    "height": 480,
                    "model": _MODEL,
                    "route": {"by": "rule", "rule": "door at night"},
                    "annotations": [_PERSON],
                }
            ],
            "timings": {**_TIMINGS, "look_s": 0.0},
        },
    },
    "abstained": {
        "summary": "In no domain",
        "value": {
            "images": [{"width": 640, "height": 480, "abstention": {"reason": "outside", "nearest": _NEAR}}],
            "domains": _DOMAINS,
            "timings": {**_TIMINGS, "prepare_s": 0.0, "wait_s": 0.0, "model_s": 0.0, "batch_images": 0},
        },
    },
}

_RULES: list[dict[str, Any]] = [
    {
        "name": "door at night",
        "shard_id": "front_door@3",
        "sensor": "door-*",
        "daily": ["20:00/06:00"],
        "zone": "Europe/Berlin",
    },
    {
        "name": "harbour in spring",
        "shard_id": "harbour",
        "ontology": "detection.boat",
        "near": {"lon": 9.97, "lat": 53.54, "metres": 2000.0},
        "times": ["2026-03-01T00:00:00+01:00/2026-06-01T00:00:00+02:00"],
    },
]
ROUTES: dict[str, Any] = {"number": 4, "saved_at": "2026-01-02T03:04:05+00:00", "rules": _RULES}
ROUTES_BODY: dict[str, Any] = {
    "required": True,
    "description": "All rules, in the order they are tried",
    "content": {"application/json": {"schema": whole(RoutesIn.model_json_schema()), "example": {"rules": _RULES, "replaces": 3}}},
}
