"""Why a task of Ray has no answer, on one line."""

from ray.exceptions import RayError, RayTaskError

from training.errors import named

__all__ = ["why_lost"]


def why_lost(error: RayError) -> str:
    """What the task raised; else which process or object went, and Ray's first words about it."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        return named(error.cause)
    first, *_ = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {first}"
