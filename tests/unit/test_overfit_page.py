"""The page about overfitting says what its program prints, and its notebook lines run."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the program printed, and the figure it drew."""
    out = tmp_path_factory.mktemp("figure") / "overfit.svg"
    program = [sys.executable, str(DOCS / "overfit.py"), "--out", str(out)]
    return subprocess.run(program, capture_output=True, text=True, check=True).stdout, out


def test_many_small_models_beat_one_of_the_same_size_and_are_useless_elsewhere(drawn: tuple[str, Path]) -> None:
    local, large, best, elsewhere = (float(number) for number in re.findall(r"error (?:at best )?([\d.]+)", drawn[0]))
    assert local < 0.05
    assert 5 * local < best <= large
    assert 100 * local < elsewhere


def test_the_table_has_the_numbers_that_are_printed(drawn: tuple[str, Path]) -> None:
    printed = [float(number) for number in re.findall(r"error (?:at best )?([\d.]+)", drawn[0])]
    written = [float(number) for number in re.findall(r"\| ([\d.]+) \|$", (DOCS / "overfit.md").read_text(), flags=re.MULTILINE)]
    assert written == [pytest.approx(value, rel=0.03) for value in printed]


def test_the_figure_in_the_repository_is_the_one_that_is_drawn(drawn: tuple[str, Path]) -> None:
    new, kept = (ElementTree.parse(path).getroot() for path in (drawn[1], DOCS / "overfit.svg"))
    for ours, theirs in zip(new.iter(), kept.iter(), strict=True):
        assert (ours.tag, ours.text) == (theirs.tag, theirs.text)
        a, b = (np.array(re.findall(r"-?[\d.]+", one.get("points", "")), float) for one in (ours, theirs))
        np.testing.assert_allclose(a, b, atol=0.11)  # the last digit may differ between machines


def test_the_lines_for_a_notebook_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "overfit.md").read_text(), flags=re.DOTALL)
    rng = np.random.default_rng(0)
    known: dict[str, Any] = {
        name: rng.integers(0, 255, (72, 120, 3), dtype=np.uint8) for name in ("first_frame", "second_frame", "third_frame")
    }
    exec(code, known)
    assert known["again"](known["third_frame"]) == known["found"]
