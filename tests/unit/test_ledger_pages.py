"""The snippets of the pages about the ledger and about efficiency run, one after the other, in one folder."""

import re
from pathlib import Path

import pytest

from training.loop.timings import read_timings

DOCS = Path(__file__).resolve().parents[2] / "docs"


def snippets(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def run(code: str) -> None:
    exec(compile(code, "snippet", "exec"), {})


@pytest.fixture
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_in_a_folder")
def test_the_pages_about_the_ledger_run(capsys: pytest.CaptureFixture[str]) -> None:
    append, read, efficiency = snippets("ledger.md", "python")
    run(append)
    assert capsys.readouterr().out == "2 recorded, 0 known already\n"
    run(read)
    table = capsys.readouterr().out
    assert re.search(r"seconds_sum.*4\.2", table, flags=re.DOTALL)
    assert "harbour" in table
    run(efficiency)
    (spent, e_count), (e_time,) = (map(float, line.split()) for line in capsys.readouterr().out.splitlines())
    assert spent == pytest.approx(4.2 + 1.7)
    assert e_count == pytest.approx(1 - (1 + 9) / 600)
    assert e_time == pytest.approx(1 - (5.9 + 8 * 7 + 1.7 + 590 * 1.7) / 4200)


@pytest.mark.usefixtures("_in_a_folder")
def test_the_example_of_timings_is_read(tmp_path: Path) -> None:
    (tmp_path / "seconds.json").write_text(snippets("efficiency.md", "json")[0])
    assert read_timings(tmp_path / "seconds.json")["segmentation"] == {"draw": 41.0}
    run(snippets("ledger.md", "python")[0])
    run(snippets("efficiency.md", "python")[0])
