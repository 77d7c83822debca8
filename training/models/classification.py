"""Classification: which classes a whole frame shows.

Every place of the picture votes for each class; how much a place counts is learned beside it (attention pooling, Ilse
et al., 2018), so that a small thing somewhere can decide. Each class is its own yes or no; where every labelled frame
has exactly one class, the strongest is the answer.

N pictures, K classes, h x w cells of the output grid.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multilabel_f1_score

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.models.actions import CLASS_SECONDS, Actions
from training.models.geometry import Placement
from training.models.network import DenseNetwork, NetworkConfig

__all__ = ["Classification"]

YES = 0.5
FREE_TURN = 0.0
AMBIGUOUS_WEIGHT = 0.5


class Classification:
    """Classes of whole frames."""

    output_stride = 16
    coordinates = True
    seconds = CLASS_SECONDS

    def __init__(self, ontology: Ontology) -> None:
        self.ontology = ontology
        self._class_index = {name: index for index, name in enumerate(ontology.classes)}

    def branches(self) -> dict[str, int]:
        return {"vote": len(self.ontology.classes), "weight": len(self.ontology.classes)}

    def object_sizes(self, labels: Sequence[FrameLabels]) -> list[float]:
        return []

    def free_turn(self, labels: Sequence[FrameLabels]) -> float:
        return FREE_TURN

    def learned_limits(self, labels: Sequence[FrameLabels], frame_hw: tuple[int, int]) -> dict[str, Any]:
        """Whether a frame shows exactly one class."""
        return {"one_class": all(self.num_objects(frame) == 1 for frame in labels), "min_score": YES}

    def initialise(self, network: DenseNetwork, labels: Sequence[FrameLabels]) -> None:
        """The labels say nothing here that the first steps do not learn."""

    def targets(
        self,
        labels: Sequence[FrameLabels],
        placements: Sequence[Placement],
        config: NetworkConfig,
        decoding: Mapping[str, Any],
    ) -> dict[str, Tensor]:
        """classes: (N, K) 0 or 1. sure: (N,) how much the frame counts, less where a person called it ambiguous."""
        sure = [AMBIGUOUS_WEIGHT if any(a.ambiguous for a in frame.annotations) else 1.0 for frame in labels]
        return {"classes": self._said(labels), "sure": torch.tensor(sure)}

    def loss(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        entropy = F.binary_cross_entropy_with_logits(_pooled(outputs), targets["classes"], reduction="none").sum(1)
        return entropy * targets["sure"]

    def decode(
        self,
        outputs: Mapping[str, Tensor],
        placements: Sequence[Placement],
        config: NetworkConfig,
        decoding: Mapping[str, Any],
    ) -> list[tuple[Annotation, ...]]:
        return [self._classes(p_K, decoding) for p_K in _pooled(outputs).float().sigmoid().cpu()]

    def num_objects(self, frame: FrameLabels) -> int:
        """Each class of a frame is one thing to say."""
        return len({annotation.class_name for annotation in frame.annotations})

    def measure(
        self, truth: Sequence[FrameLabels], predicted: Sequence[FrameLabels], frame_hw: tuple[int, int]
    ) -> dict[str, float]:
        """macro_f1 and accuracy over the frames that nobody called ambiguous; num_ambiguous says how many were left out."""
        clear = [not any(annotation.ambiguous for annotation in frame.annotations) for frame in truth]
        said = self._said([frame for frame, is_clear in zip(predicted, clear, strict=True) if is_clear])
        true = self._said([frame for frame, is_clear in zip(truth, clear, strict=True) if is_clear])
        num_ambiguous = float(len(clear) - sum(clear))
        if not len(true):
            return {"macro_f1": 1.0, "accuracy": 1.0, "num_ambiguous": num_ambiguous}
        f1_K = multilabel_f1_score(said, true.int(), len(self.ontology.classes), average="none")
        used = (true.sum(0) + said.sum(0)) > 0
        macro_f1 = f1_K[used].mean() if used.any() else torch.tensor(1.0)
        accuracy = (said == true).all(1).float().mean()
        return {"macro_f1": float(macro_f1), "accuracy": float(accuracy), "num_ambiguous": num_ambiguous}

    def actions(self, truth: FrameLabels, predicted: FrameLabels, frame_hw: tuple[int, int]) -> Actions:
        """A wrong class in place of a right one is adjusted; others are added or deleted. Ambiguous frames cost nothing."""
        if any(annotation.ambiguous for annotation in truth.annotations):
            return Actions(confirm=self.num_objects(truth))
        true, said = ({annotation.class_name for annotation in frame.annotations} for frame in (truth, predicted))
        missing, wrong = len(true - said), len(said - true)
        swapped = min(missing, wrong)
        return Actions(draw=missing - swapped, delete=wrong - swapped, adjust=swapped, confirm=len(true & said))

    def _said(self, labels: Sequence[FrameLabels]) -> Tensor:
        said = torch.zeros(len(labels), len(self.ontology.classes))
        for row, frame in enumerate(labels):
            for annotation in frame.annotations:
                said[row, self._class_index[annotation.class_name]] = 1
        return said

    def _classes(self, p_K: Tensor, decoding: Mapping[str, Any]) -> tuple[Annotation, ...]:
        chosen = [int(p_K.argmax())] if decoding["one_class"] else torch.nonzero(p_K >= decoding["min_score"])[:, 0].tolist()
        names = self.ontology.classes
        return tuple(Annotation(class_name=names[k], level="image", score=float(p_K[k]), provenance="model") for k in chosen)


def _pooled(outputs: Mapping[str, Tensor]) -> Tensor:
    """(N, K) logits: each class's votes, weighted by where it looks."""
    attention = outputs["weight"].flatten(2).softmax(2)
    return (outputs["vote"].flatten(2) * attention).sum(2)
