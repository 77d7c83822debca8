"""What labelling a clip took, kept in the metadata of its Parquet object: what is planned later is planned from it."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["ClipCost", "with_seconds"]

_KEY = b"micromodels.seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipCost:
    """num_bytes: of the object. seconds: of a worker, by stage ('decode', 'model'); empty where nobody measured."""

    num_frames: int
    num_bytes: int
    seconds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, data: bytes, num_frames: int) -> "ClipCost":
        """Of the object `data`, which has the labels of that many frames."""
        said = (pq.read_schema(io.BytesIO(data)).metadata or {}).get(_KEY, b"{}")
        return cls(num_frames=num_frames, num_bytes=len(data), seconds=json.loads(said))


def with_seconds(table: pa.Table, seconds: Mapping[str, float]) -> pa.Table:
    """The same rows, with what they took."""
    return table.replace_schema_metadata({_KEY: json.dumps(dict(seconds))}) if seconds else table
