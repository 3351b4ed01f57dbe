"""IDX files: what is read, and how every damaged one is refused."""

import gzip
import io
import math
import os
import random
import struct
import tracemalloc
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from lenetjax.data import read_idx

# Type code, the letter of Python's struct for it, and NumPy's native type.
TYPES = [
    (0x08, "B", np.uint8),
    (0x09, "b", np.int8),
    (0x0B, "h", np.int16),
    (0x0C, "i", np.int32),
    (0x0D, "f", np.float32),
    (0x0E, "d", np.float64),
]
IMAGES = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 4) + bytes(range(24))
LABELS = bytes([0, 0, 8, 1]) + struct.pack(">I", 3) + bytes([7, 0, 9])
PAGE = b"<!DOCTYPE html><html><body>403 Forbidden</body></html>"


def header(code, *shape):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


@pytest.fixture
def write(tmp_path):
    """Writes bytes to a file and returns its path."""

    def write(content, name="some-idx"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def refusal(path, kind=None):
    """The message of the ValueError, checked to name the file in one line."""
    with pytest.raises(ValueError, match=r".") as caught:
        read_idx(path, kind)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@given(
    typed=st.sampled_from(TYPES),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    seed=st.integers(0, 2**32),
    zipped=st.booleans(),
)
@settings(max_examples=100)
def test_every_type_and_shape_is_read(typed, shape, seed, zipped, tmp_path_factory):
    """Values written one by one, big-endian, come back in native byte order."""
    code, letter, dtype = typed
    rng = random.Random(seed)  # noqa: S311
    low = 0 if letter == "B" else -100
    values = [rng.randint(low, 100) for _ in range(math.prod(shape))]
    content = header(code, *shape) + struct.pack(f">{len(values)}{letter}", *values)
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(content) if zipped else content)

    array = read_idx(path)

    assert array.dtype == dtype
    assert array.dtype.isnative
    assert array.shape == tuple(shape)
    assert array.ravel().tolist() == values


def test_kinds_read_the_files_of_their_kind(write):
    """Files of images and of labels pass the checks of their kind."""
    images = read_idx(write(IMAGES, "images"), kind="images")
    labels = read_idx(str(write(LABELS, "labels")), kind="labels")

    np.testing.assert_array_equal(images, np.arange(24).reshape(2, 3, 4))
    assert labels.tolist() == [7, 0, 9]


def test_the_array_is_writable(write):
    """The array belongs to the caller, who may change it."""
    array = read_idx(write(IMAGES))
    array[0, 0, 0] = 1
    assert array[0, 0, 0] == 1


def test_gzip_is_known_by_its_bytes(write):
    """A gzipped file without .gz and a plain one with it are both read."""
    zipped = read_idx(write(gzip.compress(LABELS), "labels"))
    plain = read_idx(write(LABELS, "labels.gz"))
    assert zipped.tolist() == plain.tolist() == [7, 0, 9]


def test_several_gzip_members_are_one_file(write):
    """Gzip members written one after the other are joined, as gunzip does."""
    path = write(gzip.compress(LABELS[:5]) + gzip.compress(LABELS[5:]))
    assert read_idx(path, kind="labels").tolist() == [7, 0, 9]


def test_an_unknown_kind_names_the_choices(tmp_path):
    """A misspelt kind is refused before the file is opened."""
    with pytest.raises(ValueError, match=r'"images", "labels" or None, got \'image\''):
        read_idx(tmp_path / "none", kind="image")


def test_the_errors_of_the_system_pass_through(tmp_path):
    """A missing file and a folder raise what open() raises."""
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "none")
    with pytest.raises(OSError, match=tmp_path.name):
        read_idx(tmp_path)


DAMAGED = {
    "empty": (b"", "empty"),
    "empty, gzipped": (gzip.compress(b""), "empty"),
    "web page": (PAGE, "web page: the download failed"),
    "web page after blanks": (b"\r\n " + PAGE, "web page"),
    "web page after a byte order mark": (b"\xef\xbb\xbf" + PAGE, "web page"),
    "xml of a store": (b"<?xml version='1.0'?><Error/>", "web page"),
    "web page, gzipped": (gzip.compress(PAGE), "web page"),
    "other text": (b"<svg/>", "starts with 00 00, got 3c 73 76 67"),
    "magic not zero": (b"\0\1" + IMAGES[2:], "starts with 00 00, got 00 01 08 03"),
    "magic first byte": (b"\1\0" + IMAGES[2:], "starts with 00 00, got 01 00 08 03"),
    "little-endian": (bytes([3, 8, 0, 0]) + IMAGES[4:], "got 03 08 00 00"),
    "three bytes": (IMAGES[:3], "header of 4 bytes, got 3"),
    "type code 0": (b"\0\0\0\1" + LABELS[4:], "type code .*, got 00"),
    "type code 0a": (b"\0\0\x0a\1" + LABELS[4:], "08, 09, 0b, .*, got 0a"),
    "no axes": (b"\0\0\x08\0\1", "1 to 8 axes, got 0"),
    "9 axes": (header(8, *[1] * 9) + b"\1", "1 to 8 axes, got 9"),
    "255 axes": (b"\0\0\x08\xff" + bytes(2000), "1 to 8 axes, got 255"),
    "cut sizes": (IMAGES[:14], "header of 16 bytes, got 14"),
    "no values": (IMAGES[:16], "expected 24 bytes .*, got 0; the file is cut short"),
    "cut values": (IMAGES[:-1], "expected 24 bytes .*, got 23; the file is cut short"),
    "one byte more": (IMAGES + b"\0", "expected 24 bytes .*, got more"),
    "one byte more, gzipped": (gzip.compress(IMAGES + b"\0"), "got more"),
    "no images": (header(8, 0, 28, 28), r"at least 1, got shape \(0, 28, 28\)"),
    "side of zero": (header(8, 2, 0, 28), r"at least 1, got shape \(2, 0, 28\)"),
    "huge": (header(8, 2**32 - 1) + b"\1", "at most 2147483648 bytes .* 4294967295"),
    "huge doubles": (header(0x0E, 2**29) + b"\1", "at most .* states 4294967296"),
    "overflows to 0": (
        header(8, *[2**16] * 4),
        "at most .* states 18446744073709551616",
    ),
    "gzip, cut": (gzip.compress(IMAGES)[:-12], "damaged"),
    "gzip, cut trailer": (gzip.compress(IMAGES)[:-1], "damaged"),
    "gzip, two bytes": (b"\x1f\x8b", "damaged"),
    "gzip, wrong sum": (gzip.compress(IMAGES)[:-8] + bytes(8), "damaged"),
    "gzip, bad method": (b"\x1f\x8b\7" + gzip.compress(IMAGES)[3:], "damaged"),
    "gzip, junk behind": (gzip.compress(IMAGES) + b"junk", "damaged"),
    "gzip, bad deflate": (gzip.compress(IMAGES)[:10] + b"\xff" * 20, "damaged"),
}


