import numpy as np
import pytest
from pycocotools import mask as coco_mask

from training.data.rle import cut, decode, encode, mask_box, paste, polygons_to_rle, rle_to_string
from training.data.shards import Window
from training.errors import BadAnnotation

WHOLE = Window(column=0, row=0, width=50, height=37)
MASKS = {
    "noise": np.random.default_rng(0).random((37, 50)) > 0.5,
    "blob": np.hypot(*np.meshgrid(np.arange(50) - 22, np.arange(37) - 18)) < 13,
    "full": np.ones((37, 50), dtype=bool),
    "empty": np.zeros((37, 50), dtype=bool),
    "corner": np.pad(np.ones((1, 1), dtype=bool), ((36, 0), (49, 0))),
}


@pytest.fixture(params=sorted(MASKS))
def mask_HW(request: pytest.FixtureRequest) -> np.ndarray:
    return MASKS[request.param]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pycocotools sets an array's shape in place
def test_masks_survive_and_agree_with_pycocotools(mask_HW: np.ndarray) -> None:
    counts = encode(mask_HW)
    assert np.array_equal(decode(counts, 37, 50), mask_HW)
    assert np.array_equal(coco_mask.decode({"size": [37, 50], "counts": counts.encode()}).astype(bool), mask_HW)


def test_all_spellings_of_run_lengths_are_one(mask_HW: np.ndarray) -> None:
    counts = encode(mask_HW)
    flat = np.concatenate([[0], mask_HW.T.ravel().astype(int), [0]])
    edges = np.flatnonzero(np.diff(flat))
    runs = np.diff(np.concatenate([[0], edges, [37 * 50] if not mask_HW[-1, -1] else []])).astype(int).tolist()
    assert rle_to_string({"size": [37, 50], "counts": runs}, 37, 50) == counts
    assert rle_to_string({"size": [37, 50], "counts": counts}, 37, 50) == counts


@pytest.mark.parametrize("window", [Window(column=0, row=0, width=50, height=37), Window(column=13, row=5, width=20, height=32)])
def test_a_cut_is_the_window_and_pasting_puts_it_back(mask_HW: np.ndarray, window: Window) -> None:
    inside = np.zeros_like(mask_HW)
    rows, columns = slice(window.row, window.row + window.height), slice(window.column, window.column + window.width)
    inside[rows, columns] = mask_HW[rows, columns]
    part = cut(encode(mask_HW), 37, 50, window)
    assert np.array_equal(decode(part, window.height, window.width), mask_HW[rows, columns])
    assert paste(part, window, 37, 50) == encode(inside)


def test_a_polygon_cut_by_a_window_is_the_cut_of_the_whole_polygon() -> None:
    polygon = [[5.0, 4.0, 45.0, 8.0, 30.0, 33.0, 8.0, 25.0]]
    whole = decode(polygons_to_rle(polygon, WHOLE), 37, 50)
    assert 500 < whole.sum() < 1000
    for column in (0, 20, 40):
        window = Window(column=column, row=10, width=10, height=20)
        part = decode(polygons_to_rle(polygon, window), 20, 10)
        assert np.array_equal(part, whole[10:30, column : column + 10])


def test_the_box_of_a_mask() -> None:
    assert mask_box(encode(MASKS["corner"]), 37, 50) == (49.0, 36.0, 50.0, 37.0)
    assert mask_box(encode(MASKS["empty"]), 37, 50) is None


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [37, 51], "counts": [37 * 50]},
        {"counts": [37 * 50]},
        {"size": [37, 50], "counts": [10, 10]},
        {"size": [37, 50], "counts": [-5, 37 * 50 + 5]},
        {"size": [37, 50], "counts": [1.5, 37 * 50 - 1.5]},
        {"size": [37, 50], "counts": []},
        {"size": [37, 50], "counts": ""},
        {"size": [37, 50], "counts": "näh"},
        {"size": [37, 50], "counts": "oooooooooooooooooooooo0"},
        {"size": [37, 50], "counts": encode(MASKS["blob"])[:-3]},
        {"size": [37, 50], "counts": encode(MASKS["blob"]) + "o"},
        {"size": [37, 50]},
    ],
)
def test_impossible_runs_are_refused(segmentation: dict) -> None:
    with pytest.raises(BadAnnotation, match="mask"):
        rle_to_string(segmentation, 37, 50)


@pytest.mark.parametrize(
    "polygon", [[1, 1, 2, 2], [1, 1, 5, 1, 5, 5, 9], [1, 1, 5, 1, float("nan"), 5], [], "abc", [1, 1, None, 1, 5, 5]]
)
def test_impossible_polygons_are_refused(polygon: object) -> None:
    with pytest.raises(BadAnnotation, match="polygon"):
        polygons_to_rle([polygon], WHOLE)
