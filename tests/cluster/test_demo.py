"""The README's first command, with the recipe that takes seconds: everything from drawing the world to the report."""

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_ends_with_a_report_of_every_shard_and_an_answer_over_http(tmp_path: Path) -> None:
    directory, out = tmp_path / "demo", tmp_path / "out.json"
    command = [sys.executable, "-m", "cluster", "demo", str(directory), "--recipe", "smoke", "--json", str(out)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(f"report: {directory / 'report.html'}")
    assert "answered:" in done.stderr
    result = json.loads(out.read_text())
    assert {entry["shard_id"] for entry in result["shards"]} == {"crossing", "meadow", "pond", "town"}
    assert result["failures"] == []
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 3 * 8 + 1
    asked, answered = (html.unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", page, flags=re.DOTALL))
    assert asked.startswith("POST /v1/models/crossing/predict")
    status, _, answer = answered.partition("\n")
    assert status == "200"
    assert json.loads(answer)["model"]["shard_id"] == "crossing"
