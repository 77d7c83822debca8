"""A real Ray of two CPUs, and stores of tiny videos that a smoke recipe fits in a second."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import requests
from ray.job_submission import JobSubmissionClient

from cluster.session import ray_session

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, FRAMES = 96, 64, 16
ROUNDS = pytest.StashKey[list[dict[str, Any]]]()


@pytest.fixture(scope="session", autouse=True)
def _workers_find_this_python() -> None:
    """Jobs and workers start `python` from PATH."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="module")
def two_cpus() -> Iterator[None]:
    with ray_session(num_cpus=2):
        yield


@pytest.fixture(scope="session")
def processes_below() -> Callable[[int, str], list[int]]:
    return find_processes_below


@pytest.fixture(scope="session")
def jobs_at() -> Callable[[str], "Jobs"]:
    return Jobs


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Callable[..., None]:
    """Tell what came of a round of the chaos test; the last lines of the run add it up."""
    rounds = pytestconfig.stash.setdefault(ROUNDS, [])
    return lambda **said: rounds.append(said)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rounds = config.stash.get(ROUNDS, [])
    if not rounds:
        return
    terminalreporter.section("chaos")
    for verb, victim, store in sorted({(one["verb"], one["victim"], one["store"]) for one in rounds}):
        these = [one for one in rounds if (one["verb"], one["victim"], one["store"]) == (verb, victim, store)]
        hit, left = sum(one["hit"] for one in these), sum(one["left"] > 0 for one in these)
        terminalreporter.write_line(
            f"{verb:5} on {store:9} without its {victim:15} {len(these):3} rounds, {hit:3} hit, {left:3} left work to do"
        )
    seconds = sorted(one["seconds"] for one in rounds)
    terminalreporter.write_line(f"seconds a round: {seconds[len(seconds) // 2]:.1f} half of them, {seconds[-1]:.1f} at most")


@pytest.fixture(scope="session")
def draw() -> Callable[..., Path]:
    return draw_labelled_video


class Jobs:
    """Submits verbs as `ray job submit` does it; made when the cluster is ready for them."""

    def __init__(self, address: str) -> None:
        self.address = address
        client = JobSubmissionClient(address)
        for _ in range(30):
            try:  # submit_job has no timeout: asked before the agent that starts jobs is up, it may never answer
                if client._do_request("POST", "/api/jobs/", json_data={"entrypoint": "true"}, timeout=10).ok:
                    return
            except requests.Timeout:
                continue
            time.sleep(1)
        pytest.fail("no agent in half a minute")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """The running `ray job submit`; what the job says is in its output."""
        ray = [Path(sys.executable).parent / "ray", "job", "submit", "--address", self.address, "--working-dir", "."]
        return subprocess.Popen(
            [*ray, "--", "python", *words],
            cwd=ROOT,
            env={**os.environ, "RAY_AUTH_MODE": "token"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str) -> str:
        """What a job said that succeeded."""
        with self.start(*words) as submitted:
            said, _ = submitted.communicate()
        assert submitted.returncode == 0, said
        return said


def draw_labelled_video(folder: Path, name: str, *, labelled: tuple[int, ...] = (0, 4, 8, 12, 15), seed: int = 0) -> Path:
    """NAME.mp4, a bright square that walks over noise, and NAME.coco.json, where it is on the `labelled` frames."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    background = rng.integers(0, 90, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    boxes = []
    with av.open(str(folder / f"{name}.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for index in range(FRAMES):
            x, y = 4 + 4 * index, 10 + index
            picture = background.copy()
            picture[y : y + 20, x : x + 24] = (250, 240, 40)
            boxes.append([x, y, 24, 20])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    images = [
        {"id": n, "file_name": f"{index:06d}.jpg", "frame_index": index, "width": WIDTH, "height": HEIGHT}
        for n, index in enumerate(labelled)
    ]
    annotations = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": boxes[index], "area": 480, "iscrowd": 0}
        for n, index in enumerate(labelled)
    ]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}
    (folder / f"{name}.coco.json").write_text(json.dumps(document))
    return folder / f"{name}.mp4"


def find_processes_below(pid: int, title: str) -> list[int]:
    """Descendants of a process with `title` in their command line; Ray writes there which actor a process is."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdecimal() and title.encode() in (process / "cmdline").read_bytes() and is_below(process.name, pid):
                found.append(int(process.name))
        except OSError:  # it ended meanwhile
            continue
    return found


def is_below(child: str, pid: int) -> bool:
    parent = Path("/proc", child, "stat").read_text().rpartition(")")[2].split()[1]
    return parent == str(pid) or (parent not in ("0", "1") and is_below(parent, pid))
