"""What a recipe is worth on a shard, measured on held-out labels, and remembered."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data.annotations import Annotation, FrameLabels
from training.data.frames import Frame
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.errors import NothingToLearn, StoreUnusable
from training.learning.labelled import LabelledFrames
from training.learning.recipes import smoke
from training.loop.kept_scores import keep_score, kept_score, score_key
from training.loop.objective import score_recipe, warm_up
from training.models.backbones import Backbone
from training.store.store import Store

SCRATCH = Backbone(name="resnet18", weights="none")
TINY = replace(smoke(), name="tiny", steps=2, batch_size=2)


def dots(*left_edges: int | None, task: str = "detection") -> LabelledFrames:
    """One bright square a frame, whose pixels nobody may write to; None for a frame without."""
    frames, labels = [], []
    for index, x in enumerate(left_edges):
        image_HW3 = np.full((64, 96, 3), 40, np.uint8)
        said: tuple[Annotation, ...] = ()
        if x is not None:
            image_HW3[20:44, x : x + 24] = 230
            box = Annotation(class_name="dot", bbox_xyxy=(x, 20, x + 24, 44))
            said = (box if task == "detection" else Annotation(class_name="dot", level="image"),)
        image_HW3.flags.writeable = False  # as arrays in an object store are
        frames.append(Frame(shard_id="s", frame_index=index, image_HW3=image_HW3))
        labels.append(FrameLabels(shard_id="s", frame_index=index, annotations=said))
    ontology = Ontology(name="dots", task=task, classes=("dot",))  # type: ignore[arg-type]
    return LabelledFrames(shard_id="s", ontology=ontology, frames=tuple(frames), labels=tuple(labels))


@pytest.mark.parametrize("task", ["detection", "classification"])
def test_every_labelled_object_is_held_out_once_and_compute_is_counted(task: str) -> None:
    score = score_recipe(dots(4, 20, None, 60, task=task), recipe=TINY, folds=2, backbone=SCRATCH, seed=0)
    assert (score.objects, score.frames) == (3, 4)
    assert score.due.draw + score.due.adjust + score.due.confirm == 3
    assert score.seconds > 0
    assert type(score).from_json(score.to_json()) == score


def test_a_recipe_with_folds_is_believed_by_the_thresholds_it_would_choose() -> None:
    plain, folded = (
        score_recipe(dots(4, 20, 40, 60), recipe=replace(TINY, folds=folds), folds=2, backbone=SCRATCH, seed=0)
        for folds in (0, 2)
    )
    assert plain.objects == folded.objects == 4
    assert folded.due.due <= plain.due.due  # two steps learn nothing: what serves best is to believe less


def test_one_frame_with_annotations_cannot_be_held_out_and_is_named() -> None:
    with pytest.raises(NothingToLearn, match="s: 1 labelled frames with annotations, needed two"):
        score_recipe(dots(4, None), recipe=TINY, folds=2, backbone=SCRATCH, seed=0)


def test_warming_up_takes_a_recipe_with_cached_views(tmp_path: Path) -> None:
    warm_up(dots(4, 20), recipe=replace(TINY, parameters="head", cached_views=12), backbone=SCRATCH)


@pytest.fixture
def shard() -> Shard:
    return Shard(
        shard_id="s", kind="video", uri="/nowhere.mp4", num_frames=4, width=96, height=64, fps=8.0, content_hash="sha256:0"
    )


def test_a_score_is_kept_for_what_the_recipe_does_and_not_for_its_name(tmp_path: Path, shard: Shard) -> None:
    store, labelled = Store.create(str(tmp_path / "store")), dots(4, 20)
    key = score_key(shard, labelled, TINY, "2 folds")
    assert kept_score(store, key) is None
    score = score_recipe(labelled, recipe=TINY, folds=2, backbone=SCRATCH, seed=0)
    keep_score(store, key, score, TINY)
    keep_score(store, key, replace(score, seconds=99.0), TINY)
    assert kept_score(store, score_key(shard, labelled, replace(TINY, name="other"), "2 folds")) == score
    others = [
        score_key(shard, labelled, replace(TINY, steps=3), "2 folds"),
        score_key(shard, labelled, TINY, "3 folds"),
        score_key(shard, dots(4, 21), TINY, "2 folds"),
        score_key(replace(shard, content_hash="sha256:1"), labelled, TINY, "2 folds"),
    ]
    assert len({key, *others}) == 5


def test_recipes_that_solve_the_same_share_a_score(shard: Shard) -> None:
    whole = dots(4, 20, task="classification")
    keys = [score_key(shard, whole, one) for one in (TINY, replace(TINY, steps=9), replace(TINY, min_long_side=112))]
    assert keys[0] == keys[1] != keys[2]


def test_a_kept_score_that_is_none_is_named(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"))
    store.objects.create("scores/x.json", b"{}")
    with pytest.raises(StoreUnusable, match=r"scores/x\.json"):
        kept_score(store, "scores/x.json")
