"""What a person drew, judged by what its task knows."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from training.data import rle
from training.data.annotations import Annotation
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.errors import BadAnnotation
from training.loop.plausible import plausible
from training.loop.review import Vocabulary

SHARD = Shard(shard_id="road", uri="/road", kind="images", num_frames=1, width=96, height=48, content_hash="")
MASK = rle.encode(np.eye(48, 96, dtype=np.bool_))
POINTS = (20.0, 20.0, 2.0)
RIGHT: dict[str, dict[str, Any]] = {
    "classification": {"level": "image"},
    "detection": {"bbox_xyxy": (1, 2, 11, 22)},
    "segmentation": {"rle_counts": MASK},
    "keypoints": {"keypoints_xyv": POINTS},
}


@pytest.mark.parametrize("task", RIGHT)
def test_a_mask_or_keypoints_of_another_task_are_refused_and_named(task: Any) -> None:
    names = ("front",) if task == "keypoints" else ()
    about = Vocabulary(SHARD, Ontology(name="cars", task=task, classes=("car",), keypoints=names))
    drawn = Annotation(class_name="car", **RIGHT[task])
    assert plausible(about, 0, drawn).class_name == "car"
    for other, what, more in (
        ("segmentation", "a mask", {"rle_counts": MASK}),
        ("keypoints", "keypoints", {"keypoints_xyv": POINTS}),
    ):
        if other != task:
            with pytest.raises(BadAnnotation, match=f"car: {what}, needed none for {task}, the task of cars"):
                plausible(about, 0, replace(drawn, **more))
