"""What five labelled frames can make anyone believe about the rest of a shard."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.loop.efficiency import Spent
from training.loop.prospect import Prospect, prospect
from training.models.actions import BOX_SECONDS
from training.store.card import Card
from training.store.decisions import Decision
from training.store.store import Store

CARS = Ontology(name="cars", task="detection", classes=("car",))
VIDEO = Shard(shard_id="s", uri="/s.mp4", kind="video", num_frames=105, width=64, height=48, content_hash="sha256:0")
BOX = Annotation(class_name="car", bbox_xyxy=(1.0, 2.0, 30.0, 40.0))
GOOD = {"precision": 1.0, "recall": 1.0, "tight_recall": 1.0, "frames": 5.0}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two objects on each of five labelled frames of 105."""
    store = Store.create(str(tmp_path / "store"))
    store.add_shard(VIDEO)
    store.add_ontology(CARS)
    other = replace(BOX, bbox_xyxy=(31.0, 2.0, 60.0, 40.0))
    labels = [FrameLabels(shard_id="s", frame_index=i, annotations=(BOX, other)) for i in (0, 20, 40, 60, 80)]
    store.annotate("s", "cars", labels)
    return store


def publish(store: Store, num_labelled: int = 5, **held_out: float) -> None:
    metrics = {f"held_out_{name}": value for name, value in held_out.items()}
    card = Card(
        shard_id="s",
        ontology="cars",
        task="detection",
        classes=("car",),
        metrics=metrics,
        fit_seconds=30,
        num_labelled=num_labelled,
    )
    generation = store.registry.publish(card, {"none": torch.zeros(1)}).generation
    decided = Decision(generation=generation, promoted=True, reason="first", verdict={"status": "provisional"})
    store.registry.decide("s", "cars", decided)


def looked_at(store: Store) -> Prospect:
    found = prospect(store, "s", "cars", Spent.from_ledger([], BOX_SECONDS), BOX_SECONDS)
    assert found is not None
    return found


def test_without_a_live_micro_model_there_is_nothing_to_say(store: Store) -> None:
    assert prospect(store, "s", "cars", Spent.from_ledger([], BOX_SECONDS), BOX_SECONDS) is None


def test_ten_right_objects_do_not_prove_that_it_works(store: Store) -> None:
    publish(store, **GOOD)
    found = looked_at(store)
    assert found.shares["tight_recall"].value == 1.0
    assert found.shares["tight_recall"].low == pytest.approx(0.722, abs=0.001), "Wilson's bound for 10 of 10"
    assert found.verdict == "too few labels to tell"
    assert (found.held_out_frames, found.held_out_objects, found.touched, found.machine_seconds) == (5, 10, 5, 30.0)
    assert found.warnings == ()


def test_the_rest_costs_looks_and_what_is_wrong_with_the_range_of_the_quality(store: Store) -> None:
    publish(store, **GOOD)
    left = looked_at(store).remaining_seconds
    assert left is not None
    assert (left.value, left.low) == (pytest.approx(100 * 1.7), pytest.approx(100 * 1.7)), "a look at each of 100 frames"
    assert left.high > 100 * 1.7 + 50 * 7.0, "a quarter of 200 objects may be wrong"
    assert looked_at(store).drawing_seconds == 105 * 2 * 7.0


def test_false_positives_are_deleted_and_misses_drawn(store: Store) -> None:
    publish(store, **{**GOOD, "precision": 0.5, "recall": 0.8, "tight_recall": 0.4})
    found = looked_at(store)
    assert found.remaining_seconds is not None
    assert found.remaining_seconds.value == pytest.approx(100 * 1.7 + 200 * 0.6 * 7.0 + 200 * 0.8 * 1.7)
    assert found.verdict == "does not work yet"


def test_a_recipe_that_holds_nothing_out_says_how_to_learn_it(store: Store) -> None:
    publish(store)
    found = looked_at(store)
    assert (found.shares, found.remaining_seconds, found.verdict) == ({}, None, "nobody can tell yet")
    assert "--recipe careful" in found.warnings[0]


def test_labels_that_came_later_and_short_shards_are_told(store: Store) -> None:
    publish(store, num_labelled=3, **{**GOOD, "frames": 3.0})
    assert looked_at(store).warnings == ("generation 1 knows 3 of the 5 labelled frames",)
    more = [FrameLabels(shard_id="s", frame_index=i, annotations=(BOX,)) for i in range(81, 101)]
    store.annotate("s", "cars", more)
    assert looked_at(store).warnings[-1] == "short: 25 of 105 frames were labelled, so at most 76% could be spared"
