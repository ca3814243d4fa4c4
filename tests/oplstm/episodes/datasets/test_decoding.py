"""Decoding: what Pillow and torchvision make of a file, and what is refused."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from oplstm.episodes.datasets.class_lists import class_list
from oplstm.episodes.datasets.decoding import Decoder, decoder_version, oversized_images_refused
from oplstm.errors import RequestError

from .made_up import image


def file_of(picture, form, **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def decode(name, data):
    return Decoder(class_list(name))(data, "a/1.png")


def refused(name, data, words):
    with pytest.raises(RequestError, match=rf"^a/1\.png .*{words}") as caught:
        decode(name, data)
    assert "0x" not in str(caught.value)


def triangle(pixels, size):
    """Antialiased bilinear resizing from its definition, in float64: weights fall linearly over one output pixel."""
    for axis, wanted in enumerate(size):
        given = pixels.shape[axis]
        scale = given / wanted
        centres = (np.arange(wanted) + 0.5) * scale
        weights = np.maximum(0, 1 - np.abs(np.arange(given) + 0.5 - centres[:, None]) / max(scale, 1))
        weights /= weights.sum(1, keepdims=True)
        pixels = np.moveaxis(np.tensordot(weights, pixels, (1, axis)), 0, axis)
    return pixels


@pytest.mark.slow
def test_omniglot_is_grey_with_a_white_background_and_upright():
    drawing = np.ones((105, 105), dtype=bool)
    drawing[10:40, 20:30] = False
    pixels = decode("omniglot", file_of(Image.fromarray(drawing), "PNG"))
    assert (pixels.shape, pixels.dtype) == ((28, 28, 1), np.uint8)
    assert (pixels[20:] == 255).all() and pixels[6, 6, 0] == 0
    np.testing.assert_allclose(pixels[..., 0], triangle(drawing * 255.0, (28, 28)), atol=1.01)


def test_colour_images_are_resized_whatever_their_shape():
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (120, 200, 3), dtype=np.uint8))
    pixels = decode("miniimagenet", file_of(picture, "PNG"))
    assert pixels.shape == (84, 84, 3)
    np.testing.assert_allclose(pixels, triangle(np.asarray(picture, float), (84, 84)), atol=1.01)


def test_images_of_the_stored_size_are_taken_as_they_are():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (84, 84, 3), dtype=np.uint8))
    np.testing.assert_array_equal(decode("miniimagenet", file_of(picture, "PNG")), np.asarray(picture))


@pytest.mark.parametrize(("mode", "form"), [("L", "JPEG"), ("CMYK", "JPEG"), ("P", "PNG"), ("1", "PNG")])
def test_other_pixel_formats_are_converted(mode, form):
    picture = Image.new("RGB", (84, 84), (255, 255, 255)).convert(mode)
    np.testing.assert_array_equal(decode("miniimagenet", file_of(picture, form)), 255)


@pytest.mark.parametrize(("name", "mode"), [("omniglot", "RGBA"), ("omniglot", "LA"), ("miniimagenet", "RGBA")])
def test_transparency_is_refused(name, mode):
    size = (105, 105) if name == "omniglot" else (84, 84)
    refused(name, file_of(Image.new(mode, size), "PNG"), f"has the pixel format {mode}")


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("omniglot", (28, 28), "has 28 x 28 pixels, wanted 105 a side"),
        ("omniglot", (105, 104), "has 105 x 104 pixels, wanted 105 a side"),
        ("miniimagenet", (84, 31), "has 84 x 31 pixels, wanted 32 to 8192 a side"),
        ("miniimagenet", (8193, 84), "has 8193 x 84 pixels, wanted 32 to 8192 a side"),
    ],
)
def test_a_wrong_size_is_refused(name, size, words):
    refused(name, file_of(Image.new("L", size), "PNG"), words)


@pytest.mark.parametrize("name", ["omniglot", "cub"])
@pytest.mark.parametrize("kept", [0, 10, 0.3, 0.7, 0.9])
def test_a_truncated_image_is_refused(name, kept):
    data = image(name, "x")
    cut = data[: kept if isinstance(kept, int) else int(len(data) * kept)]
    refused(name, cut, "is truncated, corrupt or no (PNG|JPEG) image")


def test_a_corrupt_image_is_refused():
    data = bytearray(image("omniglot", "x"))
    data[len(data) // 2] ^= 255
    refused("omniglot", bytes(data), "is truncated, corrupt or no PNG image")
    refused("omniglot", b"<html>not found</html>", r"no PNG image \(not recognised\)")


def test_only_the_dataset_s_formats_are_decoded():
    for form in ("GIF", "BMP", "TIFF", "JPEG", "WEBP"):
        refused("omniglot", file_of(Image.new("L", (105, 105)), form), "no PNG image")
    refused("cub", file_of(Image.new("L", (84, 84)), "PNG"), "no JPEG image")


@pytest.mark.parametrize("side", [10_000, 12_000, 60_000])
def test_an_image_of_absurd_size_is_refused_undecoded(side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    with warnings.catch_warnings(), oversized_images_refused():
        refused("miniimagenet", data, "wanted 32 to 8192|decompression bomb")


def test_the_decoder_names_its_versions():
    assert decoder_version().startswith("Pillow ")
    assert "jpeg" in decoder_version() and "torchvision " in decoder_version()
