"""What a labels file says more than once: the same thing again, or two things about one object."""

from dataclasses import dataclass, field
from typing import Any

from training.data.annotations import Annotation
from training.data.ontology import TaskName
from training.errors import BadAnnotation

__all__ = ["Repeats"]


@dataclass(slots=True)
class Repeats:
    """Remembers what was said of every frame."""

    _said: set[tuple[Any, ...]] = field(default_factory=set)
    _tracks: set[tuple[TaskName, int, str]] = field(default_factory=set)

    def is_new(self, task: TaskName, frame_index: int, annotation: Annotation) -> bool:
        """False for an annotation that says exactly what an earlier one of the same frame says.

        Raises:
            BadAnnotation: the object of a track was labelled otherwise on the same frame.
        """
        a = annotation
        key = (task, frame_index, a.level, a.class_name, a.bbox_xyxy, a.rle_counts, a.keypoints_xyv, a.track_id)
        if key in self._said:
            return False
        self._said.add(key)
        if a.track_id is not None:
            track = (task, frame_index, a.track_id)
            if track in self._tracks:
                raise BadAnnotation(f"a second {task} label of track {a.track_id} on frame {frame_index}, needed one")
            self._tracks.add(track)
        return True
