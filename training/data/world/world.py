"""The world that `demo` shows: a few cameras and one scene from above, in the layout that `add` takes."""

from importlib.util import find_spec
from pathlib import Path

from training.data.world.scene import draw_scene
from training.data.world.video import CAMERAS, draw_video

__all__ = ["draw_world"]


def draw_world(directory: str | Path, *, seed: int = 0, num_frames: int = 72, scene_size: int = 512) -> list[Path]:
    """Draw one video per camera and a town of `scene_size` pixels squared; return their paths, labels lie beside them.

    The town is a GeoTIFF where rasterio is installed and a PNG elsewhere.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    videos = [directory / f"{camera}.mp4" for camera in CAMERAS]
    for number, path in enumerate(videos):
        draw_video(path, seed=seed + number, num_frames=num_frames, camera=path.stem)
    town = directory / ("town.tif" if find_spec("rasterio") else "town.png")
    draw_scene(town, seed=seed, width=scene_size, height=scene_size)
    return [*videos, town]
