"""Names that become part of a path and of a URL: shard ids and ontology names."""

import re

from training.errors import BadShardId

__all__ = ["check_identifier"]

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def check_identifier(name: str, what: str) -> str:
    """Return `name` if it is safe in a path and in a URL.

    Raises:
        BadShardId: it is not 1..200 letters, digits, '.', '_' or '-' that start with a letter or digit.
    """
    if not _IDENTIFIER.fullmatch(name):
        raise BadShardId(f"{what} {name!r}: needed 1 to 200 letters, digits, '.', '_' or '-', starting with a letter or digit")
    return name
