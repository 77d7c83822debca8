"""What a person must still do to a frame's labels so that every one of them is right, and the seconds that takes."""

from dataclasses import asdict, dataclass

__all__ = ["BOX_SECONDS", "CLASS_SECONDS", "MASK_SECONDS", "Actions", "Seconds", "keypoint_seconds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """Counts of objects: draw a missing one, delete a wrong one, adjust an inexact one, confirm a right one."""

    draw: int = 0
    delete: int = 0
    adjust: int = 0
    confirm: int = 0

    def __add__(self, other: "Actions") -> "Actions":
        return Actions(
            draw=self.draw + other.draw,
            delete=self.delete + other.delete,
            adjust=self.adjust + other.adjust,
            confirm=self.confirm + other.confirm,
        )

    @property
    def due(self) -> int:
        """Corrections: everything but looking."""
        return self.draw + self.delete + self.adjust

    def to_json(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Seconds of a person per action; docs/efficiency.md has the sources.

    look: at one frame with its proposals, whatever is on it.
    """

    draw: float
    adjust: float
    delete: float
    look: float


# Drawing: 7 s a box by extreme clicking (Papadopoulos et al., 2017); an inexact box is drawn again. Looking: 1.7 s, the
# order of verifying one box (Papadopoulos et al., 2016); a deletion is taken to cost one more such look.
BOX_SECONDS = Seconds(draw=7.0, adjust=7.0, delete=1.7, look=1.7)
# 79 s a polygon mask (COCO; Lin et al., 2014); moving part of an outline is taken to be half of that.
MASK_SECONDS = Seconds(draw=79.0, adjust=39.5, delete=1.7, look=1.7)
# 1 s a class of a picture (Bearman et al., What's the Point, 2016); changing it is one more such decision.
CLASS_SECONDS = Seconds(draw=1.0, adjust=1.0, delete=1.0, look=1.0)


def keypoint_seconds(num_points: int) -> Seconds:
    """A box, and 2.4 s for the first point and 0.9 s for each further one (Bearman et al., 2016)."""
    points = 2.4 + 0.9 * (num_points - 1)
    return Seconds(draw=BOX_SECONDS.draw + points, adjust=points, delete=BOX_SECONDS.delete, look=BOX_SECONDS.look)
