"""API keys: who may do what. The file holds a name, scopes and a hash for each key, never the secret."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.errors import KeysUnusable

__all__ = ["SCOPES", "Key", "KeyFile", "new_key", "parse_keys"]

SCOPES: Final = ("read", "predict", "annotate", "jobs", "admin")
PREFIX: Final = "mm_"  # lets scanners of repositories and logs know a secret of ours
_LINE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,99}) (?P<scopes>[a-z,]+) (?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key. sha256: of the secret, in hex; no slow hash is needed, since a secret is 256 random bits and not a word."""

    name: str
    scopes: frozenset[str]
    sha256: str

    @property
    def line(self) -> str:
        """As the file has it: 'ann predict,read 2c26b46b…'."""
        return f"{self.name} {','.join(sorted(self.scopes))} {self.sha256}"

    def may(self, scope: str) -> bool:
        """`admin` may everything."""
        return scope in self.scopes or "admin" in self.scopes


def new_key(name: str, scopes: Iterable[str]) -> tuple[Key, str]:
    """A key and its secret, which nobody can find out again.

    Raises:
        KeysUnusable: a name or scope that no key can have.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    key = Key(name=name, scopes=frozenset(scopes), sha256=_sha256(secret))
    return parse_keys(key.line, "the new key")[0], secret


def parse_keys(text: str, source: str) -> list[Key]:
    """The keys of a file; empty lines and those that start with '#' say nothing.

    Raises:
        KeysUnusable: a line that is no key, or two of one name; says which line and never what is in it.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    keys = [_parsed(line, f"{source}: line {number}") for number, line in lines if line and not line.startswith("#")]
    if len({key.name for key in keys}) < len(keys):
        raise KeysUnusable(f"{source}: two keys of one name, needed each name once")
    return keys


class KeyFile:
    """The keys of a file, which is read again when it changes: a key whose line is gone is refused from then on."""

    def __init__(self, path: Path) -> None:
        """Raises KeysUnusable, as `find`."""
        self._path = path
        self._state: tuple[int, ...] = ()
        self._keys: list[Key] = []
        self._reread()

    def find(self, secret: str) -> Key | None:
        """The key that has this secret. Looks at every key, so that the time taken says nothing about any of them.

        Raises:
            KeysUnusable: the file is gone or not a file of keys; nobody is let in until it is.
        """
        self._reread()
        digest, found = _sha256(secret), None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def _reread(self) -> None:
        try:
            stat = self._path.stat()
            state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if state == self._state:
                return
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise KeysUnusable(f"{self._path}: {type(error).__name__}, needed a file of keys") from error
        keys = parse_keys(text, str(self._path))
        if not keys:
            raise KeysUnusable(f"{self._path}: no key, needed at least one")
        self._keys, self._state = keys, state


def _parsed(line: str, where: str) -> Key:
    found = _LINE.fullmatch(line)
    if found is None:
        raise KeysUnusable(f"{where}: not a key, needed 'NAME SCOPE,SCOPE SHA256'")
    scopes = frozenset(found["scopes"].split(","))
    if not scopes <= set(SCOPES):
        raise KeysUnusable(f"{where}: a scope that does not exist, needed some of {', '.join(SCOPES)}")
    return Key(name=found["name"], scopes=scopes, sha256=found["sha256"])


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
