"""How much a shard's frames are enlarged or shrunk before they are learned from: decided by its labels' sizes."""

from collections.abc import Sequence

import numpy as np

from training.learning.recipes import Recipe

__all__ = ["input_scale"]

SMALLER_OBJECTS = 25.0  # percentile of the labelled sides that must stay visible


def input_scale(object_sides: Sequence[float], *, width: int, height: int, recipe: Recipe) -> float:
    """Input pixels per frame pixel.

    Args:
        object_sides: frame pixels, one per labelled object; empty when size does not matter.
        width, height: frame pixels.
    """
    lowest, highest = (side / max(width, height) for side in (recipe.min_long_side, recipe.max_long_side))
    wanted = recipe.object_pixels / float(np.percentile(object_sides, SMALLER_OBJECTS)) if len(object_sides) else lowest
    return float(np.clip(wanted, lowest, highest))
