"""The demonstration: a world drawn here, and everything the system does with it, told on one page."""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cluster.asking import Exchange, ask
from cluster.demo_pictures import pictures_of
from cluster.report import Step, write_report
from cluster.simulate import simulate
from training.data.folder import labelled_folder
from training.data.world import draw_world
from training.errors import BadInput
from training.learning.recipes import Recipe
from training.models.backbones import Backbone
from training.store.store import Store

__all__ = ["Demo", "run_demo"]

_MARK = ".micromodels-demo"
_PARTS = ("world", "store", "report.html", "result.json")
Result = TypeVar("Result")

_LEAD = (
    "A person labelled {labels} frames of each shard. One small network was fitted to each of them from those frames, "
    "starting {start}, and labelled all the other frames. Look-alikes of the same shape are there to mislead: "
    "nobody labelled them. The truth is known exactly, because this program drew the world."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What came of it. report: the page. result: as `simulate --json` writes it. exchange: None if nothing could be asked."""

    report: Path
    result: dict[str, Any]
    exchange: Exchange | None
    steps: list[Step] = field(default_factory=list)


def run_demo(
    directory: str | Path,
    *,
    store_url: str | None = None,
    labels: int,
    recipe: Recipe,
    backbone: Backbone,
    seed: int,
    num_workers: int,
    say: Callable[[str], None],
) -> Demo:
    """Draw a world in `directory`, add it, fit, label, judge, serve, ask for one frame over HTTP, write the report.

    Needs a running Ray. An earlier demonstration in the same directory is replaced.

    Args:
        store_url: `directory`/store by default.
        labels: frames labelled by hand in each shard.
        say: told what is being done, a line at a time.
    Raises:
        BadInput: the directory holds something that is not an earlier demonstration; nothing is touched.
    """
    root = _prepared(Path(directory).absolute())
    steps: list[Step] = []
    paths = _timed(steps, say, "draw the world", lambda: draw_world(root / "world", seed=seed), lambda found: _names(found))
    store = Store.create(store_url or str(root / "store"))
    result = _timed(
        steps,
        say,
        f"add, label {labels} frames of each by hand, fit, label the rest, judge",
        lambda: simulate(
            store,
            labelled_folder(paths[0].parent),
            task=None,
            labels=labels,
            recipe=recipe,
            backbone=backbone,
            seed=seed,
            num_workers=num_workers,
        ),
        _fitted,
    )
    (root / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    exchange = None
    if result["shards"]:
        shard = store.shard(result["shards"][0]["shard_id"])
        exchange = _timed(steps, say, "serve, and send one frame over HTTP", lambda: ask(store, shard), lambda said: said.summary)
    report = root / "report.html"
    write_report(
        report,
        result,
        pictures_of(store, result, root / "world"),
        lead=_LEAD.format(labels=labels, start="from nothing" if backbone.weights == "none" else f"from {backbone.weights}"),
        steps=steps,
        exchange=None if exchange is None else (exchange.request, exchange.response),
    )
    return Demo(report=report, result=result, exchange=exchange, steps=steps)


def _prepared(root: Path) -> Path:
    """The directory, empty but for our mark."""
    found = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    if found and _MARK not in found:
        raise BadInput(f"{root}: holds {', '.join(found[:3])}, needed an empty directory or one of an earlier demo")
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / _MARK).touch()
        for path in (root / name for name in _PARTS):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{root}: cannot be written ({error.strerror}), needed a writable directory") from error
    return root


def _timed(
    steps: list[Step], say: Callable[[str], None], name: str, do: Callable[[], Result], outcome: Callable[[Result], str]
) -> Result:
    """Say it, do it, remember how long it took and what came out."""
    say(f"==> {name}")
    started = time.monotonic()
    done = do()
    steps.append(Step(name=name, seconds=time.monotonic() - started, outcome=outcome(done)))
    say(f"    {steps[-1].outcome} ({steps[-1].seconds:.0f} s)")
    return done


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths)


def _fitted(result: dict[str, Any]) -> str:
    last = [entry["generations"][-1] for entry in result["shards"]]
    fit, label = (sum(one[name] for one in last) for name in ("fit_seconds", "label_seconds"))
    failed = f", {len(result['failures'])} failures" if result["failures"] else ""
    return f"{len(last)} micro-models; {fit:.0f} s of fitting and {label:.0f} s of labelling, shared by the workers{failed}"
