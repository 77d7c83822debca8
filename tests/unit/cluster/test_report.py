"""The report is one file that needs nothing else, and says what the result says."""

import base64
import io
import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.report import Picture, Step, write_report
from cluster.report_drawing import MAX_SIDE
from cluster.report_outline import outline
from training.data.annotations import Annotation
from training.data.ontology import Ontology
from training.data.rle import encode, paste
from training.data.shards import Window
from training.data.sources import probe
from training.errors import BadInput, BadPicture


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
    page = _page(
        tmp_path, _result(), {("pond", "detection"): [_picture()]}, steps=[Step(name="fit", seconds=3)], exchange=("POST", "200")
    )
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    assert parser.fetched
    assert all(address.startswith("data:image/jpeg;base64,") for address in parser.fetched)
    assert "<script" not in page
    assert "url(" not in page


def test_the_picture_inside_is_the_frame(tmp_path: Path) -> None:
    page = _page(tmp_path, _result(), {("pond", "detection"): [_picture()]})
    (jpeg,) = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    with Image.open(io.BytesIO(base64.b64decode(jpeg))) as picture:
        assert picture.size == (64, 48)
        assert np.abs(np.asarray(picture).astype(int) - (200, 30, 30)).max() < 12


def test_truth_is_drawn_thin_and_the_machine_thick(tmp_path: Path) -> None:
    page = _page(tmp_path, _result(), {("pond", "detection"): [_picture()]})
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
    assert "<th>macro F1</th>" in page
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
    page = _page(tmp_path, result, {("<script>x</script>", "detection"): [_picture(truth=(evil,), caption='"><script>z')]})
    assert "<script" not in page


def test_a_frame_that_a_person_labelled_is_marked(tmp_path: Path) -> None:
    assert "labelled by hand</em>" in _page(tmp_path, _result(), {("pond", "detection"): [_picture(by_hand=True)]})
    assert "labelled by hand</em>" not in _page(tmp_path, _result(), {("pond", "detection"): [_picture()]})


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"report\.html"):
        write_report(tmp_path / "missing" / "report.html", _result(), {})


MOUSE = Ontology(
    name="mouse", task="keypoints", classes=("mouse",), keypoints=("snout", "ear", "tail"), skeleton=((0, 1), (0, 2))
)


def _of_task(task: str, number: int = 1, **numbers: float) -> dict[str, Any]:
    generation = {"generation": 1, "frames_touched": 5, "frames_scored": 55, "e_count": 0.5, "fit_seconds": 10.0, **numbers}
    return {"shard_id": f"s{number}", "task": task, "frames": 60, "objects": 60, "generations": [generation], "baselines": {}}


def _filled(path: str, width: int, height: int) -> np.ndarray:
    """Pixels that lie inside the loops of an SVG path, by the even-odd rule."""
    inside = np.zeros((height, width), dtype=bool)
    x = y = 0
    first = (0, 0)
    for letter, numbers in re.findall(r"([Mhvz])(-?[\d ]*)", path):
        if letter == "M":
            x, y = (int(number) for number in numbers.split())
            first = (x, y)
        elif letter == "h":
            x += int(numbers)
        else:
            end = first[1] if letter == "z" else y + int(numbers)
            inside[min(y, end) : max(y, end), x:] ^= True
            y = end
    return inside


@pytest.mark.parametrize("seed", range(3))
def test_the_outline_of_any_mask_holds_exactly_its_pixels(seed: int) -> None:
    mask_HW = np.random.default_rng(seed).random((17, 23)) < 0.5  # parts, holes, and pixels that touch at corners
    assert np.array_equal(_filled(outline(mask_HW), 23, 17), mask_HW)


def test_an_outline_is_as_short_as_can_be() -> None:
    mask_HW = np.zeros((20, 30), dtype=bool)
    mask_HW[5:15, 4:20] = True
    assert outline(mask_HW) == "M4 5h16v10h-16z"
    mask_HW[8:10, 8:10] = False
    assert outline(mask_HW).count("z") == 2, "the hole is a loop of its own"
    assert outline(np.zeros((4, 4), dtype=bool)) == ""


def test_masks_are_tinted_by_the_machine_and_only_outlined_in_truth(tmp_path: Path) -> None:
    mask_HW = np.zeros((48, 64), dtype=bool)
    mask_HW[10:20, 5:25] = True
    truth = Annotation(class_name="road", bbox_xyxy=(5, 10, 25, 20), rle_counts=encode(mask_HW))
    found = Annotation(class_name="road", bbox_xyxy=(5, 11, 25, 21), rle_counts=encode(np.roll(mask_HW, 1, 0)), score=0.8)
    picture = _picture(truth=(truth,), machine=(found,))
    page = _page(tmp_path, _result(shards=[_of_task("segmentation", miou=0.5)]), {("s1", "segmentation"): [picture]})
    assert '<path class="mask truth" stroke-width="0.5" d="M5 10h20v10h-20z"><title>road</title></path>' in page
    assert '<path class="mask machine c0" stroke-width="1.4" d="M5 11h20v10h-20z"><title>road 0.80</title></path>' in page
    assert "<rect" not in page


