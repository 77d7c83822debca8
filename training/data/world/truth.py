"""The ground truth of a drawn picture or video, gathered frame by frame and written as COCO."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from training.data.world.canvas import Thing

__all__ = ["Truth", "write_truth"]


class Truth:
    """COCO in the making; boxes become xywh in pixels, classes get their numbers in alphabetical order at the end."""

    def __init__(self, file_name: str, *, description: str) -> None:
        self.file_name = file_name
        self.description = description
        self.images: list[dict[str, Any]] = []
        self.objects: list[dict[str, Any]] = []

    def add_frame(
        self, frame_index: int, width: int, height: int, labels: Iterable[tuple[Thing, tuple[int, int, int, int], int]]
    ) -> None:
        """One frame with what a person would label on it: thing, box xyxy in pixels, visible pixels."""
        image = {"id": frame_index + 1, "file_name": f"{self.file_name}#{frame_index}", "frame_index": frame_index}
        self.images.append({**image, "width": width, "height": height})
        for thing, (x1, y1, x2, y2), area in labels:
            box = [float(x1), float(y1), float(x2 - x1), float(y2 - y1)]
            self.objects.append(
                {
                    "id": len(self.objects) + 1,
                    "image_id": frame_index + 1,
                    "class_name": thing.look.class_name,
                    "bbox": box,
                    "area": float(area),
                    "iscrowd": 0,
                    "track_id": thing.number,
                }
            )

    def document(self) -> dict[str, Any]:
        """The COCO document."""
        numbers = {name: number for number, name in enumerate(sorted({item["class_name"] for item in self.objects}), start=1)}
        return {
            "info": {"description": self.description},
            "images": self.images,
            "annotations": [
                {"category_id": numbers[item["class_name"]], **{key: value for key, value in item.items() if key != "class_name"}}
                for item in self.objects
            ],
            "categories": [{"id": number, "name": name} for name, number in numbers.items()],
        }


def write_truth(path: Path, truth: Truth) -> dict[str, Any]:
    """Write NAME.coco.json beside `path`; return the document."""
    document = truth.document()
    path.with_suffix(".coco.json").write_text(json.dumps(document), encoding="utf-8")
    return document
