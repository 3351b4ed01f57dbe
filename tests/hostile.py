"""More than a hundred kinds of files that are not what they claim to be.

Each is a name and bytes. A checkpoint's kinds come twice: as a writer of damage would
leave them, and with a digest that is right, as an attacker would make them.
"""

import gzip
import hashlib
import json
import struct
import tarfile

from data_files import (
    CIFAR_FOLDER,
    cifar10_members,
    member,
    small_cifar10,
)
from data_files import archive as tar

ZEROS = "0" * 64
GOOD = {
    "__metadata__": {"format": "lenetjax 1", "random_keys": "{}", "sha256": ZEROS},
    "fc.bias": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]},
    "fc.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [12, 36]},
}
DATA = bytes(36)


def archive(header, data=DATA, *, signed=True):
    """A file of this header: a dict, or bytes that need not be JSON."""
    if not isinstance(header, bytes):
        header = json.dumps(header, separators=(",", ":")).encode()
    content = struct.pack("<Q", len(header)) + header + data
    if not signed:
        return content
    digest = hashlib.sha256(content).hexdigest()
    return content.replace(
        f'"sha256":"{ZEROS}"'.encode(), f'"sha256":"{digest}"'.encode()
    )


def changed(**entries):
    """The good header with other entries; None removes one."""
    header = {**GOOD, **{name.replace("_dot_", "."): e for name, e in entries.items()}}
    return {name: entry for name, entry in header.items() if entry is not None}


def with_bias(**fields):
    return changed(fc_dot_bias={**GOOD["fc.bias"], **fields})


def with_notes(**notes):
    return changed(__metadata__={**GOOD["__metadata__"], **notes})


def headers():
    """Headers that no writer of ours would make."""
    yield "shape is text", with_bias(shape="3")
    yield "shape of floats", with_bias(shape=[3.0])
    yield "negative side", with_bias(shape=[-3])
    yield "shape is null", with_bias(shape=None)
    yield "shape of truth", with_bias(shape=[True, 3])
    yield "huge side", with_bias(shape=[2**63])
    yield "huger side", with_bias(shape=[2**64])
    yield "product beyond 64 bits", with_bias(shape=[2**32, 2**32, 3])
    yield "product that wraps to 3", with_bias(shape=[2**63, 2, 3])
    yield "many axes", with_bias(shape=[1] * 3000 + [3])
    yield "another shape", with_bias(shape=[4])
    yield "no shape", changed(fc_dot_bias={"dtype": "F32", "data_offsets": [0, 12]})
    yield "unknown dtype", with_bias(dtype="F33")
    yield "dtype of code", with_bias(dtype="O")
    yield "dtype is a number", with_bias(dtype=32)
    yield "dtype is null", with_bias(dtype=None)
    yield "dtype of 8 bits that is not used", with_bias(dtype="F8_E4M3", shape=[12])
    yield "small letters", with_bias(dtype="f32")
    yield "no dtype", changed(fc_dot_bias={"shape": [3], "data_offsets": [0, 12]})
    yield "offsets swapped", with_bias(data_offsets=[12, 0])
    yield "offsets overlap", with_bias(data_offsets=[4, 16])
    yield "offsets beyond the end", with_bias(data_offsets=[36, 48])
    yield "offsets negative", with_bias(data_offsets=[-12, 0])
    yield "offsets huge", with_bias(data_offsets=[2**63, 2**63 + 12])
    yield "offsets of text", with_bias(data_offsets=["0", "12"])
    yield "one offset", with_bias(data_offsets=[0])
    yield "three offsets", with_bias(data_offsets=[0, 6, 12])
    yield "no offsets", changed(fc_dot_bias={"dtype": "F32", "shape": [3]})
    yield (
        "offsets with a gap",
        changed(fc_dot_weight={**GOOD["fc.weight"], "data_offsets": [12, 40]}),
    )
    yield "an entry is a list", changed(fc_dot_bias=[1, 2])
    yield "an entry is text", changed(fc_dot_bias="F32")
    yield "an entry is null", {**GOOD, "fc.bias": None}
    yield "an array is missing", changed(fc_dot_bias=None)
    yield "all arrays are missing", {"__metadata__": GOOD["__metadata__"]}
    yield (
        "a name below an array",
        changed(
            **{"fc.bias.x": {"dtype": "F32", "shape": [0], "data_offsets": [36, 36]}}
        ),
    )
    yield "metadata of numbers", with_notes(random_keys=1)
    yield "metadata of lists", with_notes(format=["lenetjax 1"])
    yield "another format", with_notes(format="lenetjax 2")
    yield "no format", changed(__metadata__={"sha256": ZEROS})
    yield "keys that are no JSON", with_notes(random_keys="{")
    yield "keys that are a list", with_notes(random_keys="[1]")
    yield "keys that are numbers", with_notes(random_keys='{"fc.bias":1}')
    yield "a key of an unknown kind", with_notes(random_keys='{"fc.bias":"x"}')
    yield "a key of floats", with_notes(random_keys='{"fc.bias":"fry"}')
    yield "keys nested deeply", with_notes(random_keys="[" * 50_000)
    text = json.dumps(GOOD, separators=(",", ":"))
    yield "two entries of a name", (text[:-1] + ',"fc.bias":1}').encode()
    yield "a comment", text.replace("{", "{/* */", 1).encode()
    yield "a comma at the end", (text[:-1] + ",}").encode()
    yield "single quotes", text.replace('"fc', "'fc").encode()
    yield "NaN in it", text.replace("36]", "NaN]").encode()
    yield "no text", b"\xff\xfe" + text.encode()
    yield "half a surrogate", text.replace("fc.bias", "\\ud800").encode()
    yield "not closed", text[:-1].encode()
    yield "more behind", (text + "{}").encode()
    yield "nested deeply", text.replace("[3]", "[" * 100_000).encode()
    yield "a number of many digits", text.replace("[3]", f"[{'9' * 10_000}]").encode()
    yield (
        "a long name",
        changed(
            **{"n" * 100_000: {"dtype": "F32", "shape": [0], "data_offsets": [36, 36]}}
        ),
    )
    yield (
        "a large header",
        changed(
            **{
                f"a{i}": {"dtype": "F32", "shape": [0], "data_offsets": [36, 36]}
                for i in range(30_000)
            }
        ),
    )