def test_points_are_dots_with_names_and_bones_and_a_missing_one_is_left_out(tmp_path: Path) -> None:
    box = (1.0, 2.0, 30.0, 40.0)
    found = Annotation(class_name="mouse", bbox_xyxy=box, keypoints_xyv=(3, 4, 2, 10, 11, 1, 0, 0, 0), score=0.9)
    picture = _picture(truth=(), machine=(found,), ontology=MOUSE)
    page = _page(tmp_path, _result(shards=[_of_task("keypoints", pck=0.9)]), {("s1", "keypoints"): [picture]})
    assert '<path class="dot machine c0" stroke-width="5.0" d="M3.0 4.0h0"><title>snout</title></path>' in page
    assert '<path class="dot machine c0 hidden" stroke-width="5.0" d="M10.0 11.0h0"><title>ear</title></path>' in page
    assert re.findall(r'class="bone [^>]* d="([^"]+)"', page) == ["M3.0 4.0L10.0 11.0"]
    assert "<title>tail" not in page
    assert '<rect class="machine c0"' in page


def test_classes_of_a_frame_are_written_under_it(tmp_path: Path) -> None:
    truth = Annotation(class_name="night", level="image")
    picture = _picture(truth=(truth,), machine=(Annotation(class_name="day", level="image", score=0.62),))
    page = _page(tmp_path, _result(shards=[_of_task("classification", macro_f1=0.5)]), {("s1", "classification"): [picture]})
    assert '<span class="chip c0">day 0.62</span><span class="chip truth">truth: night</span>' in page


def test_every_task_is_judged_by_its_own_numbers_with_medians(tmp_path: Path) -> None:
    shards = [
        _of_task("classification", 1, macro_f1=0.91, accuracy=0.93),
        _of_task("segmentation", 2, miou=0.61, j=0.72, f=0.53),
        _of_task("segmentation", 3, miou=0.81, j=0.74, f=0.57),
        _of_task("keypoints", 4, pck=0.97, recall=0.95, precision=0.94, rmse_px=2.345),
    ]
    page = _page(tmp_path, _result(shards=shards))
    tables = dict(re.findall(r"<h3>(\w+)</h3>(.*?)</table>", page, flags=re.DOTALL))
    assert {task: re.findall(r'<th class="text">([^<]+)', table) for task, table in tables.items()} == {
        "classification": ["macro F1", "accuracy"],
        "segmentation": ["mIoU", "J", "F"],
        "keypoints": ["PCK@0.1", "recall", "precision"],
    }
    assert "<th>RMSE, px</th>" in tables["keypoints"]
    assert "<td>2.3</td>" in tables["keypoints"]
    (median,) = re.findall(r'<tr class="median">.*?</tr>', page, flags=re.DOTALL)
    assert re.findall(r"<b>([^<]+)</b>", median) == ["0.71", "0.73", "0.55"]
    tiles = dict(re.findall(r'<div class="tile"><b>([^<]+)</b><span>([^<]+)', page))
    assert tiles["0.71"] == "mIoU, segmentation"
    assert tiles["0.97"] == "PCK@0.1, keypoints"
    assert "<dt>J, F, mIoU</dt>" in page
    assert "macro F1" not in _page(tmp_path, _result()), "words of other tasks are not explained"


def test_one_shard_with_two_tasks_shows_the_pictures_of_each(tmp_path: Path) -> None:
    shards = [_of_task("detection", recall=0.9), _of_task("classification", 1, macro_f1=0.9)]
    pictures = {("s1", "detection"): [_picture(caption="first")], ("s1", "classification"): [_picture(caption="second")]}
    page = _page(tmp_path, _result(shards=shards), pictures)
    assert page.index("<span>first</span>") < page.index('id="shard-2"') < page.index("<span>second</span>")


def _several(*e_counts: float) -> dict[str, Any]:
    """One shard of as many generations, five more frames touched in each."""
    result = _result()
    (entry,) = result["shards"]
    (first,) = entry["generations"]
    touched = [5 + 6 * number for number in range(len(e_counts))]
    entry["generations"] = [
        {**first, "generation": number + 1, "frames_touched": frames, "e_count": e_count, "e_count_ceiling": 0.9}
        for number, (frames, e_count) in enumerate(zip(touched, e_counts, strict=True))
    ]
    baseline = entry["baselines"]["interpolation"]
    entry["baselines_by_generation"] = [{"interpolation": {**baseline, "frames_touched": frames}} for frames in touched]
    return result


def test_several_generations_are_a_curve_beside_their_neighbour(tmp_path: Path) -> None:
    page = _page(tmp_path, _several(0.5, 0.75))
    curve = re.search(r'<svg class="curve".*?</svg>', page, flags=re.DOTALL)
    assert curve is not None
    lines = re.findall(r'<path d="M([^"]+L[^"]+)" stroke="([^"]+)" stroke-width="2" stroke-dasharray="5 4"/>', curve[0])
    assert [colour for _, colour in lines] == ["var(--model)", "var(--other)"]
    (start, end) = (tuple(map(float, place.split())) for place in lines[0][0].split("L"))
    assert (start, end) == ((40.0, 110.0), (380.0, 62.0)), "0.5 and 0.75 of an axis from 206 up to 14"
    for name in ("e_count, micro-model", "e_count, interpolation", "recall, micro-model", ">11<"):
        assert name in curve[0]


