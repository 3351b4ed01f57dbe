"""MNIST: where its files are found, how they become arrays, and the download."""

import gzip
import hashlib
import importlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from data_files import NAMES, images_file, labels_file, serving, small_mnist, write

from lenetjax.data import mnist, read_idx
from lenetjax.data.download import fetch

# `lenetjax.data.mnist` is the function; the module has to be asked for by name.
module = importlib.import_module("lenetjax.data.mnist")
downloads = importlib.import_module("lenetjax.data.download")


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch, tmp_path):
    """A user whose cache is empty, without LENETJAX_DATA, and without a network."""
    monkeypatch.delenv("LENETJAX_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "MIRRORS", ())


def cache(tmp_path):
    return tmp_path / "cache" / "lenetjax" / "mnist"


# Arrays


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_files_become_arrays(tmp_path, ending):
    """Gzipped and plain files give the same data set, with the documented types."""
    data = mnist(write(tmp_path / "files", small_mnist(), ending))

    assert data.train.images.shape == (12, 32, 32, 1)
    assert data.test.images.shape == (5, 32, 32, 1)
    for images, labels in data:
        assert images.dtype == np.float32
        assert labels.dtype == np.int32
        assert labels.tolist() == [i % 10 for i in range(len(images))]
        assert (images.min(), images.max()) == (0, 1)


@pytest.mark.parametrize(("size", "before"), [(28, 0), (29, 0), (31, 1), (32, 2)])
def test_larger_sizes_pad_with_zeros(tmp_path, size, before):
    """Padding is even on all sides, an odd pixel below and right; inside is intact."""
    data = mnist(write(tmp_path / "files", small_mnist()), image_size=size)

    raw = np.arange(12 * 28 * 28).reshape(12, 28, 28) % 256
    after = size - 28 - before
    want = np.pad(raw / 255, [(0, 0), (before, after), (before, after)])
    np.testing.assert_allclose(data.train.images[..., 0], want, atol=1e-7)


@pytest.mark.parametrize("size", [8, 32])
def test_resize_interpolates(tmp_path, size):
    """With resize=True the image fills the size: the border is not all zero."""
    files = small_mnist()
    files[NAMES[0]] = files[NAMES[0]][:16] + bytes([255]) * (12 * 28 * 28)
    data = mnist(write(tmp_path / "files", files), image_size=size, resize=True)
    np.testing.assert_allclose(
        data.train.images, np.ones((12, size, size, 1)), atol=1e-6
    )


def test_a_smaller_size_asks_for_resize(tmp_path):
    """Cropping is never done; the message says what to pass."""
    folder = write(tmp_path / "files", small_mnist())
    with pytest.raises(
        ValueError, match=r"image_size=27 .* \(28, 28\); pass resize=True"
    ):
        mnist(folder, image_size=27)


@pytest.mark.parametrize("size", [0, -8, 32.0, True, None, "32"])
def test_a_size_that_is_no_positive_int_is_refused(size):
    """The message names the argument and what came."""
    with pytest.raises(ValueError, match="image_size must be a positive int, got"):
        mnist(image_size=size)


def test_images_that_are_not_square_are_padded(tmp_path):
    """Both sides are padded to the size."""
    folder = write(tmp_path / "files", small_mnist(height=6, width=10))
    images = mnist(folder, image_size=12).train.images[..., 0]
    assert images.shape == (12, 12, 12)
    assert not images[:, :3].any()
    assert not images[:, 9:].any()
    assert not images[:, :, 0].any()
    assert images[:, 3:9, 1:11].all(axis=0).any()


def test_counts_must_agree(tmp_path):
    """Images and labels of different number are refused, both files named."""
    folder = write(tmp_path / "files", small_mnist() | {NAMES[3]: labels_file(4)})
    with pytest.raises(ValueError, match=f"{NAMES[2]} has 5 .*{NAMES[3]} has 4"):
        mnist(folder)


def test_sides_must_agree(tmp_path):
    """Train and test images of different sides are refused, both files named."""
    folder = write(
        tmp_path / "files", small_mnist() | {NAMES[2]: images_file(5, 28, 27)}
    )
    with pytest.raises(ValueError, match=f"{NAMES[0]} has .*{NAMES[2]} has") as caught:
        mnist(folder)
    assert "(28, 27)" in str(caught.value)


def test_swapped_files_are_refused(tmp_path):
    """A file of labels under the name of images is no data set."""
    folder = write(tmp_path / "files", small_mnist() | {NAMES[0]: labels_file(12)})
    with pytest.raises(ValueError, match="expected images"):
        mnist(folder)


# Places


def test_data_dir_is_the_only_place(tmp_path, monkeypatch):
    """Files elsewhere do not stand in for those missing in data_dir."""
    monkeypatch.setenv("LENETJAX_DATA", str(write(tmp_path / "var", small_mnist())))
    write(cache(tmp_path), small_mnist())
    files = small_mnist()
    del files[NAMES[1]], files[NAMES[2]]
    folder = write(tmp_path / "files", files)

    with pytest.raises(
        FileNotFoundError, match=f"lacks {NAMES[1]}, {NAMES[2]} "
    ) as caught:
        mnist(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_with_the_name_of_a_file_is_none(tmp_path):
    """Some unpackers make a folder of each file."""
    folder = write(tmp_path / "files", small_mnist())
    (folder / NAMES[0]).unlink()
    (folder / NAMES[0]).mkdir()
    with pytest.raises(FileNotFoundError, match=f"lacks {NAMES[0]} "):
        mnist(folder)


def test_the_variable_comes_before_the_cache(tmp_path, monkeypatch):
    """LENETJAX_DATA is used when data_dir is not given; the cache is not."""
    monkeypatch.setenv("LENETJAX_DATA", str(write(tmp_path / "var", small_mnist(20))))
    write(cache(tmp_path), small_mnist(30))
    assert len(mnist().train.labels) == 20


def test_a_wrong_variable_is_named(tmp_path, monkeypatch):
    """A set variable without the files is an error, not a reason to look elsewhere."""
    monkeypatch.setenv("LENETJAX_DATA", str(tmp_path / "var"))
    write(cache(tmp_path), small_mnist())
    with pytest.raises(
        FileNotFoundError, match=r"LENETJAX_DATA is set to .*var, which"
    ):
        mnist()


def test_an_empty_variable_is_unset(tmp_path, monkeypatch):
    """LENETJAX_DATA= counts as not set."""
    monkeypatch.setenv("LENETJAX_DATA", "")
    write(cache(tmp_path), small_mnist(30))
    assert len(mnist().train.labels) == 30


def test_the_cache_is_in_the_home_folder_by_default(tmp_path, monkeypatch):
    """Without XDG_CACHE_HOME, or with a relative one, it is ~/.cache."""
    write(tmp_path / ".cache" / "lenetjax" / "mnist", small_mnist(30))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert len(mnist(download=False).train.labels) == 30
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert len(mnist(download=False).train.labels) == 30


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    """~ in data_dir is expanded, as shells do not in --data-dir=~/mnist."""
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "mnist", small_mnist(30))
    assert len(mnist("~/mnist").train.labels) == 30


def test_no_home_folder(monkeypatch):
    """A user without a home folder is told what to set."""

    def no_home():
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(FileNotFoundError, match=r"no home folder .* LENETJAX_DATA"):
        mnist()


def test_without_a_download_the_error_says_what_to_put_where(tmp_path):
    """download=False looks in the cache, writes nothing, and names files and folder."""
    with pytest.raises(FileNotFoundError) as caught:
        mnist(download=False)

    message = str(caught.value)
    for part in [*NAMES, str(cache(tmp_path)), "--data-dir", "LENETJAX_DATA"]:
        assert part in message
    assert "\n" not in message
    assert not cache(tmp_path).exists()


# The download, from a server on this machine


@pytest.fixture
def server(tmp_path):
    """A web server: the folder it serves, and its address."""
    with serving(tmp_path / "served") as server:
        yield server


@pytest.fixture
def target(tmp_path):
    """The folder to download into, which does not exist yet."""
    return tmp_path / "some" / "target"


CONTENT = labels_file(100)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_fetch_stores_what_was_served(server, target):
    """The gzip file arrives as it is, in a folder made for it, and nothing else."""
    folder, address = server
    (folder / "file.gz").write_bytes(gzip.compress(CONTENT))

    path = fetch("file.gz", SHA256, target, [address])

    assert path == target / "file.gz"
    assert path.read_bytes() == (folder / "file.gz").read_bytes()
    assert list(target.iterdir()) == [path]


def test_fetch_goes_on_to_the_next_mirror(server, target):
    """A mirror with another file, or none, is passed over."""
    folder, address = server
    for mirror, content in {"bad": b"other", "good": CONTENT}.items():
        (folder / mirror).mkdir()
        (folder / mirror / "file.gz").write_bytes(gzip.compress(content))
    mirrors = [f"{address}{mirror}/" for mirror in ("none", "bad", "good")]

    path = fetch("file.gz", SHA256, target, mirrors)

    assert read_idx(path).tolist() == [i % 10 for i in range(100)]


SERVED = {
    "other content": (gzip.compress(b"other"), "another content"),
    "web page": (b"<html>403</html>", "no gzip file"),
    "empty": (b"", "cut short"),
    "cut": (gzip.compress(CONTENT)[:-4], "cut short"),
    "wrong sum": (gzip.compress(CONTENT)[:-8] + bytes(8), "no gzip file"),
    "too large": (gzip.compress(os.urandom(5000)), "more than 4096 bytes"),
    "bomb": (gzip.compress(bytes(100_000)), "too large"),
}


@pytest.mark.parametrize(("content", "reason"), SERVED.values(), ids=SERVED)
def test_fetch_refuses_other_files(server, target, monkeypatch, content, reason):
    """What has not the pinned sha256, or is too large, never appears in the folder."""
    monkeypatch.setattr(downloads, "MOST_BYTES", 50_000)
    folder, address = server
    (folder / "file.gz").write_bytes(content)

    with pytest.raises(OSError, match=reason) as caught:
        fetch("file.gz", SHA256, target, [address], most=4096)

    assert f"{address}file.gz" in str(caught.value)
    assert list(target.iterdir()) == []


def test_fetch_names_every_mirror_that_failed(server, target):
    """A 404 and a closed port are both in the message."""
    _, address = server
    mirrors = [address, "http://127.0.0.1:1/"]
    with pytest.raises(OSError, match=r"404.*; http://127\.0\.0\.1:1/file\.gz: "):
        fetch("file.gz", SHA256, target, mirrors)


def test_a_failed_write_leaves_nothing(server, target, monkeypatch):
    """When the disk fails before the file is whole, no file and no part stays."""
    folder, address = server
    (folder / "file.gz").write_bytes(gzip.compress(CONTENT))

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        fetch("file.gz", SHA256, target, [address])
    assert list(target.iterdir()) == []


def test_mnist_downloads_what_is_missing(server, tmp_path, monkeypatch):
    """Absent files come into the cache; the next call needs no server."""
    folder, address = server
    files = small_mnist()
    write(folder, files, ".gz")
    pinned = {name: hashlib.sha256(files[name]).hexdigest() for name in NAMES}
    monkeypatch.setattr(module, "SHA256", pinned)
    monkeypatch.setattr(module, "MIRRORS", (address,))
    write(cache(tmp_path), {NAMES[0]: images_file(12)})

    assert len(mnist().train.labels) == 12

    found = sorted(path.name for path in cache(tmp_path).iterdir())
    assert found == sorted([NAMES[0], *(f"{name}.gz" for name in NAMES[1:])])
    monkeypatch.setattr(module, "MIRRORS", ())
    assert len(mnist().test.labels) == 5


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    """One line names the files, the folder, the two other ways, and the reason."""
    monkeypatch.setattr(module, "MIRRORS", ("http://127.0.0.1:1/",))

    with pytest.raises(FileNotFoundError) as caught:
        mnist()

    message = str(caught.value)
    for part in [
        *NAMES,
        str(cache(tmp_path)),
        "--data-dir",
        "LENETJAX_DATA",
        "refused",
    ]:
        assert part in message
    assert "\n" not in message


def test_a_cache_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    """A cache folder that is a file gives the same advice, not a bare system error."""
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(FileNotFoundError, match=r"LENETJAX_DATA.*The reason: "):
        mnist()


def test_the_mirrors_are_secure():
    """Downloads go over https only, and every file has a sha256."""
    source = Path(module.__file__).read_text()
    assert source.count("https://") == 2
    assert "http://" not in source
    assert list(module.SHA256) == NAMES
    assert all(len(bytes.fromhex(digest)) == 32 for digest in module.SHA256.values())


# The real files

REAL = os.environ.get("LENETJAX_DATA")  # read here, as the fixture above unsets it


@pytest.fixture(scope="module")
def real():
    """The real data set, loaded once."""
    if not REAL:
        pytest.skip("set LENETJAX_DATA to the folder with the MNIST files")
    return mnist(REAL)


def test_real_mnist_has_its_known_content(real):
    """The raw bytes have the published checksums, so the arrays are MNIST's."""
    inside = real.train.images[:, 2:30, 2:30, 0]
    raw = np.round(inside * 255).astype(np.uint8)
    start = b"\0\0\x08\x03" + struct.pack(">3I", 60000, 28, 28)
    md5 = hashlib.md5(start + raw.tobytes(), usedforsecurity=False).hexdigest()
    assert md5 == "6bbc9ace898e44ae57da46a324031adb"

    for split, name in [(real.train, NAMES[1]), (real.test, NAMES[3])]:
        start = b"\0\0\x08\x01" + struct.pack(">I", len(split.labels))
        content = start + split.labels.astype(np.uint8).tobytes()
        assert hashlib.sha256(content).hexdigest() == module.SHA256[name]


def test_real_mnist_has_the_documented_shape(real):
    """60,000 and 10,000 images of 32 x 32, the first a 5, with two pixels of paper."""
    assert real.train.images.shape == (60000, 32, 32, 1)
    assert real.test.images.shape == (10000, 32, 32, 1)
    assert real.train.images.dtype == np.float32
    assert real.train.labels[0] == 5
    assert np.bincount(real.test.labels).tolist()[:3] == [980, 1135, 1032]
    assert real.train.images.max() == 1
    for edge in (slice(0, 2), slice(30, 32)):
        assert not real.test.images[:, edge].any()
        assert not real.test.images[:, :, edge].any()


def test_real_files_have_the_pinned_hashes():
    """The files given are the ones that a download would be checked against."""
    if not REAL:
        pytest.skip("set LENETJAX_DATA to the folder with the MNIST files")
    for name, sha256 in module.SHA256.items():
        (path,) = Path(REAL).glob(f"{name}*")
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        assert hashlib.sha256(content).hexdigest() == sha256
