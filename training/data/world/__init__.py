"""A small synthetic world with exact ground truth: moving things over a panning ground, and a town seen from above.

It is what `demo` shows and what tests fit on: no download, no licence, every label known to the pixel.
"""

from training.data.world.scene import draw_scene
from training.data.world.video import draw_video
from training.data.world.world import draw_world

__all__ = ["draw_scene", "draw_video", "draw_world"]
