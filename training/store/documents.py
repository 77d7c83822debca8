"""JSON as it lies in a store: pretty-printed, sorted, and readable by anything."""

import json
from collections.abc import Mapping
from typing import Any

from training.errors import BadInput, StoreUnusable

__all__ = ["from_json_bytes", "to_json_bytes"]


def to_json_bytes(document: Mapping[str, Any], what: str) -> bytes:
    """UTF-8 JSON of `document`.

    Raises:
        BadInput: NaN, infinity or something JSON has no word for; names `what`.
    """
    try:
        return (json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what}: {error}, needed values JSON can hold") from error


def from_json_bytes(data: bytes, what: str) -> dict[str, Any]:
    """The JSON object in `data`.

    Raises:
        StoreUnusable: it is not a JSON object; names `what`.
    """
    try:
        document = json.loads(data)
    except ValueError as error:
        raise StoreUnusable(f"{what}: not JSON ({error}), needed what this software writes") from error
    if not isinstance(document, dict):
        raise StoreUnusable(f"{what}: a JSON {type(document).__name__}, needed an object")
    return document
