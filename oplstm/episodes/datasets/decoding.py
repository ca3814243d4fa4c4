"""From the bytes of an image file to stored pixels: Pillow decodes, torchvision's transforms.v2 resizes."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, features

from oplstm.episodes.datasets.class_lists import ClassList
from oplstm.episodes.datasets.torchvision_adapter import torchvision
from oplstm.errors import RequestError

RESIZE = "bilinear, antialiased, to the stored height and width whatever the aspect ratio"
MODES = {True: {"1", "L", "P", "RGB"}, False: {"1", "L", "P", "RGB", "CMYK"}}
"""Pillow's modes that are converted to grey (True) and to colour; none has an alpha channel."""
OWN_MODES = MODES[False] | {"LA", "PA", "RGBA"}
"""Of a user's own pictures."""


def decoder_version() -> str:
    """What decodes and resizes, with versions: pixels from another decoder may differ in their last bit."""
    turbo = features.version("libjpeg_turbo")
    jpeg = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
    resizer = str(torchvision().__version__).partition("+")[0]
    return f"Pillow {PIL.__version__} ({jpeg}), torchvision {resizer}"


class Decoder:
    """Decodes images of one dataset; may be called from several threads at once.

    The resizing is done on Pillow's images, so in whole numbers: the pixels do not depend on the processor.
    Images that have the stored size already are taken as they are.

    Args:
        listed: The dataset.
    """

    def __init__(self, listed: ClassList) -> None:
        self._listed = listed
        self._v2: Any = torchvision("transforms.v2")

    def __call__(self, data: bytes, name: str) -> NDArray[np.uint8]:
        """The pixels ``(height, width, channels)`` of an image file.

        Args:
            data: Its bytes.
            name: Its name in messages.

        Raises:
            RequestError: It is corrupt, of another format or of a size that this dataset does not have.
        """
        listed = self._listed
        low, high = listed.sides
        try:
            with Image.open(io.BytesIO(data), formats=listed.formats) as image:
                width, height = image.size
                if not (low <= width <= high and low <= height <= high):
                    raise RequestError(f"{name} has {width} x {height} pixels, wanted {_span(low, high)} a side")
                if image.mode not in (OWN_MODES if listed.own else MODES[listed.grey]):
                    raise RequestError(f"{name} has the pixel format {image.mode}, which {listed.title} has not")
                pixels = (_upright_on_white(image) if listed.own else image).convert("L" if listed.grey else "RGB")
        except RequestError:
            raise
        except Exception as error:  # decoders raise almost anything over corrupt data
            what = "not recognised" if isinstance(error, UnidentifiedImageError) else str(error)
            formats = " or ".join(listed.formats)
            raise RequestError(f"{name} is truncated, corrupt or no {formats} image ({what})") from None
        bilinear = self._v2.InterpolationMode.BILINEAR
        resized = self._v2.functional.resize(pixels, list(listed.size), interpolation=bilinear, antialias=True)
        return np.asarray(resized, dtype=np.uint8).reshape(*listed.size, listed.channels)


def _upright_on_white(image: Image.Image) -> Image.Image:
    """A picture as a viewer shows it."""
    turned = ImageOps.exif_transpose(image)
    if "A" not in turned.mode and "transparency" not in turned.info:
        return turned
    return Image.alpha_composite(Image.new("RGBA", turned.size, "white"), turned.convert("RGBA"))


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


@contextmanager
def oversized_images_refused() -> Iterator[None]:
    """Have Pillow refuse images of suspiciously many pixels, about which it only warns otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
