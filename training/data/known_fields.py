"""Documents of other versions of this software: what a record of this one has a field for."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

__all__ = ["known_fields"]


def known_fields(kind: type[Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """What of the document goes into a dataclass of that kind; keys that a newer version added are left out."""
    return {one.name: document[one.name] for one in fields(kind) if one.name in document}
