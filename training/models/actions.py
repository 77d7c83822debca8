"""What a person must still do to a frame's labels so that every one of them is right."""

from dataclasses import asdict, dataclass

__all__ = ["Actions"]


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
