"""Parquet as it lies in a store: read whole, or refused by the name of its object."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from training.errors import CorruptLabels

__all__ = ["read_parquet"]


def read_parquet(data: bytes, key: str, schema: pa.Schema | None = None) -> pa.Table:
    """The table in the object `key`.

    Args:
        schema: that it must have; whichever it has by default.
    Raises:
        CorruptLabels: it is cut off, damaged, or another table.
    """
    try:
        return pq.read_table(io.BytesIO(data), schema=schema)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise CorruptLabels(
            f"{key}: {len(data)} bytes, {reason}; needed Parquet as it was written: restore the object"
        ) from error
