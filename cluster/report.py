"""The pages of `simulate`, `demo`, `status` and `tune`: one HTML file that needs nothing else, neither scripts nor a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from cluster.report_curve import draw_curve
from cluster.report_drawing import Picture, draw_svg, frame_classes
from cluster.report_feasibility import answer_held_out, answers_simulated
from cluster.report_tables import judged_by, overview, scoreboard
from training.errors import BadInput
from training.loop.prospect import Prospect

__all__ = ["Picture", "Step", "write_page", "write_prospects", "write_report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was done on the way to the numbers: what, how long it took (seconds), what came out."""

    name: str
    seconds: float
    outcome: str = ""


def write_report(
    path: str | Path,
    result: Mapping[str, Any],
    pictures: Mapping[tuple[str, str], Sequence[Picture]],
    *,
    title: str = "What five labels are worth",
    lead: str = "",
    steps: Sequence[Step] = (),
    exchange: tuple[str, str] | None = None,
) -> None:
    """Write the report.

    Args:
        result: what `simulate --json` writes; its keys are described in docs/cli.md.
        pictures: for each (shard_id, task) what to show of it, in order; one without pictures has only its table.
        lead: a paragraph under the title.
        exchange: a request that was sent over HTTP, and the answer.
    Raises:
        BadInput: the file cannot be written; names it.
    """
    write_page(
        path,
        "report.html",
        title=title,
        lead=lead,
        answers=answers_simulated(result.get("feasibility", ())),
        overview=overview(result),
        shards=[_section(entry, pictures.get((entry["shard_id"], entry["task"]), ())) for entry in result["shards"]],
        tasks={entry["task"] for entry in result["shards"]},
        failures=result["failures"],
        steps=steps,
        total_s=sum(step.seconds for step in steps),
        exchange=exchange,
        versions=result.get("versions", {}),
        seed=result.get("seed"),
    )


def write_prospects(path: str | Path, prospects: Sequence[Prospect]) -> None:
    """Write what held-out labels say of the shards of a store, and what the rest of them is expected to cost.

    Raises:
        BadInput: the file cannot be written; names it.
    """
    write_page(
        path,
        "status.html",
        title="Where this stands",
        lead="",
        answers=[answer_held_out(prospects)],
        versions={},
        seed=None,
    )


def write_page(path: str | Path, template: str, *, versions: Mapping[str, str], **values: Any) -> None:
    """Write one page from a template of this package; `values` are what it shows.

    Raises:
        BadInput: the file cannot be written; names it.
    """
    versions = {**versions, "micromodels": version("micromodels")}
    page = _environment().get_template(template).render(versions=versions, **values)
    try:
        Path(path).write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise BadInput(f"{path}: cannot write the report ({error.strerror}), needed a writable file") from error


def _section(entry: Mapping[str, Any], pictures: Sequence[Picture]) -> dict[str, Any]:
    classes = sorted({one.class_name for picture in pictures for one in (*picture.truth, *picture.machine)})
    return {
        "shard_id": entry["shard_id"],
        "task": entry["task"],
        "frames": entry["frames"],
        "objects": entry["objects"],
        "classes": classes,
        "table": scoreboard(entry),
        "curve": draw_curve(entry, judged_by(entry["task"])),
        "figures": [
            {
                "svg": draw_svg(picture, classes),
                "chips": frame_classes(picture, classes),
                "caption": picture.caption,
                "by_hand": picture.by_hand,
            }
            for picture in pictures
        ],
    }


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("cluster"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
