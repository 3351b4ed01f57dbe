"""CIFAR-10's binary files: where they are, and how they are read.

Each holds 10,000 records of a byte for the label and 3,072 for the image, and no header
that states how many: so the number must be right. An archive may be hostile: of its
members only those with the right name, kind and size are read, and the others are
passed over, within a limit for them all.
"""

import contextlib
import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from lenetjax.data.checks import is_web_page
from lenetjax.data.download import fetch
from lenetjax.data.idx import Stream
from lenetjax.data.places import VARIABLE, PathLike, Place, expanded, place_of

RECORDS = 10_000  # in each file
RECORD = 1 + 3 * 32 * 32  # bytes
FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
FOLDER = "cifar-10-batches-bin"
ARCHIVE = "cifar-10-binary.tar.gz"
# The sha256 of the archive: that of TensorFlow Datasets (url_checksums/cifar10.txt) and
# of the package torchvision for Ruby (datasets/cifar10.rb); archives with the md5 that
# the authors' page gives have it.
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
ARCHIVE_BYTES = 170_052_171

MOST_BYTES = 256 * 1024**2  # unpacked, the archive has 184 MB
MOST_MEMBERS = 100  # far more than a folder, its six files and their notes
CHUNK = 1024**2
ADVICE = (
    f"get the binary version, {ARCHIVE}, and name it or its folder with --data-dir "
    f"(data_dir=) or {VARIABLE}"
)
# What the other versions have in place of FILES and ARCHIVE.
PYTHON = ("data_batch_1", "cifar-10-python.tar.gz", "cifar-10-batches-py")
MATLAB = ("data_batch_1.mat", "cifar-10-matlab.tar.gz", "cifar-10-batches-mat")
PICKLES = tuple(bytes([0x80, version]) for version in range(2, 6))
BAD_ARCHIVE = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error)

Records = dict[str, NDArray[Any]]  # by file: uint8 (RECORDS, RECORD)


def find(data_dir: PathLike | None, *, download: bool) -> Path:
    """Finds the archive, or the folder of the files, and downloads the archive if not.

    Raises:
      FileNotFoundError: there is neither.
      ValueError: there is another version.
    """
    if data_dir is not None and (path := expanded(data_dir)).is_file():
        return path
    place = place_of("CIFAR-10", data_dir, part="cifar-10", cached="cifar-10")
    if present := _present(place.folder):
        return present
    for version, names in (("Python", PYTHON), ("Matlab", MATLAB)):
        for name in names:
            if (place.folder / name).exists():
                raise ValueError(_other_version(place.folder / name, version))
    if place.ours and download:
        return _download(place)
    raise FileNotFoundError(f"{place.lacks} {ARCHIVE} and {FOLDER}; {ADVICE}")


def is_archive(path: Path) -> bool:
    """Whether a file is a tar archive, gzipped or plain; by its beginning alone."""
    with path.open("rb") as file:
        start = file.read(512)
    if start[:2] == b"\x1f\x8b":
        with (
            contextlib.suppress(OSError, EOFError, zlib.error),
            gzip.open(path) as file,
        ):
            start = file.read(512)
    return start[257:262] == b"ustar"


def read_folder(folder: Path) -> Records:
    """Reads the six files of an unpacked archive.

    Raises:
      OSError: one cannot be read.
      ValueError: one has not the right size.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}; unpack {ARCHIVE} again"
        )
    found = {}
    for name in FILES:
        path = folder / name
        with path.open("rb") as file:
            start = file.peek(512)[:512]
            if is_web_page(start):
                raise ValueError(_web_page(path))
            found[name] = _records(file.read(RECORDS * RECORD + 1), str(path))
    return found


def read_archive(path: Path) -> Records:
    """Reads the six files from a tar archive, gzipped or plain, without unpacking it.

    Raises:
      OSError: it cannot be read.
      ValueError: it is damaged, holds too much, or not these files; the message says
        which.
    """
    with path.open("rb") as file:
        gzipped = file.peek(2)[:2] == b"\x1f\x8b"
        try:
            if not gzipped:
                return _read_members(Limited(file), path)
            with gzip.GzipFile(fileobj=file) as stream:
                return _read_members(Limited(stream), path)
        except BAD_ARCHIVE as error:
            raise ValueError(
                f"{path}: expected a whole tar archive, got a damaged or another file "
                f"({error}); {ADVICE}"
            ) from error


class Limited:
    """A stream that refuses to give more than an archive of this data holds.

    Attributes:
      start: its first bytes, which `read` gives too.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream, self.left = stream, MOST_BYTES
        self.start = self.pending = stream.read(512)

    def read(self, size: int) -> bytes:
        """Reads on.

        Raises:
          tarfile.ReadError: that is beyond the limit.
        """
        if self.pending:
            found, self.pending = self.pending[:size], self.pending[size:]
        else:
            found = self.stream.read(min(size, CHUNK))
        self.left -= len(found)
        if self.left < 0:
            raise tarfile.ReadError(f"more than {MOST_BYTES} bytes when unpacked")
        return found


