"""The ontology beside exported labels: `ontology.json`, which other programs ignore and `import-labels` reads."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from training.data.formats.records import Part
from training.data.ontology import Ontology
from training.errors import BadInput

__all__ = ["VOCABULARY", "first_ontology", "read_vocabulary", "write_vocabulary"]

VOCABULARY = "ontology.json"


def first_ontology(name: str, parts: Iterable[Part]) -> tuple[Ontology, Iterator[Part]]:
    """The one ontology of all parts, and the parts again.

    Raises:
        BadInput (the iterator too): there is none, another ontology follows, or a shard comes twice.
    """
    rest = iter(parts)
    first = next(rest, None)
    if first is None:
        raise BadInput(f"{name}: nothing to write, needed labels of at least one shard")

    def checked() -> Iterator[Part]:
        seen: set[str] = set()
        for part in chain([first], rest):
            if part.ontology != first.ontology or part.shard.shard_id in seen:
                both = f"{first.ontology.name}, {part.ontology.name}"
                raise BadInput(f"{name}: cannot hold several ontologies ({both}); choose one (--ontology)")
            seen.add(part.shard.shard_id)
            yield part

    return first.ontology, checked()


def write_vocabulary(folder: Path, ontology: Ontology) -> None:
    folder.joinpath(VOCABULARY).write_text(json.dumps(ontology.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_vocabulary(root: Path) -> Ontology | None:
    """The ontology that was exported with these labels; None if there is none.

    Raises:
        BadInput: the file is there and damaged.
    """
    path = (root if root.is_dir() else root.parent) / VOCABULARY
    if not path.is_file():
        return None
    try:
        return Ontology.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path}: not an ontology ({error}), needed the one that was exported, or no such file") from error
