"""What every verb shares: its options, its exit code, and how results and failures are shown.

Results go to stdout, progress and errors to stderr, and the whole result to `--json FILE`.
"""

import contextlib
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from cluster.cli.stopping import Terminated, stopped_by_sigterm
from training.errors import BadInput, MicroModelError, StoreFull, UnknownModel, named

__all__ = [
    "EXIT_CODES",
    "INTERRUPTED",
    "SOME_FAILED",
    "TERMINATED",
    "BackboneOption",
    "Failure",
    "JsonOption",
    "RecipeOption",
    "StoreOption",
    "TimingsOption",
    "WeightsOption",
    "WorkersOption",
    "exit_code",
    "failure",
    "finish",
    "print_table",
    "verb",
    "write_json",
]

Arguments = ParamSpec("Arguments")
Failure = dict[str, str]  # {"shard_id": …, "error": …}, one row of the failures table

SOME_FAILED = 3
INTERRUPTED = 130
TERMINATED = 143
EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (BadInput, 2),
    (UnknownModel, 2),
    (StoreFull, 2),
    (MicroModelError, 2),
    (Terminated, TERMINATED),
    (KeyboardInterrupt, INTERRUPTED),
)

StoreOption = Annotated[
    str, typer.Option("--store", envvar="MICROMODELS_STORE", metavar="URL", help="Root of the store: a directory or s3://…")
]
RecipeOption = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="How to fit: quality, fast, head, …, or a recipe as a .json file.")
]
BackboneOption = Annotated[str, typer.Option(help="A torchvision classification network.")]
WeightsOption = Annotated[str, typer.Option(help="auto, none, IMAGENET1K_V1, a path or s3://…")]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="Processes; one a GPU, or a CPU where there is none.")]
TimingsOption = Annotated[
    Path | None, typer.Option("--timings", metavar="FILE", help="Your own seconds by task and action, as JSON.")
]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the whole result here, as JSON.")]


def exit_code(error: BaseException) -> int | None:
    """The exit code of an error that a verb lets through; None if it is not one of ours (a bug: show the traceback)."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), None)


def verb(function: Callable[Arguments, int]) -> Callable[Arguments, None]:
    """Turn a function that returns an exit code, or raises a named error, into a command."""

    @functools.wraps(function)
    def command(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            with stopped_by_sigterm():
                code: int | None = function(*args, **kwargs)
        except (MicroModelError, KeyboardInterrupt) as error:
            code = exit_code(error)
            typer.echo(_stopped(error) if isinstance(error, KeyboardInterrupt) else named(error), err=True)
        raise typer.Exit(code or 0)

    return command


def failure(shard_id: str, error: BaseException | str) -> Failure:
    """One row of the failures table."""
    return {"shard_id": shard_id, "error": named(error) if isinstance(error, BaseException) else " ".join(error.split())}


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows under the keys of the first one, aligned, one line each, so that they can be read and grepped."""
    if not rows:
        return
    cells = [list(rows[0]), *([_text(row.get(name)) for name in rows[0]] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for line in cells:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def write_json(file: Path | None, document: Mapping[str, Any]) -> None:
    """Write `document` whole or not at all (temporary file, then rename); nothing if `file` is None.

    What UTF-8 cannot hold, as the name of a file in another encoding, is escaped.
    Raises:
        BadInput: the file cannot be written; names it.
    """
    if file is None:
        return
    text = _escaped(json.dumps(document, indent=1, ensure_ascii=False))
    partial = file.parent / f".{file.name}.{os.getpid()}.partial"
    try:
        partial.write_text(f"{text}\n", encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        raise BadInput(f"{file}: cannot write the results ({error.strerror}), needed a writable file") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def finish(document: Mapping[str, Any], json_file: Path | None, *, rows: Sequence[Mapping[str, Any]]) -> int:
    """Show the results, then the failures table, write the JSON, and say how it went.

    Args:
        document: the result; `failures` in it is a list of Failure.
        rows: what to print on stdout, one line each.
    Returns:
        0 if every shard succeeded, else 3.
    """
    failures: Sequence[Failure] = document["failures"]
    print_table(rows)
    if failures:
        typer.echo(f"\nfailures ({len(failures)}):")
        print_table(failures)
    write_json(json_file, document)
    return SOME_FAILED if failures else 0


def _stopped(error: KeyboardInterrupt) -> str:
    return f"{'terminated' if isinstance(error, Terminated) else 'interrupted'}: everything finished so far is kept"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else _escaped(str(value))


def _escaped(text: str) -> str:
    """Lone surrogates, which no UTF-8 can hold, as \\udcNN; as it happens, JSON's own way to write them."""
    return text.encode("utf-8", "backslashreplace").decode()
