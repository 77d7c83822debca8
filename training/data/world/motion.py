"""How things of the synthetic world move: smoothly, never in a straight line, some out of the picture and back."""

from dataclasses import dataclass

import numpy as np

from training.data.world.canvas import Pose

__all__ = ["Motion", "Wave", "draw_motion"]


@dataclass(frozen=True, slots=True)
class Wave:
    """A sine: amplitude in its own unit, period in frames, phase in turns."""

    amplitude: float
    period: float
    phase: float

    def at(self, frame_index: int) -> float:
        return float(self.amplitude * np.sin(2 * np.pi * (frame_index / self.period + self.phase)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """A middle position and waves around it: two for each axis, one for the turn, one for the size."""

    x: float
    y: float
    length: float
    angle: float
    x_waves: tuple[Wave, Wave]
    y_waves: tuple[Wave, Wave]
    turn: Wave
    growth: Wave

    def pose(self, frame_index: int) -> Pose:
        return Pose(
            x=self.x + sum(wave.at(frame_index) for wave in self.x_waves),
            y=self.y + sum(wave.at(frame_index) for wave in self.y_waves),
            length=self.length * (1 + self.growth.at(frame_index)),
            angle=self.angle + self.turn.at(frame_index),
        )


def draw_motion(rng: np.random.Generator, *, width: int, height: int, length: float, home: float, leaves: bool) -> Motion:
    """A motion around the height `home` (0..1) of a (width, height) picture; `leaves`: out past a side and back."""
    wide = 0.75 if leaves else float(rng.uniform(0.15, 0.3))
    return Motion(
        x=width * float(rng.uniform(0.45, 0.55) if leaves else rng.uniform(0.3, 0.7)),
        y=height * home,
        length=length,
        angle=float(rng.uniform(-np.pi, np.pi)),
        x_waves=(_wave(rng, wide * width, (56, 76)), _wave(rng, 0.03 * width, (19, 27))),
        y_waves=(_wave(rng, 0.13 * height, (44, 60)), _wave(rng, 0.04 * height, (19, 27))),
        turn=_wave(rng, float(rng.uniform(0.3, 0.6)), (40, 70)),
        growth=_wave(rng, 0.15, (35, 60)),
    )


def _wave(rng: np.random.Generator, amplitude: float, period: tuple[float, float]) -> Wave:
    return Wave(amplitude, float(rng.uniform(*period)), float(rng.random()))
