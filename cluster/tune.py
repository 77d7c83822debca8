"""Try recipes on a sample of shards with Ray Tune: frames are decoded once for all trials, clearly worse ones end early."""

import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray import tune

from cluster.lost import why_lost
from cluster.progress import Progress
from cluster.resources import WorkerShape, plan_workers
from cluster.tune_trial import Search, trial_of, try_recipe
from training.errors import MicroModelError
from training.learning.gather import gather
from training.learning.labelled import LabelledFrames
from training.learning.recipes import Recipe
from training.loop.trade_off import Trial, clearly_worse, too_slow
from training.models.backbones import weights_hash
from training.store.store import Store

__all__ = ["GivesUp", "Tried", "try_recipes"]

_DEATHS = 2  # of the process of one trial, before it counts as failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """trials: one for each recipe, in order. failures: 'shard ontology' -> why none of them was judged on it."""

    trials: tuple[Trial, ...]
    failures: dict[str, str]


def try_recipes(search: Search, *, num_workers: int, progress: Progress | None = None) -> Tried:
    """Score every recipe on one shard after the other. Needs a running Ray.

    Scores are kept in the store the moment they are there; the same call later takes them from it and goes on.

    Raises:
        MicroModelError: no shard can be read; says why of the first.
    """
    shape = plan_workers(num_workers, len(search.recipes))
    frames, failures = _decoded(search, shape)
    if not frames:
        raise MicroModelError(f"none of {len(failures)} shards can be read, needed one; {next(iter(failures.values()))}")
    readable = tuple(one for one in search.shards if " ".join((one[0].shard_id, one[1])) not in failures)
    search = replace(search, shards=readable)
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C is the caller's
    with tempfile.TemporaryDirectory(prefix="micromodels-tune-") as scratch, redirect_stdout(sys.stderr):  # Tune says much
        results = _tuner(search, frames, shape, scratch, progress).fit()
    found = {trial.number: trial for trial in (_outcome(results[at], search) for at in range(len(results)))}
    lost = (Trial(number=number, recipe=recipe, error="the trial was not run") for number, recipe in enumerate(search.recipes))
    return Tried(trials=tuple(found.get(trial.number, trial) for trial in lost), failures=failures)


def _decoded(search: Search, shape: WorkerShape) -> tuple[list[Any], dict[str, str]]:
    """References to the labelled frames of each shard in the object store, which all trials of a node share."""
    task: Any = ray.remote(num_returns=2, num_cpus=shape.cpus, runtime_env={"env_vars": shape.thread_env})(_gather)
    widest = _widest(search.recipes)
    asked = [
        (shard, ontology, task.remote(search.store_url, shard.shard_id, ontology, widest)) for shard, ontology in search.shards
    ]
    frames: list[Any] = []
    failures: dict[str, str] = {}
    for shard, ontology, (error, labelled) in asked:
        try:
            said = ray.get(error)
        except ray.exceptions.RayError as lost:
            said = why_lost(lost)
        if said is None:
            frames.append(labelled)
        else:
            failures[f"{shard.shard_id} {ontology}"] = said
    return frames, failures


def _gather(store_url: str, shard_id: str, ontology: str, recipe: Recipe) -> tuple[str | None, LabelledFrames | None]:
    try:
        return None, gather(Store.open(store_url), shard_id, ontology, recipe)
    except MicroModelError as error:
        return f"{type(error).__name__}: {error}", None


def _widest(recipes: Sequence[Recipe]) -> Recipe:
    """Unlabelled frames are kept at the size that the most demanding recipe sees them in; nothing goes on from earlier models."""
    sides = {name: max(getattr(one, name) for one in recipes) for name in ("min_long_side", "max_long_side", "object_pixels")}
    return replace(recipes[0], continued_steps=0, **sides)


def _tuner(search: Search, frames: list[Any], shape: WorkerShape, scratch: str, progress: Progress | None) -> tune.Tuner:
    resources = {"cpu": shape.cpus, **({"gpu": shape.gpus} if shape.gpus else {})}
    trial = tune.with_parameters(try_recipe, search=search, frames=frames, cpus=shape.cpus, start=weights_hash(search.backbone))
    return tune.Tuner(
        tune.with_resources(trial, resources),
        param_space={"number": tune.grid_search(list(range(len(search.recipes))))},
        tune_config=tune.TuneConfig(max_concurrent_trials=shape.num_workers, reuse_actors=True),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=scratch,  # Tune wants one; scores go to the store
            failure_config=tune.FailureConfig(max_failures=_DEATHS),
            stop=GivesUp(search),
            callbacks=[Shows(progress, len(search.recipes))],
            verbose=0,
        ),
    )


class GivesUp(tune.Stopper):
    """Ends trials that are clearly worse than another one on the same shards, or clearly too slow; never the base."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._trials: dict[str, Trial] = {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        trial = trial_of(result["config"]["number"], result, self._search)
        self._trials[trial_id] = trial
        if trial.number == 0 or trial.error is not None or len(trial.scores) == len(self._search.shards):
            return False
        others = [one for name, one in self._trials.items() if name != trial_id]
        return too_slow(trial, self._search.max_seconds) or clearly_worse(trial, others)

    def stop_all(self) -> bool:
        return False


class Shows(tune.Callback):
    """Says how many trials are over."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total = progress, total
        self._over = self._failed = 0

    def __getstate__(self) -> dict[str, Any]:
        """Tune writes its callbacks down, to restore a search that nobody restores; a terminal cannot be."""
        return {**self.__dict__, "_progress": None}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._show(failed=bool((trial.last_result or {}).get("error")))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._show(failed=True)

    def _show(self, *, failed: bool) -> None:
        self._over += 1
        self._failed += failed
        if self._progress is not None:
            self._progress.update(min(self._over, self._total), failed=self._failed)


def _outcome(result: Any, search: Search) -> Trial:
    """What Tune says of a trial; one whose process died has the error of that."""
    trial = trial_of(result.config["number"], result.metrics or {}, search)
    if result.error is not None:
        return replace(trial, stopped=None, error=f"{type(result.error).__name__}: {' '.join(str(result.error).split())[-300:]}")
    return trial