def _read_members(stream: Limited, path: Path) -> Records:
    if is_web_page(stream.start):
        raise ValueError(_web_page(path))
    if stream.start.startswith(PICKLES):
        raise ValueError(_other_version(path, "Python"))
    found: Records = {}
    for archive, member in _members(stream):
        folder, _, name = member.name.rpartition("/")
        if folder == "cifar-10-batches-py":
            raise ValueError(_other_version(path, "Python"))
        if folder == FOLDER and name in FILES:
            _check_member(path, member, again=name in found)
            with cast(IO[bytes], archive.extractfile(member)) as file:
                found[name] = _records(file.read(member.size), f"{path}, {name}")
    while stream.read(CHUNK):  # to the end, where gzip has its checksum
        pass
    missing = [name for name in FILES if name not in found]
    if missing:
        raise ValueError(
            f"{path}: expected {FOLDER}/ with its files, and it lacks "
            f"{', '.join(missing)}; {ADVICE}"
        )
    return found


def _members(stream: Limited) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The members, with one kind of error for all that may be wrong with them."""
    try:
        # As a stream: no member can send the reader back to others.
        with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
            for number, member in enumerate(archive):
                if number == MOST_MEMBERS:
                    raise tarfile.ReadError(f"more than {MOST_MEMBERS} members")
                # tarfile would go on to its end, however far beyond that of the file.
                if member.size > MOST_BYTES or member.issparse():
                    raise tarfile.ReadError(f"a member of {member.size} bytes")
                yield archive, member
    except (ValueError, ArithmeticError, LookupError, RecursionError) as error:
        raise tarfile.ReadError(str(error)) from error


def _check_member(path: Path, member: tarfile.TarInfo, *, again: bool) -> None:
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
    if again or not plain:
        kind = "it twice" if again else "a link or another kind of member"
        raise ValueError(
            f"{path}: expected {member.name} to be one plain file, got {kind}; {ADVICE}"
        )
    if member.size != RECORDS * RECORD:
        raise ValueError(_wrong_size(f"{path}, {member.name}", str(member.size)))


def _records(content: bytes, where: str) -> NDArray[Any]:
    size = RECORDS * RECORD
    if len(content) != size:
        raise ValueError(
            _wrong_size(where, "more" if len(content) > size else str(len(content)))
        )
    return np.frombuffer(content, np.uint8).reshape(RECORDS, RECORD)


def _wrong_size(where: str, got: str) -> str:
    return (
        f"{where}: expected {RECORDS * RECORD} bytes, {RECORDS} images with labels, "
        f"got {got}; the file is cut short or not CIFAR-10, get it again"
    )


def _web_page(path: Path) -> str:
    return (
        f"{path}: expected CIFAR-10, got a web page: the download failed; delete the "
        f"file and get it again"
    )


def _other_version(path: Path, version: str) -> str:
    why = ", which is made of pickles, and those can run code" * (version == "Python")
    return f"{path} is the {version} version of CIFAR-10{why}; {ADVICE}"


def _present(folder: Path) -> Path | None:
    if any((folder / name).is_file() for name in FILES):
        return folder
    if (folder / FOLDER).is_dir():
        return folder / FOLDER
    archives = (folder / ARCHIVE, folder / ARCHIVE.removesuffix(".gz"))
    return next((path for path in archives if path.is_file()), None)


def _download(place: Place) -> Path:
    try:
        return fetch(
            ARCHIVE, SHA256, place.folder, MIRRORS, zipped=True, most=ARCHIVE_BYTES
        )
    except OSError as error:
        raise FileNotFoundError(
            f"CIFAR-10 is not on this machine and could not be downloaded; put "
            f"{ARCHIVE} in {place.folder}, or {ADVICE}. The reason: {error}"
        ) from error
