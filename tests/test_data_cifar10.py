"""CIFAR-10: what is read from archive and folder, and what is refused."""

import gzip
import hashlib
import importlib
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from data_files import (
    CIFAR,
    CIFAR_FOLDER,
    archive,
    cifar10_archive,
    cifar10_members,
    member,
    serving,
    small_cifar10,
)
from hostile import cifar10_archives

from lenetjax.data import CIFAR10_CLASSES, cifar10

module = importlib.import_module("lenetjax.data.cifar10_files")

ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVES = dict(cifar10_archives())


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch, tmp_path):
    """A user with nothing, and files of three images that count as whole."""
    monkeypatch.delenv("LENETJAX_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "MIRRORS", ())
    monkeypatch.setattr(module, "RECORDS", 3)
    monkeypatch.setattr(module, "MOST_BYTES", 2**20)


def write_folder(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(folder, content, name=ARCHIVE):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder


def refusal(path, kind=ValueError, **options):
    with pytest.raises(kind) as caught:
        cifar10(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def as_documented(files):
    """Labels and images by the authors' description, one value at a time."""
    labels, images = [], []
    for content in files:
        for record in (content[at : at + 3073] for at in range(0, len(content), 3073)):
            labels.append(record[0])
            red, green, blue = (record[1 + 1024 * c :][:1024] for c in range(3))
            pixels = [list(pixel) for pixel in zip(red, green, blue, strict=True)]
            images.append([pixels[32 * row : 32 * row + 32] for row in range(32)])
    return np.array(images), np.array(labels)


# Arrays


def places(tmp_path, files):
    """The same files in all forms that are read."""
    yield write_folder(tmp_path / "a" / CIFAR_FOLDER, files)
    yield tmp_path / "a"
    packed = cifar10_archive(files)
    yield write_archive(tmp_path / "b", packed)
    yield tmp_path / "b" / ARCHIVE
    yield write_archive(tmp_path / "c", gzip.decompress(packed), ARCHIVE[:-3])
    yield write_archive(tmp_path / "d", archive(*cifar10_members(files)))


def test_all_forms_give_what_the_authors_describe(tmp_path):
    """Folder and archive, gzipped or plain; in order, channels last, from 0 to 1."""
    files = small_cifar10()
    images, labels = as_documented(files[name] for name in CIFAR)

    for place in places(tmp_path, files):
        found = cifar10(place)

        assert found.train.images.shape == (15, 32, 32, 3)
        assert found.test.images.shape == (3, 32, 32, 3)
        for split, some in ((found.train, slice(15)), (found.test, slice(15, 18))):
            assert split.images.dtype == np.float32
            assert split.labels.dtype == np.int32
            np.testing.assert_allclose(split.images, images[some] / 255, atol=1e-7)
            np.testing.assert_array_equal(split.labels, labels[some])


def test_there_is_a_name_for_each_class():
    """Ten names, all different."""
    assert len(set(CIFAR10_CLASSES)) == 10


def test_the_official_size_is_asked_for(tmp_path, monkeypatch):
    """Without a test's constant: 10,000 images a file, and a few are too few."""
    monkeypatch.undo()
    message = refusal(write_folder(tmp_path / "f", small_cifar10()))
    assert "expected 30730000 bytes, 10000 images with labels, got 9219" in message


# Files that are something else


@pytest.mark.parametrize("content", ARCHIVES.values(), ids=ARCHIVES)
def test_bad_archives_are_refused(tmp_path, content):
    """One line that names the file and says what to do, whatever is in it."""
    path = write_archive(tmp_path, content) / ARCHIVE

    message = refusal(path)

    assert str(path) in message
    assert "get it again" in message or "get the binary version" in message
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a page", "got a web page: the download failed"),
        ("a page in gzip", "got a web page: the download failed"),
        ("a pickle", "is the Python version of CIFAR-10, which is made of pickles"),
        ("the Python version", "is the Python version .* get the binary version"),
        ("absolute paths", "lacks data_batch_1.bin"),
        ("a symbolic link in place of a file", "one plain file, got a link"),
        ("a hard link in place of a file", "one plain file, got a link"),
        ("a sparse file", "damaged"),
        ("a file twice", "one plain file, got it twice"),
        ("a byte too many", "expected 9219 bytes, 3 images with labels, got 9220"),
        ("an image too few", "expected 9219 bytes, .* got 6146"),
        ("a size of 8 GiB", "a member of 8589934591 bytes"),
        ("a size of 100 kB", "expected 9219 bytes, .* got 100000"),
        ("a label of 10", "labels 0 to 9 in data_batch_1.bin, got 10 at index 0"),
        ("a bomb", "more than 1048576 bytes when unpacked"),
        ("another member of 8 GiB", "damaged .*a member of 8589934591 bytes"),
        ("many members", "more than 100 members"),
        ("cut by a byte", "damaged"),
        ("gzip with a wrong sum", "damaged"),
        ("CIFAR-100", "expected cifar-10-batches-bin/ with its files, and it lacks"),
    ],
)
def test_the_reason_is_told(tmp_path, name, reason):
    """The message says what is wrong, not only that something is."""
    path = write_archive(tmp_path, ARCHIVES[name]) / ARCHIVE
    with pytest.raises(ValueError, match=reason):
        cifar10(path)


@pytest.mark.parametrize(
    "hostile",
    [
        member("x", bytes(2**20)) * 64,
        member("x", bytes(2**26), kind=tarfile.XHDTYPE),
        member("x", bytes(2**26), kind=tarfile.GNUTYPE_LONGNAME),
    ],
    ids=["members", "header", "name"],
)
def test_a_bomb_costs_no_more_than_the_limit(tmp_path, hostile):
    """64 MB of zeros in 64 KB, as members or as one's header, are not unpacked."""
    path = write_archive(tmp_path, archive(hostile)) / ARCHIVE
    del hostile

    tracemalloc.start()
    message = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "more than 1048576 bytes when unpacked" in message
    assert peak < 8 * 2**20


def test_every_flipped_bit_of_the_archive_is_seen(tmp_path):
    """A changed gzip file never gives other values than the ones that were written."""
    files = small_cifar10()
    whole = cifar10_archive(files)
    want = cifar10(write_archive(tmp_path, whole))
    rng = np.random.default_rng(0)
    for place in [*range(20), *rng.integers(20, len(whole), 30)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        try:
            found = cifar10(write_archive(tmp_path, damaged))
        except ValueError:
            continue
        np.testing.assert_array_equal(found.train.images, want.train.images)


BAD_FILES = {
    "cut": (lambda content: content[:-1], "got 9218; the file is cut short"),
    "longer": (lambda content: content + b"\0", "got more; the file is"),
    "empty": (lambda content: b"", "got 0; the file is"),
    "an image less": (lambda content: content[3073:], "got 6146"),
    "a page": (lambda content: b"<html>" + content[6:], "a web page"),
    "a label of 255": (
        lambda content: content[:3073] + b"\xff" + content[3074:],
        "labels 0 to 9 in test_batch.bin, got 255 at index 1",
    ),
}


@pytest.mark.parametrize(("damage", "reason"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_files_are_refused(tmp_path, damage, reason):
    """Files of the folder have exact lengths and labels of ten classes."""
    files = small_cifar10()
    files["test_batch.bin"] = damage(files["test_batch.bin"])
    folder = write_folder(tmp_path / CIFAR_FOLDER, files)

    message = refusal(folder)

    assert reason in message
    assert str(folder) in message


# Places


def test_a_folder_that_lacks_files_is_told(tmp_path):
    """The missing ones are named."""
    files = small_cifar10()
    del files["data_batch_3.bin"]
    folder = write_folder(tmp_path / CIFAR_FOLDER, files)
    message = refusal(folder, FileNotFoundError)
    assert f"{folder} lacks data_batch_3.bin; unpack {ARCHIVE} again" in message


@pytest.mark.parametrize(
    "name",
    ["data_batch_1", "cifar-10-python.tar.gz", "cifar-10-batches-py/data_batch_1"],
)
def test_the_python_version_is_told_apart(tmp_path, name):
    """Its pickles are not read, and the message names the version to get."""
    path = tmp_path / "files" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x80\x02}q\x01.")

    message = refusal(tmp_path / "files")

    assert "is the Python version of CIFAR-10, which is made of pickles" in message
    assert f"get the binary version, {ARCHIVE}" in message


def test_the_variable_comes_before_the_cache(tmp_path, monkeypatch):
    """Each has a folder cifar-10, and a variable without it is an error."""
    cache = tmp_path / "cache" / "lenetjax" / "cifar-10"
    write_archive(cache, cifar10_archive(small_cifar10()))
    assert len(cifar10(download=False).train.labels) == 15
    monkeypatch.setenv("LENETJAX_DATA", str(tmp_path / "var"))

    message = refusal(None, FileNotFoundError)

    assert f"LENETJAX_DATA is set to {tmp_path / 'var'}, and " in message
    assert f"{tmp_path / 'var' / 'cifar-10'} lacks {ARCHIVE}" in message
    write_folder(tmp_path / "var" / "cifar-10" / CIFAR_FOLDER, small_cifar10())
    assert len(cifar10().train.labels) == 15


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    """One line names the file, the folder, the two other ways, and the reason."""
    monkeypatch.setattr(module, "MIRRORS", ("http://127.0.0.1:1/",))
    message = refusal(None, FileNotFoundError)
    cache = tmp_path / "cache" / "lenetjax" / "cifar-10"
    for part in [ARCHIVE, str(cache), "--data-dir", "LENETJAX_DATA", "refused"]:
        assert part in message
    assert "not on this machine" in refusal(None, FileNotFoundError, download=False)


def test_the_archive_is_downloaded(tmp_path, monkeypatch):
    """Only what has the pinned sha256 and size comes into the cache."""
    with serving(tmp_path / "served") as (served, address):
        content = cifar10_archive(small_cifar10())
        write_archive(served, content)
        monkeypatch.setattr(module, "MIRRORS", (address,))
        assert "another content" in refusal(None, FileNotFoundError)
        monkeypatch.setattr(module, "SHA256", hashlib.sha256(content).hexdigest())
        assert len(cifar10().train.labels) == 15
        (tmp_path / "cache" / "lenetjax" / "cifar-10" / ARCHIVE).unlink()
        monkeypatch.setattr(module, "ARCHIVE_BYTES", len(content) - 1)
        assert "more than" in refusal(None, FileNotFoundError)


def test_the_mirror_is_secure():
    """Downloads go over https only, and the archive has a sha256."""
    source = Path(module.__file__).read_text()
    assert source.count("https://") == 1
    assert "http://" not in source
    assert len(bytes.fromhex(module.SHA256)) == 32
