"""Around a search: the sample, when a trial is given up, what the rows and the page say, and what is refused first."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.tune import GivesUp
from cluster.tune_report import trial_rows, verdict, write_tuning
from cluster.tune_sample import sample_shards
from cluster.tune_trial import Search, trial_of
from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.errors import NothingToLearn
from training.learning.recipes import smoke
from training.loop.objective import HeldOutScore
from training.loop.trade_off import Trial
from training.models.actions import Actions
from training.models.backbones import Backbone
from training.store.store import Store

run = CliRunner()


def shard(name: str) -> Shard:
    return Shard(
        shard_id=name, kind="video", uri=f"/{name}.mp4", num_frames=9, width=96, height=64, content_hash=f"sha256:{name}"
    )


def store_with(folder: Path, **annotated: tuple[str, int]) -> Store:
    """Shard -> its ontology, and how many of its frames have an annotation; one more has none."""
    store = Store.create(str(folder / "store"))
    for name, (ontology, count) in annotated.items():
        store.add_shard(shard(name))
        store.add_ontology(Ontology(name=ontology, task="detection", classes=("dot",)))
        box = Annotation(class_name="dot", bbox_xyxy=(1, 1, 9, 9))
        labels = [FrameLabels(shard_id=name, frame_index=n, annotations=(box,) * (n < count)) for n in range(count + 1)]
        store.annotate(name, ontology, labels)
    return store


def test_a_sample_is_dealt_from_the_ontologies_in_turn_and_repeats_with_its_seed(tmp_path: Path) -> None:
    store = store_with(tmp_path, **{f"a{n}": ("boats", 3) for n in range(6)}, b0=("cars", 3), b1=("cars", 1))
    sample = sample_shards(store, 4, None, seed=0)
    assert sorted(name for _, name in sample.shards) == ["boats", "boats", "boats", "cars"]
    assert len({one.shard_id for one, _ in sample.shards}) == 4
    assert sample == sample_shards(store, 4, None, seed=0)
    chosen = {tuple(one.shard_id for one, _ in sample_shards(store, 4, None, seed=seed).shards) for seed in range(5)}
    assert len(chosen) > 1
    assert {one.shard_id for one, _ in sample_shards(store, 9, "boats", seed=0).shards} == {f"a{n}" for n in range(6)}
    assert sample_shards(store, 9, None, seed=0).passed_over == 1


def test_too_few_labels_say_what_there_is_and_what_is_needed(tmp_path: Path) -> None:
    store = store_with(tmp_path, a=("boats", 1), b=("boats", 1))
    with pytest.raises(
        NothingToLearn, match="2 shards with annotations, at most 1 annotated frames a shard, needed a shard with 2"
    ):
        sample_shards(store, 3, None, seed=0)


def test_a_store_without_labels_exits_2_before_any_work(tmp_path: Path) -> None:
    Store.create(str(tmp_path / "store"))
    result = run.invoke(app, ["tune", "--store", str(tmp_path / "store"), "--out", str(tmp_path / "won.json")])
    assert result.exit_code == 2
    assert "NothingToLearn" in result.stderr
    assert "needed a shard with 2 annotated frames" in result.stderr


def test_a_winner_that_fit_would_not_take_is_refused(tmp_path: Path) -> None:
    result = run.invoke(app, ["tune", "--store", str(tmp_path), "--out", str(tmp_path / "won.yaml")])
    assert result.exit_code == 2
    assert "needed a name that ends in .json" in result.stderr


def score(due: int, seconds: float) -> HeldOutScore:
    return HeldOutScore(shard_id="a", ontology="o", due=Actions(draw=due), objects=20, frames=5, seconds=seconds)


def search(max_seconds: float | None = None) -> Search:
    recipes = (smoke(), replace(smoke(), name="b", steps=9), replace(smoke(), name="c", steps=8))
    return Search(
        store_url="nowhere",
        shards=((shard("a"), "o"), (shard("b"), "o")),
        recipes=recipes,
        folds=2,
        backbone=Backbone(),
        seed=0,
        max_seconds=max_seconds,
    )


def told(number: int, *scores: HeldOutScore, error: str | None = None) -> dict[str, object]:
    return {"config": {"number": number}, "scores": [one.to_json() for one in scores], "error": error}


def test_a_trial_is_given_up_when_it_is_clearly_worse_and_the_base_never_is() -> None:
    gives_up = GivesUp(search())
    assert not gives_up("one", told(1, score(0, 1.0)))
    assert gives_up("two", told(2, score(9, 1.0)))
    assert not gives_up("base", told(0, score(20, 9.0)))
    assert not gives_up("two", told(2, score(9, 1.0), score(9, 1.0)))  # done anyway


def test_a_trial_is_given_up_when_it_is_clearly_too_slow() -> None:
    gives_up = GivesUp(search(max_seconds=2))
    assert not gives_up("one", told(1, score(0, 3.0)))
    assert gives_up("two", told(2, score(0, 5.0)))
    assert trial_of(2, told(2, score(0, 5.0)), search(max_seconds=2)).stopped == "too slow"


def test_what_was_reported_last_says_how_a_trial_ended() -> None:
    assert trial_of(1, told(1, score(0, 1.0), score(0, 1.0)), search()).finished
    assert trial_of(1, told(1, score(0, 1.0)), search()).stopped == "clearly worse"
    assert trial_of(1, told(1, error="FitDiverged: a"), search()).error == "FitDiverged: a"


@pytest.fixture
def trials() -> list[Trial]:
    recipes = search().recipes
    return [
        Trial(number=0, recipe=recipes[0], scores=(score(2, 8.0), score(2, 8.0))),
        Trial(number=1, recipe=recipes[1], scores=(score(1, 2.0), score(2, 2.0))),
        Trial(number=2, recipe=recipes[2], scores=(score(30, 4.0),), stopped="clearly worse"),
        Trial(number=3, recipe=recipes[2], error="FitDiverged: <a>"),
    ]


def test_rows_have_the_winner_first_and_failures_last(trials: list[Trial]) -> None:
    rows = trial_rows(trials, trials[1])
    assert [(row["trial"], row["state"]) for row in rows] == [
        (1, "winner"),
        (0, ""),
        (2, "clearly worse"),
        (3, "FitDiverged: <a>"),
    ]
    assert [row["differs"] for row in rows] == ["steps 9", "base", "steps 8", "steps 8"]
    assert rows[3]["efficiency"] == "-"


def test_the_verdict_counts_everything_that_did_not_come_to_its_end(trials: list[Trial]) -> None:
    said = verdict(trials, trials[1], 5)
    assert (
        said
        == "b: 0.93 in 2 s a fit, the base 0.90 in 8 s a fit; of 4 recipes 2 finished, 1 ended early, 1 failed, 5 more refused"
    )
    assert verdict(trials, None).startswith("no winner of 4 recipes: 2 finished")


def test_the_page_has_a_point_for_each_scored_trial_and_nothing_unescaped(tmp_path: Path, trials: list[Trial]) -> None:
    page = tmp_path / "page.html"
    write_tuning(page, trials, trials[1], [{"shard_id": "x", "error": "BadVideo: x"}], seed=3)
    text = page.read_text()
    assert text.count("<circle") == 3 + 1  # and the winner's ring
    assert text.count("<title>trial") == 3
    assert "FitDiverged: &lt;a&gt;" in text
    assert "BadVideo: x" in text
    assert "seed 3" in text


def test_a_page_without_any_score_can_be_drawn(tmp_path: Path, trials: list[Trial]) -> None:
    write_tuning(tmp_path / "page.html", trials[3:], None, [], seed=0)
    assert "no winner of 1 recipes: 1 failed" in (tmp_path / "page.html").read_text()


def test_a_recipe_file_is_taken_by_fit_and_what_is_wrong_with_it_is_told_first(tmp_path: Path, draw: Callable[..., Path]) -> None:
    draw(tmp_path / "data", "cam")
    store = ["--store", str(tmp_path / "store")]
    assert run.invoke(app, ["add", str(tmp_path / "data"), *store]).exit_code == 0
    (tmp_path / "bad.json").write_text(json.dumps({"name": "bad", "steps": "many"}))
    result = run.invoke(app, ["fit", *store, "--recipe", str(tmp_path / "bad.json")])
    assert result.exit_code == 2
    assert "BadRecipe" in result.stderr
    assert "steps is 'many', needed a whole number" in result.stderr
