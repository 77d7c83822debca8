"""From store to store, without Ray: plan, fit, publish, label."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image

from training.data import rle
from training.data.annotations import Annotation, FrameLabels, labels_hash
from training.data.ontology import Ontology
from training.data.sources import probe
from training.errors import StoreUnreachable, UnknownShard
from training.learning.fit_job import FitJob
from training.learning.gather import gather
from training.learning.generation import fit_jobs, plan_fits
from training.learning.labeller import Labeller
from training.learning.labelling import plan_clips
from training.learning.recipes import smoke
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.store.store import Store

HOW: dict[str, Any] = {
    "recipe": replace(smoke(), steps=2, batch_size=2),
    "backbone": Backbone(name="resnet18", weights="none"),
    "seed": 0,
}


@pytest.fixture
def store(tmp_path: Path, squares: Any) -> Store:
    """Two folders of six frames, two of them labelled."""
    store = Store.create(str(tmp_path / "store"))
    for shard_id in ("a", "b"):
        folder = tmp_path / shard_id
        folder.mkdir()
        labelled = squares.labelled(6, shard_id=shard_id)
        for frame in labelled.frames:
            Image.fromarray(frame.image_HW3).save(folder / f"{frame.frame_index}.png")
        store.add_shard(probe(folder, shard_id=shard_id))
        store.add_ontology(labelled.ontology)
        store.annotate(shard_id, "squares", labelled.labels[:2])
    return store


def fit_all(store: Store, **how: Any) -> list[str]:
    plan = plan_fits(store, None, None, **{**HOW, **how})
    receipts = go_live(store, fit_jobs(store, plan.jobs, **{**HOW, **how}))
    assert [receipt.error for receipt in receipts] == [None] * len(plan.jobs)
    return [receipt.shard_id for receipt in receipts]


def test_what_is_published_for_the_same_work_is_skipped(store: Store) -> None:
    assert fit_all(store) == ["a", "b"]
    assert fit_all(store) == []
    assert store.registry.live("a", "squares") == 1


@pytest.mark.parametrize("change", [{"seed": 1}, {"recipe": replace(HOW["recipe"], steps=3)}])
def test_another_seed_or_recipe_is_other_work(store: Store, change: dict[str, Any]) -> None:
    fit_all(store)
    assert fit_all(store, **change) == ["a", "b"]
    assert store.registry.live("a", "squares") == 2


def test_masks_on_tiles_that_the_edge_of_a_scene_cuts_short_are_fitted_and_judged(tmp_path: Path) -> None:
    pixels_HW3 = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    Image.fromarray(pixels_HW3).save(tmp_path / "field.png")
    store = Store.create(str(tmp_path / "store"))
    shard = probe(tmp_path / "field.png", tile=64)
    store.add_shard(shard)
    store.add_ontology(Ontology(name="ground", task="segmentation", classes=("road",)))
    assert [shard.size_hw(index) for index in range(4)] == [(64, 64), (64, 36), (36, 64), (36, 36)]
    labels = [_road(shard.shard_id, index, shard.size_hw(index)) for index in range(4)]
    store.annotate(shard.shard_id, "ground", labels[:2])
    store.annotate(shard.shard_id, "ground", labels[2:], audit=True)
    how = {**HOW, "recipe": replace(HOW["recipe"], folds=2)}
    for seed in (0, 1):
        plan = plan_fits(store, None, None, **{**how, "seed": seed})
        (receipt,) = go_live(store, fit_jobs(store, plan.jobs, **{**how, "seed": seed}))
        assert receipt.error is None
    decision = store.registry.decision(shard.shard_id, "ground", 2)
    assert decision is not None
    assert "2 audit frames" in decision.reason


def _road(shard_id: str, index: int, size_hw: tuple[int, int]) -> FrameLabels:
    painted = np.zeros(size_hw, np.bool_)
    painted[:20, :30] = True
    counts = rle.encode(painted)
    road = Annotation(class_name="road", bbox_xyxy=rle.mask_box(counts, *size_hw), rle_counts=counts, provenance="human")
    return FrameLabels(shard_id=shard_id, frame_index=index, annotations=(road,))


def test_damaged_annotations_are_a_failure_of_their_shard(store: Store) -> None:
    (part,) = (Path(store.url) / "annotations/a/squares").iterdir()
    part.write_bytes(part.read_bytes()[:100])
    plan = plan_fits(store, None, None, **HOW)
    assert [job.shard_id for job in plan.jobs] == ["b"]
    assert list(plan.failures) == ["a"]
    assert plan.failures["a"].startswith("CorruptLabels: annotations/a/squares/0001.parquet: 100 bytes, ")


def test_a_shard_whose_labels_break_what_nobody_foresaw_fails_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(store: Store, shard_id: str, *rest: Any) -> Any:
        if shard_id == "a":
            raise ZeroDivisionError("no pixels")
        return gather(store, shard_id, *rest)

    monkeypatch.setattr("training.learning.generation.gather", breaking)
    first, second = fit_jobs(store, plan_fits(store, None, None, **HOW).jobs, **HOW)
    assert (first.shard_id, first.error) == ("a", "ZeroDivisionError: no pixels")
    assert (second.shard_id, second.error, second.generation) == ("b", None, 1)


def test_another_label_makes_a_new_generation_of_that_shard_only(store: Store, squares: Any) -> None:
    fit_all(store)
    store.annotate("b", "squares", [squares.frame(4, shard_id="b")[1]])
    assert fit_all(store) == ["b"]
    assert store.registry.generations("b", "squares") == [1, 2]


def test_a_rollback_is_not_undone_by_running_fit_again(store: Store) -> None:
    fit_all(store)
    fit_all(store, seed=1)
    store.registry.promote("a", "squares", 1, "rollback")
    assert fit_all(store, seed=1) == []
    assert store.registry.live("a", "squares") == 1


def test_one_bad_shard_is_an_error_in_its_receipt_and_stops_no_other(store: Store) -> None:
    plan = plan_fits(store, None, None, **HOW)
    (Path(store.shard("a").uri) / "1.png").write_bytes(b"")
    a, b = fit_jobs(store, plan.jobs, **HOW)
    assert a.error is not None
    assert "BadPicture" in a.error
    assert b.generation == 1
    assert store.registry.generations("a", "squares") == []


def test_a_job_for_a_shard_the_store_lost_is_an_error_in_its_receipt(store: Store) -> None:
    (receipt,) = fit_jobs(store, [FitJob(shard_id="gone", ontology="squares", fit_key="k")], **HOW)
    assert receipt.error is not None
    assert receipt.error.startswith("UnknownShard: gone")


def test_a_shard_named_but_unknown_is_refused_and_one_without_labels_is_a_failure(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UnknownShard, match="nobody"):
        plan_fits(store, ["nobody"], None, **HOW)
    store.add_shard(probe(tmp_path / "a", shard_id="bare"))
    assert "no annotations" in plan_fits(store, ["bare"], None, **HOW).failures["bare"]
    assert plan_fits(store, None, None, **HOW).failures == {}


def test_the_card_says_where_a_micro_model_comes_from(store: Store) -> None:
    fit_all(store)
    card = store.registry.resolve("a")
    assert (card.task, card.classes, card.num_labelled, card.seed) == ("detection", ("square",), 2, 0)
    assert card.recipe["name"] == "smoke"
    assert card.backbone == {"name": "resnet18", "weights": "none"}
    assert card.source_hash == store.shard("a").content_hash
    assert card.versions.keys() == {"torch", "torchvision", "micromodels"}


def test_every_frame_is_labelled_exactly_once_and_a_second_run_has_nothing_to_do(store: Store) -> None:
    fit_all(store)
    plan = plan_clips(store, None, None, frames_per_clip=4)
    assert [(clip.shard_id, clip.start, clip.stop) for clip in plan.clips] == [("a", 0, 4), ("a", 4, 6), ("b", 0, 4), ("b", 4, 6)]
    receipts = list(Labeller(store).label(plan.clips))
    assert [receipt.error for receipt in receipts] == [None] * 4
    labels, errors = store.predictions.read("a", "squares", 1)
    assert [frame.frame_index for frame in labels] == list(range(6))
    assert errors == {}
    again = plan_clips(store, None, None, frames_per_clip=4)
    assert (again.clips, again.skipped) == ([], 4)


@pytest.mark.parametrize(("first", "second"), [(4, 3), (2, 5), (4, 1)])
def test_clips_of_another_length_label_only_the_frames_that_are_missing(store: Store, first: int, second: int) -> None:
    fit_all(store)
    labeller = Labeller(store)
    before = plan_clips(store, ["a"], None, frames_per_clip=first).clips[1]
    list(labeller.label([before]))
    plan = plan_clips(store, ["a"], None, frames_per_clip=second)
    assert plan.skipped == 1
    for clip in plan.clips:
        assert clip.stop - clip.start <= second
        assert clip.stop <= before.start or clip.start >= before.stop
        list(labeller.label([clip]))
    done = store.predictions.done("a", "squares", 1)
    assert [index for start, stop in done for index in range(start, stop)] == list(range(6)), "each frame in one file"
    labels, errors = store.predictions.read("a", "squares", 1)
    assert [frame.frame_index for frame in labels] == list(range(6))
    assert errors == {}
    assert plan_clips(store, ["a"], None, frames_per_clip=first).clips == []


def test_frames_that_cannot_be_read_are_rows_that_say_why(store: Store) -> None:
    fit_all(store)
    (Path(store.shard("a").uri) / "3.png").write_bytes(b"broken")
    (receipt,) = Labeller(store).label(plan_clips(store, ["a"], None).clips)
    labels, errors = store.predictions.read("a", "squares", 1)
    assert receipt.num_errors == len(errors) > 0
    assert 3 in errors
    assert "3.png" in errors[3]
    assert sorted([frame.frame_index for frame in labels] + list(errors)) == list(range(6))


def test_a_store_that_does_not_answer_for_a_moment_is_no_frame_that_cannot_be_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_all(store)
    labeller, clips = Labeller(store), plan_clips(store, ["a"], None).clips

    def unreachable(shard_id: str) -> NoReturn:
        raise StoreUnreachable(f"shards/{shard_id}.json: connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(store, "shard", unreachable)
        (receipt,) = labeller.label(clips)
    assert (receipt.key, receipt.error) == (None, "StoreUnreachable: shards/a.json: connection refused")
    assert plan_clips(store, ["a"], None).clips == clips


def test_people_need_only_say_that_nothing_is_there(store: Store) -> None:
    store.annotate("a", "squares", [FrameLabels(shard_id="a", frame_index=5)])
    assert fit_all(store) == ["a", "b"]
    card = store.registry.resolve("a")
    assert card.num_labelled == 3
    assert card.network["decoding"]["fewest"] == [0]


def test_an_audit_frame_is_never_fitted_on_and_makes_no_new_work(store: Store, squares: Any) -> None:
    before = plan_fits(store, None, None, **HOW)
    store.annotate("a", "squares", [squares.frame(4, shard_id="a")[1]], audit=True)
    assert plan_fits(store, None, None, **HOW) == before
    gathered = gather(store, "a", "squares", HOW["recipe"])
    assert [frame.frame_index for frame in gathered.frames] == [frame.frame_index for frame in gathered.labels] == [0, 1]
    fit_all(store)
    card = store.registry.card("a", "squares", 1)
    assert (card.num_labelled, card.labels_hash) == (2, labels_hash(gathered.labels))


def test_a_frame_is_not_even_seen_unlabelled_by_a_fit_once_it_is_an_audit(store: Store) -> None:
    ontology = Ontology(name="classes", task="classification", classes=("day", "night"))
    said = [Annotation(class_name=name, level="image") for name in ontology.classes]
    store.add_ontology(ontology)
    store.annotate("a", "classes", [FrameLabels(shard_id="a", frame_index=n, annotations=(said[n],)) for n in (0, 1)])
    before = gather(store, "a", "classes", HOW["recipe"])
    store.annotate("a", "classes", [FrameLabels(shard_id="a", frame_index=4, annotations=(said[0],))], audit=True)
    after = gather(store, "a", "classes", HOW["recipe"])
    assert [frame.frame_index for frame in before.others] == [2, 3, 4, 5]
    assert [frame.frame_index for frame in after.others] == [2, 3, 5]


def test_a_shard_with_audit_frames_alone_has_nothing_to_fit_on(store: Store, squares: Any, tmp_path: Path) -> None:
    store.add_shard(probe(tmp_path / "a", shard_id="bare"))
    store.annotate("bare", "squares", [squares.frame(4, shard_id="bare")[1]], audit=True)
    assert "no annotations" in plan_fits(store, ["bare"], None, **HOW).failures["bare"]
    assert "bare" not in {job.shard_id for job in plan_fits(store, None, None, **HOW).jobs}


def test_the_next_generation_goes_on_from_the_live_one_and_its_card_says_so(store: Store, squares: Any) -> None:
    how = {"recipe": replace(HOW["recipe"], continued_steps=1)}
    fit_all(store, **how)
    store.annotate("b", "squares", [squares.frame(4, shard_id="b")[1]])
    fit_all(store, **how)
    assert [store.registry.card("b", "squares", number).started_from for number in (1, 2)] == [None, "b@1"]


def test_a_live_generation_that_is_damaged_is_no_start_and_stops_nothing(
    store: Store, squares: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    how = {"recipe": replace(HOW["recipe"], continued_steps=1)}
    fit_all(store, **how)
    (tmp_path / "store" / "models" / "b" / "squares" / "gen-0001" / "weights.safetensors").write_bytes(b"no tensors")
    store.annotate("b", "squares", [squares.frame(4, shard_id="b")[1]])
    assert gather(store, "b", "squares", how["recipe"]).start is None
    assert "the fit starts from the backbone" in caplog.text
