import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest


@pytest.fixture
def draw() -> Callable[..., Path]:
    return draw_labelled_video


def draw_labelled_video(folder: Path, name: str, *, box: tuple[float, float, float, float] = (10, 10, 20, 16)) -> Path:
    """NAME.mp4 of 8 frames, 96x64, and NAME.coco.json with one box (x, y, width, height) on frames 0 and 4."""
    folder.mkdir(parents=True, exist_ok=True)
    with av.open(str(folder / f"{name}.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(8):
            picture = np.full((64, 96, 3), 30 * index, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    frames = (0, 4)
    document = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "frame_index": n, "width": 96, "height": 64} for n in frames],
        "annotations": [{"id": n + 1, "image_id": n, "category_id": 1, "bbox": list(box), "iscrowd": 0} for n in frames],
        "categories": [{"id": 1, "name": "square"}],
    }
    (folder / f"{name}.coco.json").write_text(json.dumps(document))
    return folder / f"{name}.mp4"
