"""Labels out, in any format: first everything is checked, then written; the file or folder appears when it is complete."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Set
from pathlib import Path

from training.data.formats.holding import LEAVABLE, Without, check_holds
from training.data.formats.records import Part
from training.data.formats.table import FORMATS
from training.data.formats.vocabulary import first_ontology
from training.errors import BadInput

__all__ = ["write_labels"]


def write_labels(name: str, out: Path, parts: Callable[[], Iterable[Part]], *, leave_out: Set[str] = frozenset()) -> int:
    """Write labels in one format and return how many annotations that is. Of a part only what its `labels` hold is in memory.

    Args:
        parts: called twice, once to check and once to write; the ontologies of one shard come one after the other.
        leave_out: of holding.LEAVABLE: what the user can do without.
    Raises:
        BadInput: no such format, something it cannot hold, or a place that cannot be written; nothing is there then.
    """
    if name not in FORMATS:
        raise BadInput(f"format {name!r}, needed one of {', '.join(FORMATS)}")
    unknown = sorted(set(leave_out) - set(LEAVABLE))
    if unknown:
        raise BadInput(f"leave out {unknown[0]!r}, needed one of {', '.join(LEAVABLE)}")
    form = FORMATS[name]
    _check_place(out, form.is_folder)

    def reduced() -> Iterator[Part]:
        for part in parts():
            yield part._replace(labels=Without(part.labels, leave_out)) if leave_out else part

    for part in first_ontology(name, reduced())[1] if form.is_folder else reduced():
        check_holds(name, form.holds, part)
        form.checks(part)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        num_annotations = form.writes(partial, reduced())
        partial.replace(out)
    except OSError as error:
        raise BadInput(f"{out}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True) if form.is_folder else partial.unlink(missing_ok=True)
    return num_annotations


def _check_place(out: Path, is_folder: bool) -> None:
    if is_folder and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise BadInput(f"{out}: is there already, needed a folder that is empty or not there")
    if not is_folder and out.is_dir():
        raise BadInput(f"{out}: is a folder, needed the name of a file")
