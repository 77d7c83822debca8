"""Generations of one small shard through the gate, from store to store: bright frames are day, dark ones night."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.sources import probe
from training.learning.fit_job import FitReceipt
from training.learning.generation import fit_jobs, plan_fits
from training.learning.recipes import smoke
from training.loop.canary import end_canary, running_canary
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.store.store import Store

HOW: dict[str, Any] = {"recipe": smoke(), "backbone": Backbone(name="resnet18", weights="none"), "seed": 0}
MODEL = ("sky", "light")
AUDITS = range(6, 12)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    folder = tmp_path / "sky"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for index in range(14):
        picture = noise.integers(0, 40, (64, 64, 3)) + (0 if index % 2 else 200)
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{index:02d}.png")
    store = Store.create(str(tmp_path / "store"))
    store.add_shard(probe(folder, shard_id="sky"))
    store.add_ontology(Ontology(name="light", task="classification", classes=("day", "night")))
    store.annotate(*MODEL, says(range(4)))
    return store


def says(frames: range, *, swapped: bool = False) -> list[FrameLabels]:
    names = ("night", "day") if swapped else ("day", "night")
    return [
        FrameLabels(shard_id="sky", frame_index=n, annotations=(Annotation(class_name=names[n % 2], level="image"),))
        for n in frames
    ]


def fit(store: Store, canary: float | None = None) -> FitReceipt:
    (receipt,) = go_live(store, fit_jobs(store, plan_fits(store, None, None, **HOW).jobs, **HOW), canary=canary)
    assert receipt.error is None
    return receipt


def test_without_audits_the_first_is_provisional_and_later_ones_are_unproven(store: Store) -> None:
    first = fit(store)
    store.annotate(*MODEL, says(range(4, 6)))
    second = fit(store)
    assert [(one.live, one.status, one.reason) for one in (first, second)] == [
        (True, "provisional", "first generation, no audit frames"),
        (True, "unproven", "no audit frames"),
    ]
    assert store.registry.live(*MODEL) == 2


def test_a_generation_that_is_worse_on_the_audits_is_published_and_does_not_go_live(store: Store) -> None:
    store.annotate(*MODEL, says(AUDITS), audit=True)
    first = fit(store)
    store.annotate(*MODEL, says(range(4), swapped=True))
    second = fit(store)
    assert first.reason == "first generation, 6 of 6 labels right on 6 audit frames"
    assert (second.generation, second.live, second.status) == (2, False, "worse")
    assert second.reason is not None
    assert second.reason.startswith("0 of 6 labels right against 6 of 6 labels right of the live one on 6 audit frames")
    assert store.registry.live(*MODEL) == 1
    assert store.registry.generations(*MODEL) == [1, 2]
    plan = plan_fits(store, None, None, **HOW)
    assert plan.jobs == []
    assert [card.generation for card in plan.skipped] == [2]
    assert store.registry.live(*MODEL) == 1


def test_a_card_names_the_generation_that_was_live_when_it_was_fitted(store: Store) -> None:
    store.annotate(*MODEL, says(AUDITS), audit=True)
    fit(store)
    store.annotate(*MODEL, says(range(4), swapped=True))
    fit(store)
    store.annotate(*MODEL, says(range(6)))
    third = fit(store)
    assert (third.live, third.status) == (True, "unproven"), "six right answers against six are too few to tell"
    assert [store.registry.card(*MODEL, generation).parent for generation in (1, 2, 3)] == [None, 1, 1]


def test_promotions_and_refusals_keep_the_verdict(store: Store) -> None:
    store.annotate(*MODEL, says(AUDITS), audit=True)
    fit(store)
    store.annotate(*MODEL, says(range(4), swapped=True))
    fit(store)
    (promotion,) = store.registry.promotions(*MODEL)
    refusal = store.registry.decision(*MODEL, 2)
    assert promotion.verdict is not None
    assert refusal is not None
    assert refusal.verdict is not None
    assert (promotion.verdict["new_score"], promotion.verdict["live_score"]) == (1.0, None)
    assert (refusal.promoted, refusal.verdict["new_score"], refusal.verdict["live_score"]) == (False, 0.0, 1.0)
    assert refusal.verdict["interval"][1] < -0.02


def test_a_generation_whose_publisher_died_before_it_was_judged_is_judged_without_another_fit(store: Store) -> None:
    (died,) = fit_jobs(store, plan_fits(store, None, None, **HOW).jobs, **HOW)
    assert (died.generation, died.live, died.status) == (1, False, None)
    assert store.registry.live(*MODEL) is None
    again = fit(store)
    assert (again.generation, again.seconds, again.live) == (1, 0.0, True)


def test_an_audit_frame_that_cannot_be_read_is_an_error_in_the_receipt_and_nothing_is_decided(store: Store) -> None:
    store.annotate(*MODEL, says(AUDITS), audit=True)
    fitted = fit_jobs(store, plan_fits(store, None, None, **HOW).jobs, **HOW)
    (Path(store.shard("sky").uri) / "07.png").write_bytes(b"broken")
    (receipt,) = go_live(store, fitted)
    assert receipt.generation is None
    assert receipt.error is not None
    assert "07.png" in receipt.error
    assert store.registry.live(*MODEL) is None
    assert store.registry.decision(*MODEL, 1) is None


def test_a_fit_that_failed_passes_through(store: Store) -> None:
    failed = FitReceipt(shard_id="sky", ontology="light", error="BadPicture: x")
    assert go_live(store, [failed]) == [failed]


def test_what_would_replace_a_live_generation_can_be_put_on_trial_instead(store: Store) -> None:
    first = fit(store, canary=0.2)
    assert (first.live, first.status) == (True, "provisional"), "there is nothing to try it against"
    store.annotate(*MODEL, says(range(4, 6)))
    second = fit(store, canary=0.2)
    assert (second.live, second.status, second.reason) == (False, "canary", "trial 1 against 1 with 20% of the requests")
    assert store.registry.live(*MODEL) == 1
    again = go_live(store, [second])
    assert [(one.live, one.status) for one in again] == [(False, "canary")], "it is not judged while it is on trial"
    store.annotate(*MODEL, says(range(12, 14)))
    third = fit(store, canary=0.3)
    running = running_canary(store.registry, *MODEL)
    assert running is not None
    assert (running.generation, running.share) == (third.generation, 0.3), "the newest takes the trial over"


def test_a_generation_that_was_rolled_back_is_not_made_live_by_the_next_fit(store: Store) -> None:
    fit(store)
    store.annotate(*MODEL, says(range(4, 6)))
    second = fit(store, canary=0.2)
    running = running_canary(store.registry, *MODEL)
    assert running is not None
    end_canary(store.registry, running, "rolled-back", "it is slow")
    (again,) = go_live(store, [second])
    assert (again.live, again.status, again.reason) == (False, "rolled-back", "it is slow")
    assert store.registry.live(*MODEL) == 1


def test_a_generation_that_the_gate_refuses_is_not_tried(store: Store) -> None:
    fit(store)
    store.annotate(*MODEL, says(AUDITS), audit=True)
    store.annotate(*MODEL, says(range(4), swapped=True))
    assert fit(store, canary=0.2).status == "worse"
    assert running_canary(store.registry, *MODEL) is None
