"""The digits that come with scikit-learn, and what importing the package costs."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

import lenetjax.data
from lenetjax.data import digits, resize


def test_shapes_types_and_range():
    """Images are float32 in [0, 1] of the size asked for; labels are int32 in 0..9."""
    data = digits(image_size=20)

    assert data.train.images.shape == (1437, 20, 20, 1)
    assert data.test.images.shape == (360, 20, 20, 1)
    for images, labels in data:
        assert images.dtype == np.float32
        assert images.min() == 0
        assert 0.9 < images.max() <= 1
        assert labels.dtype == np.int32
        assert labels.shape == images.shape[:1]
        assert set(labels.tolist()) == set(range(10))


def test_size_8_gives_the_originals_each_once():
    """Train and test together are scikit-learn's images divided by 16, none twice."""
    source = load_digits()
    want = {
        (image.tobytes(), label)
        for image, label in zip(
            (source.images / 16).astype(np.float32), source.target, strict=True
        )
    }
    data = digits(image_size=8)
    got = [
        (image.tobytes(), label)
        for split in data
        for image, label in zip(split.images, split.labels.tolist(), strict=True)
    ]
    assert len(got) == 1797
    assert set(got) == want


def test_each_class_is_split_alike():
    """A fifth of each class is for testing."""
    data = digits(image_size=8)
    test, train = (np.bincount(split.labels) for split in (data.test, data.train))
    np.testing.assert_allclose(test / (test + train), 0.2, atol=0.005)


def test_the_split_is_the_same_for_every_size():
    """Image i of one size is image i of another, interpolated."""
    small, large = digits(image_size=8), digits(image_size=24)
    for before, after in zip(small, large, strict=True):
        np.testing.assert_array_equal(before.labels, after.labels)
        np.testing.assert_allclose(resize(before.images, 24), after.images, atol=1e-6)


def test_digits_repeat_exactly():
    """Two calls give the same arrays, whatever was drawn from NumPy in between."""
    first = digits()
    np.random.seed(1)  # noqa: NPY002 — the global state is what must not matter
    second = digits()
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_the_split_stays_as_released():
    """The first labels of both parts are those of the first release."""
    data = digits(image_size=8)
    assert data.train.labels[:12].tolist() == [1, 3, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4]
    assert data.test.labels[:12].tolist() == [0, 2, 4, 7, 1, 6, 8, 9, 5, 3, 0, 2]


@pytest.mark.parametrize("size", [0, -8, 8.0, True, None, "8"])
def test_a_size_that_is_no_positive_int_is_refused(size):
    """The message names the argument and what came."""
    with pytest.raises(ValueError, match="image_size must be a positive int, got"):
        digits(image_size=size)


def test_a_missing_package_is_named(monkeypatch):
    """Without scikit-learn the error says what to install."""
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        ImportError, match=r'scikit-learn: pip install "lenetjax\[data\]'
    ):
        digits()


def test_public_names_exist():
    """Each name in `__all__` can be had."""
    assert all(hasattr(lenetjax.data, name) for name in lenetjax.data.__all__)


def test_importing_the_package_imports_nothing_heavy():
    """jax, scikit-learn and Pillow are imported by the functions that need them."""
    (folder,) = lenetjax.__path__
    program = f"""
import sys, types
parent = types.ModuleType("lenetjax")  # the real one imports jax
parent.__path__ = [{folder!r}]
sys.modules["lenetjax"] = parent
import lenetjax.data
assert "lenetjax.data.images" in sys.modules
print(*{{"jax", "sklearn", "PIL"}} & sys.modules.keys())
"""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
