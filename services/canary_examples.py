"""Examples of generations on trial in the OpenAPI document."""

from typing import Any

from services.canary_schemas import CanaryIn
from services.examples import whole

__all__ = ["CANARY", "CANARY_BODY"]

CANARY: dict[str, Any] = {
    "shard_id": "front_door",
    "ontology": "detection.person-parcel",
    "number": 1,
    "generation": 3,
    "against": 2,
    "share": 0.1,
    "limits": {
        "min_requests": 200,
        "more_errors": 0.02,
        "slower": 2.0,
        "other_empty": 0.3,
        "less_sure": 0.2,
        "agreement": 0.5,
    },
    "state": "rolled-back",
    "reason": "it finds nothing on 82% of the pictures, the live generation on 12%",
    "started_at": "2026-01-02T03:00:00+00:00",
    "started_by": "ann",
    "ended_at": "2026-01-02T03:12:40+00:00",
    "figures": {
        "canary": {"requests": 220, "error_share": 0.0, "empty_share": 0.82, "mean_score": 0.71, "median_s": 0.044},
        "live": {"requests": 1914, "error_share": 0.0, "empty_share": 0.12, "mean_score": 0.83, "median_s": 0.041},
        "compared": 52,
        "agreement": 0.21,
    },
}

CANARY_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": whole(CanaryIn.model_json_schema()),
            "example": {"generation": 3, "share": 0.1, "limits": {"min_requests": 500}},
        }
    },
}