def others():
    """Files whose structure is not that of a checkpoint at all."""
    good = archive(GOOD)
    text = json.dumps(GOOD, separators=(",", ":")).encode()
    yield "empty", b""
    yield "one byte", b"\0"
    yield "eight zeros", bytes(8)
    yield "zeros", bytes(10_000)
    yield "ones", b"\xff" * 10_000
    yield "a page", b"<!DOCTYPE html><html><body>403 Forbidden</body></html>" * 9
    yield "a pickle", b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00cposix\nsystem\n."
    yield "a zip", b"PK\x03\x04" + bytes(500)
    yield "a gzip of a good one", gzip.compress(good)
    yield "an HDF5", b"\x89HDF\r\n\x1a\n" + bytes(500)
    yield "a NumPy file", b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'shape': (1,)}"
    yield "text", b"weights = 1, 2, 3\n" * 20
    yield "a header of 2 ** 64 - 1", struct.pack("<Q", 2**64 - 1) + text
    yield "a header of 2 ** 63", struct.pack("<Q", 2**63) + text
    yield "a header beyond the file", struct.pack("<Q", len(text) + 100) + text
    yield "an empty header", struct.pack("<Q", 0) + DATA
    yield "a length that is big-endian", struct.pack(">Q", len(text)) + text + DATA
    yield "JSON without a length", text + DATA
    yield "a header that is a list", archive(b"[1,2,3]")
    yield "a header that is null", archive(b"null    ")
    yield "a space before the header", archive(b" " + text, signed=False)
    yield "cut by one byte", good[:-1]
    yield "cut in the middle", good[: len(good) // 2]
    yield "cut after the header", good[: -len(DATA)]
    yield "one byte more", good + b"\0"
    yield "twice", good + good
    yield (
        "a foreign safetensors file",
        archive(
            {name: entry for name, entry in GOOD.items() if name != "__metadata__"}
        ),
    )
    yield "no digest", archive(changed(__metadata__={"format": "lenetjax 1"}))
    yield "a digest of zeros", archive(GOOD, signed=False)
    yield "a short digest", archive(with_notes(sha256="0" * 63), signed=False)
    yield "another's digest", good.replace(good[-36:], b"\1" * 36)


def checkpoints():
    """All kinds of bad checkpoints: name and bytes."""
    yield from others()
    for name, header in headers():
        yield f"{name}, unsigned", archive(header, signed=False)
        yield f"{name}, signed", archive(header)


def idx_files():
    """All kinds of bad IDX files: name and bytes."""

    def idx(code, *shape, values=b""):
        sides = struct.pack(f">{len(shape)}I", *shape)
        return bytes([0, 0, code, len(shape)]) + sides + values

    good = idx(8, 2, 3, 4, values=bytes(24))
    yield "empty", b""
    yield "a page", b"<!DOCTYPE html><html><body>403 Forbidden</body></html>"
    yield "a page in gzip", gzip.compress(b"<html>403</html>")
    yield "zeros", bytes(100)
    yield "magic not zero", b"\1" + good[1:]
    yield "unknown type", idx(7, 2, values=bytes(2))
    yield "no axes", idx(8, values=bytes(1))
    yield "255 axes", bytes([0, 0, 8, 255]) + bytes([0, 0, 0, 1]) * 255 + b"\0"
    yield "cut in the header", good[:7]
    yield "cut in the values", good[:-1]
    yield "one byte more", good + b"\0"
    yield "little-endian sides", bytes([0, 0, 8, 1]) + struct.pack("<I", 3) + bytes(3)
    yield "a side of zero", idx(8, 0, 28, 28)
    yield "a side of 2 ** 32 - 1", idx(8, 2**32 - 1)
    yield "a product that wraps to 0", idx(8, 2**16, 2**16, 2**16, 2**16)
    yield "cut gzip", gzip.compress(good)[:-5]
    yield "gzip with a wrong sum", gzip.compress(good)[:-8] + bytes(8)
    yield "a bomb", gzip.compress(idx(8, 2**28, values=bytes(2**24)))
    yield "gzip of gzip", gzip.compress(gzip.compress(good))
    yield "a pickle", b"\x80\x04cposix\nsystem\n."


def cifar10_archives():
    """All kinds of archives that are not CIFAR-10's with three images in each file."""
    good = small_cifar10()
    members = cifar10_members(good)
    whole = tar(*members)
    first = f"{CIFAR_FOLDER}/data_batch_1.bin"
    others = [members[0], *members[2:]]
    values = good["data_batch_1.bin"]

    def instead(*replacements):
        return tar(*replacements, *others)

    yield "empty", b""
    yield "a page", b"<!DOCTYPE html><html><body>403 Forbidden</body></html>" * 20
    yield "a page in gzip", gzip.compress(b"<html>403</html>" * 50)
    yield "a short page in gzip", gzip.compress(b"<html>403</html>")
    yield "zeros", bytes(10_000)
    yield "a pickle", b"\x80\x02}q\x01(U\x04data" + bytes(600)
    yield "no members", tar()
    yield "one file is missing", tar(*others)
    yield "no folder", tar(*(member(name, text) for name, text in good.items()))
    yield (
        "absolute paths",
        tar(*(member(f"/{CIFAR_FOLDER}/{name}", text) for name, text in good.items())),
    )
    yield (
        "paths upwards",
        tar(
            *(member(f"../{CIFAR_FOLDER}/{name}", text) for name, text in good.items())
        ),
    )
    for name, kind in {
        "a symbolic link": tarfile.SYMTYPE,
        "a hard link": tarfile.LNKTYPE,
        "a device": tarfile.CHRTYPE,
        "a pipe": tarfile.FIFOTYPE,
        "a folder": tarfile.DIRTYPE,
    }.items():
        yield (
            f"{name} in place of a file",
            instead(member(first, kind=kind, link="/etc/passwd")),
        )
    sparse = member(first, values, kind=tarfile.GNUTYPE_SPARSE)
    yield "a sparse file", instead(sparse)
    yield "a file twice", instead(members[1], members[1])
    yield "a byte too few", instead(member(first, values[:-1]))
    yield "a byte too many", instead(member(first, values + b"\0"))
    yield "an image too few", instead(member(first, values[:-3073]))
    yield "an empty file", instead(member(first))
    yield "a label of 10", instead(member(first, b"\x0a" + values[1:]))
    yield "a size of 8 GiB", instead(member(first, values, size=8**11 - 1))
    yield "a size of 100 kB", instead(member(first, values, size=10**5))
    yield "a size beyond 64 bits", instead(member(first, values, size=2**70))
    yield (
        "a sparse member of 8 GiB",
        tar(member("x", kind=tarfile.GNUTYPE_SPARSE, size=8**11 - 1), *members),
    )
    yield "a size below zero", tar(members[0], member("x", size=-512), *members)
    yield "another member of 8 GiB", tar(member("x", size=8**11 - 1), *members)
    yield (
        "a bomb",
        tar(*[member("x", bytes(2**19))] * 3, *members),
    )
    yield "a header of 8 GiB", tar(member("x", kind=tarfile.XHDTYPE, size=8**11 - 1))
    yield (
        "long names inside each other",
        tar(*[member("x", b"x", kind=tarfile.GNUTYPE_LONGNAME)] * 3000),
    )
    yield "many members", tar(*[member("x")] * 1000, *members)
    yield (
        "the Python version",
        tar(member("cifar-10-batches-py/data_batch_1", b"\x80\x02}q\x01.")),
    )
    yield (
        "CIFAR-100",
        tar(*(member(f"cifar-100-binary/{n}.bin", values) for n in ("train", "test"))),
    )
    yield "cut in the middle", whole[: len(whole) // 2]
    yield "cut by a byte", whole[:-1]
    yield "gzip with a wrong sum", whole[:-8] + bytes(8)
    yield "junk behind", whole + b"junk"
    yield "gzip of gzip", gzip.compress(whole)
    yield "a header with a wrong sum", instead(members[1].replace(b"ustar", b"ustaR"))
    plain = gzip.decompress(whole)
    yield "plain, cut", plain[: len(plain) // 2]


def texts():
    """All kinds of files that are no text in UTF-8."""
    yield "empty", b""
    yield "short", b"a" * 20
    yield "Latin 1", "é".encode("latin-1") * 500
    yield "UTF-16", ("a text " * 100).encode("utf-16")
    yield "UTF-16 without a mark", ("a text " * 100).encode("utf-16-le")
    yield "zeros", bytes(1000)
    yield "cut in a character", ("é" * 500).encode()[:-1]
    yield "half a surrogate", b"\xed\xa0\x80" * 300
    yield "too long a form", b"\xc0\xaf" * 300
    yield "gzip", gzip.compress(b"a text " * 300)
    yield "a checkpoint", archive(GOOD) * 9
