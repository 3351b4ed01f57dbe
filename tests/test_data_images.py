"""Image files: what is read, and how bad ones are refused."""

import io
import random
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from lenetjax.data import load_image, resize

FORMATS = ["PNG", "JPEG", "BMP", "GIF", "WEBP"]


def dark_cross():
    """A 32 x 32 gray image: a dark cross on light paper."""
    gray = np.full((32, 32), 255, np.uint8)
    gray[14:18, 6:26] = 0
    gray[6:26, 14:18] = 0
    return Image.fromarray(gray)


CROSS = np.asarray(dark_cross()) < 128


@pytest.fixture
def save(tmp_path):
    """Saves an image, or bytes, and returns the path."""

    def save(image, name="image.png", **options):
        path = tmp_path / name
        if isinstance(image, bytes):
            path.write_bytes(image)
        else:
            image.save(path, **options)
        return path

    return save


def encoded(form, mode="L"):
    file = io.BytesIO()
    dark_cross().convert(mode).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_read(save, form):
    """Dark ink on light paper becomes ink 1 on paper 0, in every format."""
    image = load_image(save(dark_cross(), "file-without-ending", format=form))

    assert image.shape == (32, 32, 1)
    assert image.dtype == np.float32
    assert image.min() >= 0
    assert image.max() <= 1
    np.testing.assert_allclose(image[..., 0], CROSS, atol=0.1)


def test_light_ink_on_dark_paper_is_left(save):
    """An image that is already ink 1 on paper 0 is not inverted."""
    light = Image.fromarray(255 - np.asarray(dark_cross()))
    np.testing.assert_array_equal(load_image(save(light))[..., 0], CROSS)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_each_mode_gives_the_same_gray(save, mode):
    """Black-and-white, palette, color, transparency and 16 bits all become gray."""
    image = dark_cross()
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    assert image.mode == mode

    np.testing.assert_array_equal(load_image(save(image))[..., 0], CROSS)


def test_16_bits_are_scaled_not_clipped(save):
    """A middle gray of 16 bits is a middle gray."""
    gray = np.full((32, 32), 0, np.uint16)
    gray[8:24, 8:24] = 32768
    image = load_image(save(Image.fromarray(gray)))
    np.testing.assert_allclose(image[16, 16, 0], 0.5, atol=0.003)


def test_behind_transparency_is_white(save):
    """Black ink on transparent paper is read as black ink on white."""
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[..., 3] = CROSS * 255
    np.testing.assert_array_equal(
        load_image(save(Image.fromarray(pixels)))[..., 0], CROSS
    )


def test_a_transparent_palette_color_is_white(save):
    """A GIF's transparent color counts as paper too."""
    image = Image.fromarray(CROSS.astype(np.uint8)).convert("P")
    image.putpalette([200, 0, 0, 0, 0, 0])
    path = save(image, "image.gif", transparency=0)
    np.testing.assert_array_equal(load_image(path)[..., 0], CROSS)


@pytest.mark.parametrize("paper", [0, 255])
def test_the_shorter_side_is_padded_with_paper(save, paper):
    """A wide image keeps its aspect, in the middle, with paper above and below."""
    gray = np.full((20, 40), paper, np.uint8)
    gray[5:15, 10:30] = 255 - paper

    image = load_image(save(Image.fromarray(gray)), image_size=40)[..., 0]

    want = np.zeros((40, 40))
    want[15:25, 10:30] = 1
    np.testing.assert_array_equal(image, want)


def test_shrinking_averages(save):
    """A fine pattern shrinks to its average: no pixels are just left out."""
    gray = np.zeros((320, 320), np.uint8)
    gray[40:280:2, 40:280] = 255
    image = load_image(save(Image.fromarray(gray)))
    np.testing.assert_allclose(image[12:20, 12:20], 0.5, atol=0.05)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (3, 2)])
def test_odd_sizes_are_read(save, size):
    """One pixel and thin strips give the size that was asked for."""
    image = load_image(save(Image.new("L", size, 0)), image_size=28)
    assert image.shape == (28, 28, 1)


@pytest.mark.parametrize("color", [0, 127, 255])
def test_one_color_is_accepted(save, color):
    """An image without ink is an image."""
    image = load_image(save(Image.new("L", (32, 32), color)))
    assert np.ptp(image) == 0
    assert image.max() <= 0.5


def test_a_photo_is_turned_as_its_camera_says(save):
    """The orientation in the EXIF data is applied."""
    gray = np.full((32, 32), 255, np.uint8)
    gray[2:8, 2:8] = 0
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    path = save(Image.fromarray(gray), "photo.png", exif=exif)
    image = load_image(path)
    assert image[27, 27, 0] == 1
    assert image[4, 4, 0] == 0


def test_the_errors_of_the_system_pass_through(tmp_path):
    """A missing file and a folder raise what open() raises."""
    with pytest.raises(FileNotFoundError):
        load_image(tmp_path / "none.png")
    with pytest.raises(OSError, match=tmp_path.name):
        load_image(tmp_path)


