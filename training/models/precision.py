"""How exactly trunks of micro-models that answer compute; imports no torch, so that a verb can name it at once."""

from enum import StrEnum

__all__ = ["Precision"]


class Precision(StrEnum):
    """auto: bfloat16 on a CPU with instructions for it (AVX512-BF16 or AMX), float32 on any other device."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
