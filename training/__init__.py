"""What a micro-model is, and how one is fitted, judged and stored; plain torch, no Ray.

`from training import fit` is all a notebook needs; torch is imported when the first of these names is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.data.annotations import Annotation, FrameLabels
    from training.models.backbones import Backbone
    from training.notebook import FittedModel, fit, load

__all__ = ["Annotation", "Backbone", "FittedModel", "FrameLabels", "fit", "load"]

_HOMES = {
    "Annotation": "training.data.annotations",
    "Backbone": "training.models.backbones",
    "FittedModel": "training.notebook",
    "FrameLabels": "training.data.annotations",
    "fit": "training.notebook",
    "load": "training.notebook",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