def chunk(kind, content):
    checked = kind + content
    return (
        struct.pack(">I", len(content))
        + checked
        + struct.pack(">I", zlib.crc32(checked))
    )


def png(width, height):
    sizes = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    values = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", sizes) + values + chunk(b"IEND", b"")


def with_exif(content):
    """A good PNG with this EXIF data."""
    whole = encoded("PNG")
    return whole[:33] + chunk(b"eXIf", content) + whole[33:]


def test_odd_metadata_is_no_matter(save):
    """EXIF data that Pillow only warns of changes nothing, and nobody is warned."""
    path = save(with_exif(b"II*\0\x08\0\0\0\x05\0"))
    np.testing.assert_array_equal(load_image(path)[..., 0], CROSS)


def tiff():
    file = io.BytesIO()
    dark_cross().save(file, "TIFF")
    return file.getvalue()


BAD = {
    "empty": (b"", "expected a whole PNG, JPEG, BMP, GIF or WEBP image"),
    "text": (b"hello", "expected a whole PNG"),
    "web page": (b"<html></html>", "expected a whole PNG"),
    "other format": (tiff(), "expected a whole PNG"),
    "postscript": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "expected a whole PNG",
    ),
    "cut": (encoded("PNG")[:-30], "damaged"),
    "no chunk of pixels": (
        encoded("PNG").replace(b"IDAT", b"IDAX"),
        "expected a whole",
    ),
    "bad deflate": (encoded("PNG").replace(b"IDATx", b"IDATy"), "damaged"),
    "cut EXIF": (with_exif(b"II*\0\x08\0"), "damaged"),
    "no EXIF": (with_exif(b"junkjunk"), "damaged"),
    "bomb warning": (png(10_000, 10_000), "too large"),
    "bomb error": (png(60_000, 60_000), "too large"),
    "no pixels": (png(0, 5), "damaged|expected a whole"),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_in_one_line(save, content, reason):
    """The message names the file and says why."""
    path = save(content)
    with pytest.raises(ValueError, match=reason) as caught:
        load_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_damage_raises_nothing_but_value_error(save, form, mode):
    """Bytes changed or cut give an image or a ValueError, and no warning."""
    whole = encoded(form, mode)
    rng = random.Random(0)  # noqa: S311
    for trial in range(150):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 5)):
            content[rng.randrange(min(len(content), 400))] = rng.randrange(256)
        if trial % 3 == 0:
            content = content[: rng.randrange(len(content))]
        try:
            image = load_image(save(bytes(content)))
        except ValueError:
            continue
        assert image.shape == (32, 32, 1)
        assert np.isfinite(image).all()


def test_the_callers_warning_filters_stay(save):
    """What the function does to warnings ends with it."""
    before = list(warnings.filters)
    load_image(save(dark_cross()))
    assert warnings.filters == before


@pytest.mark.parametrize("size", [0, -8, 8.0, True, None, "8"])
def test_a_size_that_is_no_positive_int_is_refused(size):
    """The message names the argument and what came."""
    with pytest.raises(ValueError, match="image_size must be a positive int, got"):
        load_image("none.png", image_size=size)
    with pytest.raises(ValueError, match="size must be a positive int, got"):
        resize(np.zeros((1, 8, 8, 1), np.float32), size)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    """Without Pillow the error says what to install."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'Pillow: pip install "lenetjax\[data\]'):
        load_image(tmp_path / "image.png")


def test_resize_interpolates_bilinearly():
    """Doubling a size gives the weights 1/4 and 3/4 between pixel centers."""
    row = np.array([0.0, 1.0], np.float32)
    images = np.broadcast_to(row, (1, 2, 2)).reshape(1, 2, 2, 1)
    got = resize(images, 4)
    np.testing.assert_allclose(got[0, :, :, 0], [[0, 0.25, 0.75, 1]] * 4, atol=1e-6)


def test_resize_treats_each_image_alone():
    """Many images, more than are resized at a time, come out as each would alone."""
    rng = np.random.default_rng(0)
    images = rng.random((1003, 4, 4, 2), np.float32)
    got = resize(images, 6)
    assert isinstance(got, np.ndarray)
    assert got.shape == (1003, 6, 6, 2)
    for index in (0, 999, 1000, 1002):
        alone = resize(images[index : index + 1], 6)[0]
        np.testing.assert_allclose(got[index], alone, atol=1e-6)


def test_resize_to_the_same_size_changes_nothing():
    """The same size gives the same values."""
    images = np.random.default_rng(0).random((3, 8, 8, 1), np.float32)
    np.testing.assert_allclose(resize(images, 8), images, atol=1e-6)


def test_resize_needs_floats_with_four_axes():
    """An image without a batch axis, or of bytes 0 to 255, is refused by its shape."""
    with pytest.raises(ValueError, match=r"got float32 \(8, 8\)"):
        resize(np.zeros((8, 8), np.float32), 4)
    with pytest.raises(ValueError, match=r"got uint8 \(1, 8, 8, 1\)"):
        resize(np.zeros((1, 8, 8, 1), np.uint8), 4)
