"""Examples of jobs in the OpenAPI document."""

from typing import Any

from services.examples import whole
from services.job_schemas import JobIn

__all__ = ["JOB", "JOB_BODY", "RESULTS"]

_GIVEN: dict[str, Any] = {"job_id": "nightly-2026-01-02", "verb": "label", "shard_ids": ["front_door"]}

JOB_BODY: dict[str, Any] = {
    "required": True,
    "description": "A verb and shards of the store",
    "content": {"application/json": {"schema": whole(JobIn.model_json_schema()), "example": _GIVEN}},
}

JOB: dict[str, Any] = {
    "job_id": "nightly-2026-01-02",
    "verb": "label",
    "state": "running",
    "submitted_at": "2026-01-02T03:00:00+00:00",
    "submitted_by": "robot",
    "started_at": "2026-01-02T03:00:04+00:00",
    "progress": {"unit": "frames", "done": 1280, "total": 5400},
    "shards": [{"shard_id": "front_door", "ontology": "detection.person-parcel", "generation": 2, "done": 1280, "total": 5400}],
    "failures": [],
}

RESULTS: dict[str, Any] = {
    "application/json": {"schema": {"type": "object"}, "example": {"annotations": [], "images": [], "categories": []}},
    "application/x-ndjson": {
        "schema": {"type": "string"},
        "example": '{"width":640,"height":480,"annotations":[],"shard_id":"front_door","ontology":"detection.person-parcel",'
        '"generation":2,"frame_index":0}\n',
    },
}
