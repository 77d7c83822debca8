"""`python -m services.new_key FILE NAME SCOPE…`: add a key to a file and show its secret, once."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from services.keys import SCOPES, new_key, parse_keys
from training.errors import KeysUnusable

__all__ = ["add_key", "main"]


def add_key(file: Path, name: str, scopes: Sequence[str]) -> str:
    """Append a key to `file`, which is made for its owner alone if it is not there; returns the secret.

    Raises:
        KeysUnusable: a file of something else, a name that is taken, a scope that does not exist.
    """
    key, secret = new_key(name, scopes)
    try:
        there = file.read_text(encoding="utf-8") if file.exists() else ""
        parse_keys(f"{there.rstrip()}\n{key.line}", str(file))
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="utf-8") as out:
            out.write(f"{'' if there.endswith(chr(10)) or not there else chr(10)}{key.line}\n")
    except (OSError, UnicodeDecodeError) as error:
        raise KeysUnusable(f"{file}: {type(error).__name__}, needed a file of keys that can be written") from error
    return secret


def main() -> int:
    """The secret goes to stdout, everything else to stderr."""
    parser = argparse.ArgumentParser(prog="python -m services.new_key", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="file of keys; made if it is not there")
    parser.add_argument("name", metavar="NAME", help="who or what uses the key")
    parser.add_argument("scopes", nargs="+", choices=SCOPES, metavar="SCOPE", help=", ".join(SCOPES))
    given = parser.parse_args()
    try:
        secret = add_key(given.file, given.name, given.scopes)
    except KeysUnusable as error:
        sys.stderr.write(f"KeysUnusable: {error}\n")
        return 2
    sys.stderr.write(f"{given.file}: added {given.name}; this is its secret, which is not kept anywhere:\n")
    sys.stdout.write(f"{secret}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
