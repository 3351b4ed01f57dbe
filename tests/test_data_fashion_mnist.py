"""Fashion-MNIST: whose files are looked for where, and those that are not its own."""

import hashlib
import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from data_files import NAMES, labels_file, serving, small_mnist, write

from lenetjax.data import FASHION_MNIST_CLASSES, fashion_mnist, mnist

module = importlib.import_module("lenetjax.data.fashion_mnist")
mnist_module = importlib.import_module("lenetjax.data.mnist")


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch, tmp_path):
    """A user whose cache is empty, without LENETJAX_DATA, and without a network."""
    monkeypatch.delenv("LENETJAX_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "MIRRORS", ())


@pytest.fixture
def server(tmp_path):
    """A web server: the folder it serves, and its address."""
    with serving(tmp_path / "served") as server:
        yield server


def refusal(*args, kind=ValueError, **options):
    with pytest.raises(kind) as caught:
        fashion_mnist(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_files_become_the_arrays_of_mnist(tmp_path, ending):
    """The files have MNIST's form, and become the same arrays."""
    folder = write(tmp_path / "files", small_mnist(), ending)

    found = fashion_mnist(folder, image_size=30)

    for mine, theirs in zip(found, mnist(folder, image_size=30), strict=True):
        np.testing.assert_array_equal(mine.images, theirs.images)
        np.testing.assert_array_equal(mine.labels, theirs.labels)
    assert found.train.images.shape == (12, 30, 30, 1)


def test_there_is_a_name_for_each_class():
    """Ten names, all different."""
    assert len(set(FASHION_MNIST_CLASSES)) == 10


def test_the_variable_names_the_folder_around_it(tmp_path, monkeypatch):
    """The files of MNIST, in the folder itself, are not taken for these."""
    folder = write(tmp_path / "var", small_mnist(20))
    monkeypatch.setenv("LENETJAX_DATA", str(folder))
    part = folder / "fashion-mnist"

    message = refusal(kind=FileNotFoundError)

    assert f"LENETJAX_DATA is set to {folder}, and {part} lacks {NAMES[0]}" in message
    write(part, small_mnist(30))
    assert len(fashion_mnist().train.labels) == 30
    assert len(mnist().train.labels) == 20


def test_the_cache_has_a_folder_for_each(tmp_path):
    """Not MNIST's folder; and without a download the error names it."""
    cache = tmp_path / "cache" / "lenetjax"
    write(cache / "mnist", small_mnist(20))

    message = refusal(kind=FileNotFoundError, download=False)

    for part in ["Fashion-MNIST is not", str(cache / "fashion-mnist"), *NAMES]:
        assert part in message
    write(cache / "fashion-mnist", small_mnist(30))
    assert len(fashion_mnist().train.labels) == 30


def test_the_files_of_mnist_are_refused(tmp_path, monkeypatch):
    """Digits must not pass for clothes, as both have the same names and form."""
    pinned = {name: hashlib.sha256(labels_file(5)).hexdigest() for name in NAMES[3:]}
    monkeypatch.setattr(module, "MNIST_SHA256", pinned)

    message = refusal(write(tmp_path / "files", small_mnist()))

    assert (
        f"{NAMES[3]}: expected labels of Fashion-MNIST, got those of MNIST" in message
    )
    assert len(fashion_mnist(write(tmp_path / "other", small_mnist(12, 6)))[1][1]) == 6


def test_the_hash_of_mnist_is_that_of_its_labels():
    """What is compared above is what MNIST's own reader has pinned."""
    assert module.MNIST_SHA256 is mnist_module.SHA256


def test_what_is_missing_is_downloaded(tmp_path, monkeypatch, server):
    """The pinned sha256 is that of the .gz files, and any other file is refused."""
    served, address = server
    write(served, small_mnist(12), ".gz")
    pinned = {
        name: hashlib.sha256((served / f"{name}.gz").read_bytes()).hexdigest()
        for name in NAMES
    }
    monkeypatch.setattr(module, "MIRRORS", (address,))

    message = refusal(kind=FileNotFoundError)
    assert "another content" in message
    assert "Fashion-MNIST is not on this machine" in message

    monkeypatch.setattr(module, "SHA256", pinned)
    assert len(fashion_mnist().train.labels) == 12


def test_the_mirrors_are_secure():
    """Downloads go over https only, and every file has a sha256."""
    source = Path(module.__file__).read_text()
    assert len(re.findall("https://(?!arxiv)", source)) == 2
    assert "http://" not in source
    assert list(module.SHA256) == NAMES
    assert len(set(module.SHA256.values())) == 4
    assert all(len(bytes.fromhex(digest)) == 32 for digest in module.SHA256.values())
    assert not set(module.SHA256.values()) & set(mnist_module.SHA256.values())
