"""Examples of Label Studio's protocol in the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from services.examples import whole
from services.label_studio.schemas import Event, PredictIn, SetupIn

__all__ = ["EVENT_BODY", "PREDICTED", "PREDICT_BODY", "SETUP_BODY"]

_CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="boxes" toName="image">'
    '<Label value="person"/><Label value="parcel"/></RectangleLabels></View>'
)
_TASK = {"id": 7, "data": {"image": "/data/upload/1/door-12.jpg", "shard_id": "front_door", "frame_index": 12}}
_REGION: dict[str, Any] = {
    "id": "mm-5d41402a-2-0",
    "from_name": "boxes",
    "to_name": "image",
    "type": "rectanglelabels",
    "original_width": 640,
    "original_height": 480,
    "image_rotation": 0,
    "score": 0.97,
    "value": {"x": 48.8, "y": 24.6, "width": 14.0, "height": 56.3, "rotation": 0, "rectanglelabels": ["person"]},
}
_ANNOTATION = {
    "id": 3,
    "unique_id": "6c0fe2b8-4a0b-4c0e-9d3a-0f2f1c8a7b11",
    "task": 7,
    "result": [_REGION],
    "was_cancelled": False,
    "lead_time": 6.2,
    "updated_at": "2026-01-02T03:04:05Z",
    "completed_by": 1,
    "parent_prediction": 9,
}

PREDICTED: dict[str, Any] = {"results": [{"result": [_REGION], "score": 0.97, "model_version": "micro-models 2c26b46b68ffc68f"}]}


def _body(schema: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    return {
        "required": True,
        "description": "As Label Studio sends it, and more",
        "content": {"application/json": {"schema": whole(schema.model_json_schema()), "example": example}},
    }


SETUP_BODY = _body(SetupIn, {"project": "1.1767323045", "schema": _CONFIG})
PREDICT_BODY = _body(PredictIn, {"tasks": [_TASK], "label_config": _CONFIG, "params": {"context": None}})
EVENT_BODY = _body(
    Event,
    {"action": "ANNOTATION_CREATED", "annotation": _ANNOTATION, "task": _TASK, "project": {"id": 1, "label_config": _CONFIG}},
)
