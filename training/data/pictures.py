"""Single pictures: files and bytes of any common format to upright RGB, and RGB to JPEG."""

import io
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from training.errors import BadPicture, WrongShape, one_line

__all__ = ["MAX_PIXELS", "PICTURE_SUFFIXES", "decode_picture", "encode_jpeg", "read_picture_file"]

MAX_PIXELS: Final = 100_000_000
PICTURE_SUFFIXES: Final = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")


def read_picture_file(path: str | Path, *, name: str) -> bytes:
    """The bytes of a picture's file, as `decode_picture` takes them.

    name: what to call the picture in errors.
    Raises:
        BadPicture: nothing is there, or it cannot be read; says what the system says.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadPicture(f"{name}: {error.strerror}, needed a picture that can be read") from error


def decode_picture(data: bytes, *, name: str, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The picture in `data` as (H, W, 3) uint8 RGB, turned upright by its EXIF orientation.

    Grey is repeated in all three channels, 16-bit grey keeps its upper 8 bits, CMYK and palettes are converted,
    what is transparent is laid on black, and of an animation the first picture is taken.
    Args:
        name: what to call the picture in errors.
        max_pixels: refused before decoding when the header says more.
    Raises:
        BadPicture: empty, not a picture, truncated, larger than max_pixels, or of numbers without a known range (float).
    """
    if not data:
        raise BadPicture(f"{name}: 0 bytes, needed a picture")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            if picture.width * picture.height > max_pixels:
                raise BadPicture(f"{name}: {picture.width}x{picture.height}, needed at most {max_pixels} pixels")
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
            return np.array(_rgb(picture, name), np.uint8)
    except BadPicture:
        raise
    # Pillow's decoders raise whatever they trip over on damaged bytes
    except Exception as error:
        reason = "not a picture" if isinstance(error, UnidentifiedImageError) else one_line(error)
        raise BadPicture(f"{name}: {len(data)} bytes, {reason}; needed a whole picture in {', '.join(_FORMATS)}") from error


def encode_jpeg(image_HW3: NDArray[np.uint8], quality: int = 85) -> bytes:
    """JPEG bytes of a uint8 RGB picture.

    Raises:
        WrongShape: not uint8 (H, W, 3).
    """
    if image_HW3.ndim != 3 or image_HW3.shape[2] != 3 or image_HW3.dtype != np.uint8:
        raise WrongShape(f"{image_HW3.dtype} {image_HW3.shape}, needed uint8 (H, W, 3)")
    out = io.BytesIO()
    Image.fromarray(image_HW3).save(out, "JPEG", quality=quality)
    return out.getvalue()


def _rgb(picture: Image.Image, name: str) -> Image.Image:
    if picture.mode == "F":
        raise BadPicture(f"{name}: floating-point pixels, needed 8 or 16 bits a channel")
    if picture.mode.startswith("I"):
        return Image.fromarray(_upper_8_bits(np.asarray(picture), name)).convert("RGB")
    if picture.mode in _TRANSPARENT or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")  # which would copy it


def _upper_8_bits(grey_HW: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    grey = grey_HW.astype(np.int64)
    if grey.size and (grey.min() < 0 or grey.max() > 65535):
        raise BadPicture(f"{name}: grey values {grey.min()} to {grey.max()}, needed 0 to 65535")
    return (grey >> 8).astype(np.uint8)
