"""Label Studio's brush: runs of an RGBA picture in a string of bits, of which a mask is the alpha.

Bits, the most significant first: 32 number of values, 5 bits of a value less one, four times 4 bits of a length less one. Then
until all values are there: 1 bit whether one value is repeated, 2 which length follows, the length less one, the value or values.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.errors import BadAnnotation

__all__ = ["pack", "unpack"]

CHANNELS: Final = 4
OPAQUE: Final = 128  # the edge of a stroke is drawn half transparent
_VALUE_BITS: Final = 8
_LENGTH_BITS: Final = (3, 4, 8, 16)
_LONGEST: Final = 1 << _LENGTH_BITS[-1]


def pack(mask_HW: NDArray[np.bool_]) -> list[int]:
    """Bytes 0..255 of a mask: white and opaque where it is set, else black and transparent."""
    flat = mask_HW.ravel()
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]) + 1, len(flat)) * CHANNELS
    header = [f"{len(flat) * CHANNELS:032b}", f"{_VALUE_BITS - 1:05b}", *(f"{bits - 1:04b}" for bits in _LENGTH_BITS)]
    bits = "".join([*header, *_runs(np.diff(ends, prepend=0).tolist(), set_first=bool(flat[0]))])
    num_bytes = (len(bits) + 7) // 8
    return list(int(bits.ljust(num_bytes * 8, "0"), 2).to_bytes(num_bytes))


def unpack(rle: Sequence[int], width: int, height: int) -> NDArray[np.bool_]:
    """The mask, (H, W); memory grows with what it is made of and with the picture, never with what the runs claim.

    Raises:
        BadAnnotation: not bytes, cut off, or not of a picture of this size.
    """
    if not all(0 <= one <= 255 for one in rle):
        raise BadAnnotation("a brush of numbers that are not bytes")
    bits = _Bits(np.unpackbits(np.array(rle, np.uint8)))
    num_values = bits.number(32)
    if num_values != width * height * CHANNELS:
        raise BadAnnotation(f"a brush of {num_values} values, needed {CHANNELS} for each pixel of {width}x{height}")
    value_bits, lengths = bits.number(5) + 1, [bits.number(4) + 1 for _ in _LENGTH_BITS]
    alpha, place = np.zeros(width * height, np.uint8), 0
    while place < num_values:
        repeats = bits.number(1)
        end = min(place + 1 + bits.number(lengths[bits.number(2)]), num_values)
        values = bits.numbers(1 if repeats else end - place, value_bits)
        alpha[place // CHANNELS : end // CHANNELS] = values[0] if repeats else values[CHANNELS - 1 - place % CHANNELS :: CHANNELS]
        place = end
    return alpha.reshape(height, width) >= OPAQUE


def _runs(lengths: Sequence[int], *, set_first: bool) -> Iterator[str]:
    for number, length in enumerate(lengths):
        value = 255 * (set_first ^ number % 2)
        for start in range(0, length, _LONGEST):
            part = min(length - start, _LONGEST)
            which = next(n for n, bits in enumerate(_LENGTH_BITS) if part <= 1 << bits)
            yield f"1{which:02b}{part - 1:0{_LENGTH_BITS[which]}b}{value:0{_VALUE_BITS}b}"


class _Bits:
    """Read from the front. Raises BadAnnotation at the end."""

    def __init__(self, bits: NDArray[np.uint8]) -> None:
        self._bits, self._text, self._place = bits, (bits + ord("0")).tobytes(), 0

    def number(self, num_bits: int) -> int:
        return int(self._text[self._taken(num_bits)], 2)

    def numbers(self, count: int, num_bits: int) -> NDArray[np.uint8]:
        """The low eight bits of each, at most."""
        taken = self._bits[self._taken(count * num_bits)].reshape(count, num_bits)[:, -8:]
        return np.packbits(taken, axis=1)[:, 0] >> np.uint8(8 - taken.shape[1])

    def _taken(self, num_bits: int) -> slice:
        taken = slice(self._place, self._place + num_bits)
        if taken.stop > len(self._bits):
            raise BadAnnotation("a brush that is cut off")
        self._place = taken.stop
        return taken