@pytest.mark.parametrize(("content", "reason"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused(write, content, reason):
    """The message names the file, says what was expected and what came."""
    with pytest.raises(ValueError, match=reason):
        read_idx(write(content))
    refusal(write(content))


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (LABELS, "images", "expected images (uint8, axes: 3), got uint8, axes: 1"),
        (IMAGES, "labels", "expected labels (uint8, axes: 1), got uint8, axes: 3"),
        (header(9, 1, 1, 1) + b"\1", "images", "got int8, axes: 3"),
        (header(0x0C, 1) + bytes(4), "labels", "got int32, axes: 1"),
        (header(8, 3, 1) + bytes(3), "labels", "got uint8, axes: 2"),
        (header(8, 2) + bytes([9, 10]), "labels", "labels 0 to 9, got 10 at index 1"),
        (header(8, 2) + bytes([255, 1]), "labels", "labels 0 to 9, got 255 at index 0"),
        (header(8, 0), "labels", "got shape (0,)"),
    ],
)
def test_a_file_of_another_kind_is_refused(write, content, kind, reason):
    """Swapped files, other types and labels beyond 9 are told apart."""
    assert reason in refusal(write(content), kind)


def test_a_bomb_is_not_unpacked(write):
    """200 MB of zeros in 200 KB cost no more memory than the header states."""
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb") as file:
        file.write(header(8, 1, 28, 28))
        for _ in range(200):
            file.write(bytes(10**6))
    path = write(bomb.getvalue())

    tracemalloc.start()
    message = refusal(path, "images")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "expected 784 bytes" in message
    assert peak < 4 * 2**20


def test_a_header_that_claims_much_sets_nothing_aside(write):
    """A short file that states 1 GiB is refused within a few MB of memory."""
    path = write(header(8, 2**30) + bytes(100))

    tracemalloc.start()
    refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 4 * 2**20


@given(data=st.data(), zipped=st.booleans(), kind=st.sampled_from([None, "labels"]))
@settings(max_examples=300)
def test_damage_raises_nothing_but_value_error(data, zipped, kind, tmp_path_factory):
    """Bytes changed, cut or added give an array or a ValueError, and nothing else."""
    content = bytearray(gzip.compress(LABELS) if zipped else LABELS)
    for _ in range(data.draw(st.integers(1, 4), "changes")):
        place = data.draw(st.integers(0, len(content) - 1), "place")
        content[place] = data.draw(st.integers(0, 255), "byte")
    content = content[: data.draw(st.integers(0, len(content)), "length")]
    content += data.draw(st.binary(max_size=4), "tail")
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(content)

    try:
        array = read_idx(path, kind)
    except ValueError:
        return
    assert isinstance(array, np.ndarray)
    assert array.size > 0


def test_every_flipped_bit_of_a_gzip_file_is_seen(write):
    """A changed gzip file never gives other values than the ones that were written."""
    whole = gzip.compress(IMAGES, mtime=0)
    want = np.arange(24).reshape(2, 3, 4)
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            array = read_idx(write(damaged), kind="images")
        except ValueError:
            continue
        np.testing.assert_array_equal(array, want)  # a bit of gzip's own date or name


def test_mnist_test_labels_are_read():
    """The real file of test labels holds 10,000, and each class about a tenth."""
    if not os.environ.get("LENETJAX_DATA"):
        pytest.skip("set LENETJAX_DATA to the folder with the MNIST files")
    folder = Path(os.environ["LENETJAX_DATA"])
    (path,) = folder.glob("t10k-labels-idx1-ubyte*")

    labels = read_idx(path, kind="labels")

    assert labels[:5].tolist() == [7, 2, 1, 0, 4]
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(labels).tolist() == counts