def test_one_generation_is_no_curve_and_a_ceiling_that_is_known_is_shown(tmp_path: Path) -> None:
    assert '<svg class="curve"' not in _page(tmp_path, _several(0.5))
    assert "(≤ 0.90)" in _page(tmp_path, _several(0.5))


def _embedded(page: str) -> Image.Image:
    (jpeg,) = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    return Image.open(io.BytesIO(base64.b64decode(jpeg)))


def test_a_picture_wider_than_any_jpeg_is_shrunk_and_its_boxes_are_where_they_were(tmp_path: Path) -> None:
    box = Annotation(class_name="boat", bbox_xyxy=(69_000.0, 5.0, 69_900.0, 20.0))
    wide = _picture(image_HW3=np.full((40, 70_000, 3), 90, np.uint8), truth=(box,), machine=())
    page = _page(tmp_path, _result(), {("pond", "detection"): [wide]})
    with _embedded(page) as picture:
        assert picture.size == (MAX_SIDE, 2)
    assert 'viewBox="0 0 70000 40"' in page
    assert 'x="69000.0" y="5.0" width="900.0" height="15.0"' in page


def test_a_mask_of_a_frame_that_is_shown_smaller_is_drawn_in_the_frames_own_pixels(tmp_path: Path) -> None:
    """As an array of the whole frame it would be 3.8 GB."""
    width, height = 64_000, 60_000
    mask = paste(encode(np.ones((3, 4), dtype=bool)), Window(column=60_000, row=50_000, width=4, height=3), height, width)
    found = Annotation(class_name="boat", bbox_xyxy=(60_000, 50_000, 60_004, 50_003), rle_counts=mask, score=0.9)
    picture = _picture(truth=(), machine=(found,), frame_wh=(width, height))
    page = _page(tmp_path, _result(), {("pond", "detection"): [picture]})
    assert 'viewBox="0 0 64000 60000"' in page
    assert 'd="M60000 50000h4v3h-4z"' in page


def test_a_name_that_is_not_utf8_is_written_escaped(tmp_path: Path) -> None:
    page = _page(tmp_path, _result(failures=[{"shard_id": "b", "error": "BadVideo: b\udcff.mp4: gone"}]))
    assert r"BadVideo: b\udcff.mp4: gone" in page


def _simulated(tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    """`simulate` of one video whose course is over: its micro-model is not there any more."""
    draw(tmp_path / "data", "one")
    (entry,) = _result()["shards"]
    entry = {**entry, "shard_id": "one", "generations": [{**entry["generations"][0], "live": True}]}

    def course(store: Any, sources: Any, **options: Any) -> dict[str, Any]:
        store.add_shard(probe(sources[0].path, shard_id="one"))
        return _result(shards=[entry], labels=options["labels"])

    monkeypatch.setattr("cluster.session.ray_session", lambda num_cpus: nullcontext())
    monkeypatch.setattr("cluster.resources.num_nodes", lambda: 1)
    monkeypatch.setattr("cluster.resources.cluster_workers", lambda: 1)
    monkeypatch.setattr("cluster.simulate.simulate", course)
    return CliRunner().invoke(app, ["simulate", str(tmp_path / "data"), "--weights", "none", *words])


def test_a_report_that_cannot_be_written_loses_no_numbers(
    tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--report", str(tmp_path / "nowhere" / "page.html"), "--json", str(tmp_path / "out.json")]
    done = _simulated(tmp_path, draw, monkeypatch, *words)
    assert done.exit_code == 2
    assert "BadInput: " in done.stderr
    assert "page.html: cannot write the report" in done.stderr
    assert "0.987" in done.stdout
    assert json.loads((tmp_path / "out.json").read_text())["shards"][0]["shard_id"] == "one"


def test_numbers_that_cannot_be_written_lose_no_report(
    tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--report", str(tmp_path / "page.html"), "--json", str(tmp_path / "nowhere" / "out.json")]
    done = _simulated(tmp_path, draw, monkeypatch, *words)
    assert done.exit_code == 2
    assert "out.json: cannot write the results" in done.stderr
    assert "0.987" in (tmp_path / "page.html").read_text()


def test_what_a_report_has_no_pictures_of_is_said_in_it(
    tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(*_: Any) -> Any:
        raise BadPicture("one.mp4: torn")

    monkeypatch.setattr("cluster.demo_pictures.read_coco", torn)
    done = _simulated(tmp_path, draw, monkeypatch, "--report", str(tmp_path / "page.html"))
    assert done.exit_code == 0, done.output
    said = "one detection: no pictures, BadPicture: one.mp4: torn"
    assert said in done.stderr
    assert f'<p class="lead">{said}</p>' in (tmp_path / "page.html").read_text()
