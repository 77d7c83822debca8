"""Examples of assembly lines in the OpenAPI document."""

from typing import Any

from services.examples import whole
from services.line_schemas import LineIn

__all__ = ["LINE", "LINE_BODY", "LINE_PREDICTION"]

_ALL: dict[str, Any] = {"input": "picture", "classes": [], "min_score": 0.0, "padding": 0.0, "crop_size": "frame"}

LINE: dict[str, Any] = {
    "name": "parcels",
    "version": 2,
    "saved_at": "2026-01-02T03:04:05+00:00",
    "stages": [
        {**_ALL, "name": "find", "model": "front_door@live", "ontology": "detection.person-parcel", "min_score": 0.4},
        {
            **_ALL,
            "name": "kind",
            "model": "parcel_crops@3",
            "ontology": "classification.box-envelope",
            "input": "find",
            "classes": ["parcel"],
            "padding": 0.1,
        },
    ],
}

LINE_BODY: dict[str, Any] = {
    "required": True,
    "description": "The stages of a line",
    "content": {"application/json": {"schema": whole(LineIn.model_json_schema()), "example": {"stages": LINE["stages"]}}},
}

_BOX = [200.0, 340.0, 260.0, 390.0]

LINE_PREDICTION: dict[str, Any] = {
    "line": {
        "name": "parcels",
        "version": 2,
        "stages": [
            {
                "name": "find",
                "input": "picture",
                "model": {"shard_id": "front_door", "ontology": "detection.person-parcel", "task": "detection", "generation": 7},
            },
            {
                "name": "kind",
                "input": "find",
                "model": {
                    "shard_id": "parcel_crops",
                    "ontology": "classification.box-envelope",
                    "task": "classification",
                    "generation": 3,
                },
            },
        ],
    },
    "images": [
        {
            "width": 640,
            "height": 480,
            "annotations": [
                {
                    "class_name": "parcel",
                    "level": "object",
                    "score": 0.93,
                    "bbox_xyxy": _BOX,
                    "stage": "find",
                    "model": "front_door@7",
                    "children": [
                        {
                            "class_name": "envelope",
                            "level": "object",
                            "score": 0.88,
                            "bbox_xyxy": _BOX,
                            "stage": "kind",
                            "model": "parcel_crops@3",
                            "children": [],
                        }
                    ],
                }
            ],
        }
    ],
    "timings": {"prepare_s": 0.006, "crop_s": 0.002, "model_s": 0.044, "total_s": 0.055, "crops": 1},
}
