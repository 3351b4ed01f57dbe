"""Random files: every reader takes them, or refuses them with an error of its own.

Half a minute's worth; LENETJAX_FUZZ=140 makes it an hour's.
"""

import contextlib
import gzip
import importlib
import io
import os
import re
import struct

import hypothesis.strategies as st
import numpy as np
import pytest
from data_files import cifar10_archive, small_cifar10
from hostile import archive, cifar10_archives, headers, idx_files, others, texts
from hypothesis import HealthCheck, given, settings
from PIL import Image

import lenetjax as nn
from lenetjax.data import cifar10, load_image, read_idx, text

cifar10_files = importlib.import_module("lenetjax.data.cifar10_files")

TIMES = int(os.environ.get("LENETJAX_FUZZ", "1"))
DIGEST = re.compile(rb'"sha256":"[0-9a-f]{64}"')
# What matters in these formats: ends of ranges, signs, JSON's own characters.
PIECES = [b"", b"\0", b"\xff", b"\x7f", b"\0\0\0\1", b"\xff\xff\xff\xff", b"{", b"}",
          b"[", b'"', b",", b":", b"-1", b"1e999", b"null", b"\\", b"\\ud800",
          b"9" * 30, b"sha256", b"__metadata__", b"\x1f\x8b\x08\0"]  # fmt: skip


def edits():
    """Places, as parts of the whole, and what is written there instead of how much."""
    piece = st.sampled_from(PIECES) | st.binary(max_size=9)
    return st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 12), piece), min_size=1, max_size=6
    )


def edited(content, changes):
    for place, length, piece in changes:
        at = round(place * len(content))
        content = content[:at] + piece + content[at + length :]
    return content


def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("seed") / "m"
    nn.checkpoint.save(path, {"fc": {"w": np.ones((2, 3)), "b": np.ones(3)}, "n": 1})
    return path.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Whole files of each kind, and bad ones to go on from."""
    images = []
    for form in ("PNG", "JPEG", "BMP", "GIF", "WEBP"):
        content = io.BytesIO()
        Image.new("RGB", (9, 7), "red").save(content, form)
        images.append(content.getvalue())
    idx = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 4) + bytes(24)
    whole = cifar10_archive(small_cifar10(1))
    return {
        "checkpoint": [
            saved(tmp_path_factory),
            *[archive(header) for _, header in headers()],
            *[content for _, content in others()],
        ],
        "cifar10": [
            whole,
            gzip.decompress(whole),
            *[content for _, content in cifar10_archives()],
        ],
        "text": [b"one of these, " * 90, *[content for _, content in texts()]],
        "idx": [idx, gzip.compress(idx), *[content for _, content in idx_files()]],
        "image": images,
    }


def signed(content):
    """With the digest that belongs to it, so that what is behind the check is met."""
    length = int.from_bytes(content[:8], "little")
    place = DIGEST.search(content[: 8 + length])
    if place is None:
        return content
    header = content[8 : 8 + length]
    zeroed = DIGEST.sub(b'"sha256":"%s"' % (b"0" * 64), header, count=1)
    return archive(zeroed, content[8 + length :])


LIKE = {"fc": {"w": np.ones((2, 3)), "b": np.ones(3)}, "n": 1}
READERS = {
    "checkpoint": [nn.checkpoint.load, lambda path: nn.checkpoint.load(path, LIKE)],
    "idx": [read_idx, lambda path: read_idx(path, "images"),
            lambda path: read_idx(path, "labels")],
    "image": [load_image],
    "cifar10": [cifar10],
    "text": [lambda path: text(path, 8), lambda path: text(path, 8, vocabulary="abc")],
}  # fmt: skip
EXAMPLES = {"checkpoint": 3000, "idx": 2500, "image": 3000, "cifar10": 200, "text": 200}


@pytest.mark.parametrize("kind", READERS)
def test_any_file_is_read_or_refused(kind, seeds, folder, monkeypatch):
    """Nothing but ValueError and OSError, whatever the bytes are."""
    monkeypatch.setattr(cifar10_files, "RECORDS", 1)
    monkeypatch.setattr(cifar10_files, "MOST_BYTES", 2**20)

    @settings(
        max_examples=TIMES * EXAMPLES[kind],
        suppress_health_check=list(HealthCheck),
        derandomize=TIMES == 1,
    )
    @given(
        st.integers(0, len(seeds[kind]) - 1), edits(), st.booleans(),
        st.integers(0, len(READERS[kind]) - 1),
    )  # fmt: skip
    def reads_or_refuses(which, changes, sign, reader):
        content = edited(seeds[kind][which][:100_000], changes)
        path = folder / "file"
        path.write_bytes(signed(content) if sign and kind == "checkpoint" else content)
        with contextlib.suppress(ValueError, OSError):
            READERS[kind][reader](path)

    reads_or_refuses()
