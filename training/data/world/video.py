"""Draws a video of moving things, and its ground truth in COCO beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from training.data.world.canvas import Canvas, Thing
from training.data.world.ground import draw_ground, look_at
from training.data.world.looks import Colour, Look
from training.data.world.motion import Motion, Wave, draw_motion
from training.data.world.truth import Truth, write_truth

__all__ = ["CAMERAS", "Camera", "draw_frames", "draw_video"]

_FPS = 12
_ENCODING = {"crf": "18", "preset": "veryfast", "x264-params": "mbtree=0"}  # mbtree gives other bytes each time
_MARGIN = 48  # pixels of ground beyond each side of the picture: how far a camera can pan


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One fixed place in the world: its ground, its light, and what moves there.

    looks: every look with the number of things that have it; None as class_name makes a look-alike.
    light: red, green and blue gain.  swing: how much the light changes with time, as a share.
    """

    ground: tuple[Colour, ...]
    cells: tuple[int, ...]
    looks: tuple[tuple[Look, int], ...]
    length: float
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)
    swing: float = 0.08


def draw_video(
    path: str | Path, *, seed: int, num_frames: int = 72, width: int = 320, height: int = 192, camera: str = "pond"
) -> dict[str, Any]:
    """Write `path` (H.264) and NAME.coco.json beside it; return the COCO document.

    width, height: pixels, even. The same arguments draw the same pixels and the same labels.
    """
    path = Path(path)
    truth = Truth(path.name, description=f"synthetic video, camera {camera}, seed {seed}")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_FPS, options=_ENCODING)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_count = 1
        for index, (picture_HW3, canvas) in enumerate(
            draw_frames(seed=seed, num_frames=num_frames, width=width, height=height, camera=CAMERAS[camera])
        ):
            frame = av.VideoFrame.from_ndarray(picture_HW3, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, _FPS)
            container.mux(stream.encode(frame))
            truth.add_frame(index, width, height, canvas.labels())
        container.mux(stream.encode())
    return write_truth(path, truth)


def draw_frames(
    *, seed: int, num_frames: int, width: int, height: int, camera: Camera
) -> Iterator[tuple[NDArray[np.uint8], Canvas]]:
    """Yield each picture, uint8 (height, width, 3), with the canvas that knows what is where in it."""
    rng = np.random.default_rng([seed, num_frames, width, height])
    ground_HW3 = draw_ground(rng, height + 2 * _MARGIN + 1, width + 2 * _MARGIN + 1, camera.ground, camera.cells)
    actors = _actors(rng, camera, width, height)
    pan_x, pan_y = (Wave(0.9 * _MARGIN, float(rng.uniform(80, 130)), float(rng.random())) for _ in range(2))
    brightness = Wave(camera.swing, float(rng.uniform(50, 90)), float(rng.random()))
    for index in range(num_frames):
        left, top = pan_x.at(index), pan_y.at(index)
        canvas = Canvas(look_at(ground_HW3, _MARGIN + left, _MARGIN + top, height, width))
        for number, (look, motion) in enumerate(actors):
            canvas.paint(Thing(number=number, look=look, pose=motion.pose(index)))
        light = np.asarray(camera.light) * (1 + brightness.at(index))
        noisy = canvas.picture_HW3 * light + rng.normal(0, 3, (height, width, 1))
        yield np.clip(noisy, 0, 255).astype(np.uint8), canvas


def _actors(rng: np.random.Generator, camera: Camera, width: int, height: int) -> list[tuple[Look, Motion]]:
    """Who moves how; the first thing of a camera leaves the picture and comes back. Look-alikes lie lowest."""
    looks = [look for look, count in camera.looks for _ in range(count)]
    homes = rng.permutation(np.linspace(0.2, 0.8, len(looks)))
    lengths = camera.length * rng.uniform(0.85, 1.15, len(looks))
    motions = [
        draw_motion(rng, width=width, height=height, length=float(length), home=float(home), leaves=number == 0)
        for number, (home, length) in enumerate(zip(homes, lengths))
    ]
    return sorted(zip(looks, motions), key=lambda actor: actor[0].class_name is not None)


def _both(named: Look, *, pattern: str, colours: tuple[Colour, Colour]) -> Look:
    """The look-alike of a look: the same outline in other clothes."""
    return Look(class_name=None, outline=named.outline, pattern=pattern, colours=colours, aspect=named.aspect)


_BOAT = Look(class_name="boat", outline="hull", pattern="stripes", colours=((205, 60, 45), (245, 240, 230)), aspect=0.45)
_BEETLE = Look(class_name="beetle", outline="beetle", pattern="spots", colours=((200, 40, 35), (25, 20, 25)), aspect=0.75)
_FLOWER = Look(class_name="flower", outline="flower", pattern="rings", colours=((240, 190, 40), (150, 70, 20)))
_TAXI = Look(class_name="taxi", outline="pill", pattern="cabin", colours=((240, 190, 30), (40, 45, 60)), aspect=0.5)
_BUS = Look(class_name="bus", outline="box", pattern="stripes", colours=((40, 90, 190), (200, 225, 245)), aspect=0.42)

CAMERAS: dict[str, Camera] = {
    "crossing": Camera(
        ground=((70, 70, 74), (104, 102, 100), (136, 132, 124)),
        cells=(4, 12, 60),
        looks=((_TAXI, 2), (_BUS, 1), (_both(_TAXI, pattern="checks", colours=((205, 200, 195), (90, 60, 60))), 2)),
        length=52,
        light=(0.92, 0.95, 1.05),
    ),
    "meadow": Camera(
        ground=((52, 88, 36), (92, 130, 52), (150, 160, 84)),
        cells=(5, 18, 70),
        looks=((_BEETLE, 2), (_FLOWER, 1), (_both(_BEETLE, pattern="lengthwise", colours=((70, 60, 110), (200, 180, 120))), 2)),
        length=46,
        light=(1.06, 1.0, 0.88),
        swing=0.12,
    ),
    "pond": Camera(
        ground=((30, 70, 96), (58, 110, 136), (110, 160, 172)),
        cells=(6, 24, 90),
        looks=((_BOAT, 2), (_both(_BOAT, pattern="checks", colours=((90, 80, 70), (225, 215, 190))), 2)),
        length=58,
    ),
}
