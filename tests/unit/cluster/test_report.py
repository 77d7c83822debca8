"""The report is one file that needs nothing else, and says what the result says."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cluster.report import Picture, Step, write_report
from training.data.annotations import Annotation
from training.errors import BadInput


def _result(**changes: Any) -> dict[str, Any]:
    actions = {"draw": 3, "delete": 1, "adjust": 4, "confirm": 96}
    generation = {
        "generation": 1,
        "frames_touched": 5,
        "frames_scored": 55,
        "precision": 0.987,
        "recall": 0.961,
        "tight_recall": 0.843,
    }
    more = {"mean_iou": 0.812, "e_count": 0.771, "e_time": 0.54, "actions": actions, "fit_seconds": 21.25, "label_seconds": 1.5}
    baseline = {"frames_touched": 5, "precision": 0.7, "recall": 0.66, "tight_recall": 0.417, "e_count": 0.4}
    shard = {"shard_id": "pond", "task": "detection", "frames": 60, "objects": 104}
    entry = {**shard, "generations": [generation | more], "baselines": {"interpolation": baseline}}
    return {"shards": [entry], "failures": [], "medians": {}, "versions": {"torch": "9.9.9"}, "seed": 7, **changes}


def _picture(**changes: Any) -> Picture:
    box = Annotation(class_name="boat", bbox_xyxy=(4.0, 5.0, 24.0, 20.0))
    found = Annotation(class_name="boat", bbox_xyxy=(5.0, 5.0, 25.0, 21.0), provenance="model", score=0.91)
    image_HW3 = np.full((48, 64, 3), (200, 30, 30), dtype=np.uint8)
    return Picture(**{"image_HW3": image_HW3, "truth": (box,), "machine": (found,), "caption": "frame 12", **changes})


def _page(tmp_path: Path, result: dict[str, Any], pictures: Any = None, **more: Any) -> str:
    write_report(tmp_path / "report.html", result, pictures or {}, **more)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


class _Balance(HTMLParser):
    """Collects tags left open and every address that the page would fetch."""

    void = frozenset({"br", "hr", "image", "img", "input", "link", "meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset") and tag != "a"]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing(tmp_path: Path) -> None:
    page = _page(tmp_path, _result(), {"pond": [_picture()]}, steps=[Step(name="fit", seconds=3)], exchange=("POST", "200"))
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    assert parser.fetched
    assert all(address.startswith("data:image/jpeg;base64,") for address in parser.fetched)
    assert "<script" not in page
    assert "url(" not in page


def test_the_picture_inside_is_the_frame(tmp_path: Path) -> None:
    page = _page(tmp_path, _result(), {"pond": [_picture()]})
    (jpeg,) = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    with Image.open(io.BytesIO(base64.b64decode(jpeg))) as picture:
        assert picture.size == (64, 48)
        assert np.abs(np.asarray(picture).astype(int) - (200, 30, 30)).max() < 12


def test_truth_is_drawn_thin_and_the_machine_thick(tmp_path: Path) -> None:
    page = _page(tmp_path, _result(), {"pond": [_picture()]})
    widths = dict(re.findall(r'<rect class="(truth|machine c0)" stroke-width="([\d.]+)"', page))
    assert float(widths["machine c0"]) > 2 * float(widths["truth"])
    assert 'x="4.0" y="5.0" width="20.0" height="15.0"><title>boat</title>' in page
    assert 'x="5.0" y="5.0" width="20.0" height="16.0"><title>boat 0.91</title>' in page


def test_every_number_of_the_result_is_in_the_tables(tmp_path: Path) -> None:
    page = _page(tmp_path, _result())
    for text in ("0.987", "0.961", "0.843", "0.812", "0.771 (≤ 0.92)", "0.540", "21.2", "1.5", "0.417", "0.660", "96"):
        assert f"<td>{text}</td>" in page, text
    assert "torch 9.9.9" in page
    assert "seed 7" in page


def test_numbers_that_a_task_adds_become_columns(tmp_path: Path) -> None:
    result = _result()
    result["shards"][0]["generations"] = [{"generation": 1, "frames_touched": 5, "frames_scored": 55, "macro_f1": 0.913}]
    page = _page(tmp_path, result)
    assert "<th>macro f1</th>" in page
    assert "<td>0.913</td>" in page


def test_a_shard_that_failed_is_named_with_its_error(tmp_path: Path) -> None:
    page = _page(tmp_path, _result(failures=[{"shard_id": "harbour", "error": "BadVideo: harbour.mp4: 0 bytes"}]))
    assert "<td>harbour</td>" in page
    assert "BadVideo: harbour.mp4: 0 bytes" in page
    assert "What failed" not in _page(tmp_path, _result())


def test_a_result_in_which_every_shard_failed_is_still_a_report(tmp_path: Path) -> None:
    page = _page(tmp_path, _result(shards=[], failures=[{"shard_id": "pond", "error": "FitDiverged: pond"}]))
    assert "FitDiverged: pond" in page


def test_a_name_cannot_break_out_of_its_place(tmp_path: Path) -> None:
    result = _result()
    result["shards"][0]["shard_id"] = "<script>x</script>"
    evil = Annotation(class_name='"><script>y', bbox_xyxy=(1.0, 1.0, 2.0, 2.0))
    page = _page(tmp_path, result, {"<script>x</script>": [_picture(truth=(evil,), caption='"><script>z')]})
    assert "<script" not in page


def test_a_frame_that_a_person_labelled_is_marked(tmp_path: Path) -> None:
    assert "labelled by hand</em>" in _page(tmp_path, _result(), {"pond": [_picture(by_hand=True)]})
    assert "labelled by hand</em>" not in _page(tmp_path, _result(), {"pond": [_picture()]})


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"report\.html"):
        write_report(tmp_path / "missing" / "report.html", _result(), {})
