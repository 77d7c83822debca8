"""Classification: which classes a whole frame shows.

The head is solved, not descended: ridge regression from what is unusual about a frame, seen in a grid of cells by a
frozen trunk, to its classes. Five labels determine no more than that. Where every labelled frame has exactly one class,
the strongest is the answer; else each class is its own yes or no.

N pictures, K classes, D features of a picture.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.models.actions import CLASS_SECONDS, Actions
from training.models.calibration import sigmoid_temperature, softmax_temperature, thresholds
from training.models.geometry import Placement
from training.models.grid import GridNetwork
from training.models.network import NetworkConfig
from training.models.ridge import solve_ridge

__all__ = ["Classification"]

YES = 0.5
AMBIGUOUS_WEIGHT = 0.5


class Classification:
    """Classes of whole frames."""

    output_stride = 16
    cells = 8
    num_others = 100
    seconds = CLASS_SECONDS

    def __init__(self, ontology: Ontology) -> None:
        self.ontology = ontology
        self._class_index = {name: index for index, name in enumerate(ontology.classes)}

    def branches(self) -> dict[str, int]:
        return {"logit": len(self.ontology.classes)}

    def object_sizes(self, labels: Sequence[FrameLabels]) -> list[float]:
        return []

    def learned_limits(self, labels: Sequence[FrameLabels], sizes_hw: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """Whether a frame shows exactly one class."""
        return {"one_class": self._one_class(labels), "min_score": YES}

    def solve(self, network: GridNetwork, features_ND: Tensor, labels: Sequence[FrameLabels], others_MD: Tensor) -> float:
        """Logits whose softmax, or sigmoid, is calibrated on each labelled frame fitted without it."""
        said_NK = self._said(labels).to(features_ND)
        sure = [AMBIGUOUS_WEIGHT if any(a.ambiguous for a in frame.annotations) else 1.0 for frame in labels]
        ridge = solve_ridge(features_ND, said_NK, torch.tensor(sure).to(features_ND), others_MD=others_MD)
        left_out_NK, said_NK = ridge.left_out_NK.cpu(), said_NK.cpu()
        if self._one_class(labels):
            level_K, temperature = torch.zeros(said_NK.shape[1]), softmax_temperature(left_out_NK, said_NK)
        else:
            level_K = thresholds(left_out_NK, said_NK)
            temperature = sigmoid_temperature(left_out_NK - level_K, said_NK)
        network.linear.weight.data = ridge.weight_KD / temperature
        network.linear.bias.data = (ridge.bias_K - level_K.to(features_ND)) / temperature
        return float((left_out_NK - said_NK).square().mean())

    def decode(
        self,
        outputs: Mapping[str, Tensor],
        placements: Sequence[Placement],
        config: NetworkConfig,
        decoding: Mapping[str, Any],
    ) -> list[tuple[Annotation, ...]]:
        logits_NK = outputs["logit"].float().cpu()
        p_NK = logits_NK.softmax(1) if decoding["one_class"] else logits_NK.sigmoid()
        return [self._classes(p_K, decoding) for p_K in p_NK]

    def num_objects(self, frame: FrameLabels) -> int:
        """Each class of a frame is one thing to say."""
        return len({annotation.class_name for annotation in frame.annotations})

    def measure(
        self, truth: Sequence[FrameLabels], predicted: Sequence[FrameLabels], sizes_hw: Sequence[tuple[int, int]]
    ) -> dict[str, float]:
        """macro_f1 and accuracy over the frames that nobody called ambiguous; num_ambiguous says how many were left out."""
        from torchmetrics.functional.classification import multilabel_f1_score  # two seconds that a worker rarely needs

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

    def _one_class(self, labels: Sequence[FrameLabels]) -> bool:
        return all(self.num_objects(frame) == 1 for frame in labels)

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
