from training.data.annotations import Annotation
from training.models.matching import match_boxes


def box(x1: float, y1: float, x2: float, y2: float, *, name: str = "a", score: float | None = None, ambiguous: bool = False):
    return Annotation(class_name=name, bbox_xyxy=(x1, y1, x2, y2), score=score, ambiguous=ambiguous)


def test_the_surer_of_two_predictions_takes_the_truth_and_the_other_is_spurious() -> None:
    match = match_boxes([box(0, 0, 10, 10)], [box(0, 0, 10, 9, score=0.4), box(0, 0, 10, 8, score=0.9)], min_iou=0.5)
    assert [(t, p) for t, p, _ in match.pairs] == [(0, 1)]
    assert abs(match.pairs[0][2] - 0.8) < 1e-6
    assert match.spurious == [0]
    assert match.missed == []


def test_another_class_does_not_match_unless_asked() -> None:
    truth, predicted = [box(0, 0, 10, 10, name="a")], [box(0, 0, 10, 10, name="b")]
    assert match_boxes(truth, predicted, min_iou=0.5).pairs == []
    assert len(match_boxes(truth, predicted, min_iou=0.5, same_class=False).pairs) == 1


def test_an_ambiguous_truth_is_nobodys_miss_and_its_prediction_nobodys_false_positive() -> None:
    match = match_boxes([box(0, 0, 10, 10, ambiguous=True)], [box(0, 0, 10, 10, score=0.9)], min_iou=0.5)
    assert (match.pairs, match.missed, match.spurious) == ([], [], [])


def test_nothing_matches_nothing() -> None:
    match = match_boxes([], [], min_iou=0.5)
    assert (match.pairs, match.missed, match.spurious) == ([], [], [])
