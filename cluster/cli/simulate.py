"""`simulate`: how good would it be on this labelled data, and what would it cost people?"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.output import (
    BackboneOption,
    JsonOption,
    RecipeOption,
    TimingsOption,
    WeightsOption,
    WorkersOption,
    failure,
    finish,
)
from training.errors import BadInput

if TYPE_CHECKING:
    from training.store.store import Store

__all__ = ["simulate"]


def simulate(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="Videos, scenes or folders of pictures with NAME.coco.json.")],
    labels: Annotated[int, typer.Option(min=1, help="Frames the simulated annotator draws on first.")] = 5,
    generations: Annotated[int, typer.Option(min=1, help="How often the fleet is fitted.")] = 1,
    corrections: Annotated[int, typer.Option(min=1, help="Frames reviewed after each generation but the last.")] = 5,
    only: Annotated[str | None, typer.Option(metavar="NAME,…", help="Only these shards.")] = None,
    task: Annotated[str | None, typer.Option(help="Only this task; every one the labels allow by default.")] = None,
    recipe: RecipeOption = "quality",
    backbone: BackboneOption = "mobilenet_v2",
    weights: WeightsOption = "auto",
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    workers: WorkersOption = None,
    prelabel_weights: Annotated[
        str | None,
        typer.Option(metavar="FILE|URL|hub", help="Also judge a detector trained on COCO; hub: torchvision's weights."),
    ] = None,
    prelabel_model: Annotated[str, typer.Option(help="A torchvision R-CNN; auto takes the usual one of the task.")] = "auto",
    timings: TimingsOption = None,
    store: Annotated[str | None, typer.Option(metavar="URL", help="Keep everything here; a temporary store by default.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a report with pictures, one HTML file.")] = None,
    json: JsonOption = None,
) -> int:
    """Label a few frames from the ground truth, fit, label the rest, review, and compare with the ground truth nobody used.

    Example: micromodels simulate ./videos --labels 5 --generations 3 --json out.json
    """
    from cluster.resources import cluster_workers, num_nodes
    from cluster.session import ray_session
    from cluster.simulate import simulate as run
    from training.data.folder import labelled_folder, left_over
    from training.learning.recipe_file import resolve_recipe
    from training.loop.detectors import Detector
    from training.loop.timings import read_timings
    from training.models.backbones import Backbone, resolve_weights
    from training.models.tasks import TASKS
    from training.store.store import Store

    if task is not None and task not in TASKS:
        raise BadInput(f"--task {task}: cannot be fitted, needed one of {', '.join(TASKS)}")
    sources = {source.shard_id: source for source in labelled_folder(directory)}
    not_used = [path.name for path in left_over(directory)]
    wanted = list(sources) if only is None else only.split(",")
    chosen, start = resolve_recipe(recipe), Backbone(name=backbone, weights=weights)
    own = None if timings is None else read_timings(timings)
    detector = None
    if prelabel_weights is not None:
        detector = Detector(name=prelabel_model, weights="auto" if prelabel_weights == "hub" else prelabel_weights)
    resolve_weights(start)  # bad weights are told before anything else is done
    with _store(store) as url, ray_session(num_cpus=workers):
        if store is None and num_nodes() > 1:
            raise BadInput(f"simulate: without --store on a cluster of {num_nodes()} nodes, needed a store that all of them see")
        opened = Store.create(url)
        result = run(
            opened,
            [sources[name] for name in wanted if name in sources],
            task=task,
            labels=labels,
            generations=generations,
            corrections=corrections,
            recipe=chosen,
            backbone=start,
            seed=seed,
            num_workers=workers or cluster_workers(),
            timings=own,
            detector=detector,
        )
        missing = [name for name in wanted if name not in sources]
        result["failures"] += [failure(name, f"no such source in {directory}") for name in missing]
        result["not_used"] = not_used
        try:  # the numbers first: pictures can fail long after everything was measured
            return finish(result, json, rows=[row for entry in result["shards"] for row in _rows(entry)])
        finally:
            if report is not None:
                _write_report(report, opened, result, Path(directory))


def _write_report(file: Path, store: "Store", result: Mapping[str, Any], directory: Path) -> None:
    """Write the report; what it has no pictures of is said in it and on stderr."""
    from cluster.demo_pictures import pictures_of
    from cluster.report import write_report

    without: list[str] = []
    pictures = pictures_of(store, result, directory, say=without.append)
    for line in without:
        typer.echo(line, err=True)
    write_report(file, result, pictures, title=f"What {result['labels']} labels are worth", lead="; ".join(without))


@contextmanager
def _store(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="micromodels-simulate-") as scratch:
        yield str(Path(scratch) / "store")


def _rows(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One line per generation, and one per neighbour below it."""
    named = {f"generation {one['generation']}": one for one in entry["generations"]} | entry["baselines"]
    numbers = ("frames_touched", "precision", "recall", "tight_recall", "mean_iou", "e_count", "e_time", "fit_seconds")
    for name, one in named.items():
        yield {"shard": entry["shard_id"], "task": entry["task"], "by": name, **{key: one.get(key) for key in numbers}}
