"""Batches: which images come when."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from lenetjax.data import Split, batches


def numbered(count):
    """A split in which image i is full of i, and its label is i."""
    labels = np.arange(count, dtype=np.int32)
    images = np.zeros((count, 2, 2, 1), np.float32)
    images[:] = labels.reshape(-1, 1, 1, 1)
    return Split(images, labels)


def labels_of(*args, **kwargs):
    return [labels.tolist() for _, labels in batches(*args, **kwargs)]


def test_batches_keep_the_order_without_a_seed():
    """Without a seed the images come as they are stored, the last batch smaller."""
    assert labels_of(numbered(7), 3) == [[0, 1, 2], [3, 4, 5], [6]]


def test_drop_last_leaves_out_the_smaller_batch():
    """With drop_last every batch is whole; nothing whole is dropped."""
    assert labels_of(numbered(7), 3, drop_last=True) == [[0, 1, 2], [3, 4, 5]]
    assert labels_of(numbered(6), 3, drop_last=True) == [[0, 1, 2], [3, 4, 5]]
    shuffled = labels_of(numbered(7), 3, seed=0, drop_last=True)
    assert [len(labels) for labels in shuffled] == [3, 3]


@given(count=st.integers(1, 30), size=st.integers(1, 40), seed=st.integers(0, 2**40))
def test_shuffled_batches_hold_each_image_once(count, size, seed):
    """A shuffled epoch has every image once, with its own label, in batches of size."""
    taken = list(batches(numbered(count), size, seed=seed))

    sizes = [len(labels) for _, labels in taken]
    assert sizes[:-1] == [size] * (len(sizes) - 1)
    assert sorted(np.concatenate([labels for _, labels in taken])) == list(range(count))
    for images, labels in taken:
        assert images.shape == (len(labels), 2, 2, 1)
        np.testing.assert_array_equal(images[:, 1, 1, 0], labels)


def test_seed_and_epoch_alone_decide_the_order():
    """The same seed and epoch repeat an order, whatever the global random state."""
    first = labels_of(numbered(50), 8, seed=3, epoch=2)
    np.random.default_rng().permutation(50)

    assert labels_of(numbered(50), 8, seed=3, epoch=2) == first
    assert labels_of(numbered(50), 8, seed=3, epoch=1) != first
    assert labels_of(numbered(50), 8, seed=2, epoch=2) != first
    assert labels_of(numbered(50), 8, seed=2, epoch=3) != first
    assert np.concatenate(first).tolist() != list(range(50))


def test_types_are_kept():
    """Batches have the dtypes of the split."""
    images, labels = next(batches(numbered(3), 2, seed=0))
    assert images.dtype == np.float32
    assert labels.dtype == np.int32


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, None, "2"])
def test_a_batch_size_that_is_no_positive_int_is_refused(batch_size):
    """The call itself raises, before any batch is asked for."""
    with pytest.raises(ValueError, match="batch_size must be a positive int, got"):
        batches(numbered(3), batch_size)


def test_a_numpy_integer_is_a_batch_size():
    """Sizes computed with NumPy work."""
    assert labels_of(numbered(3), np.int64(2)) == [[0, 1], [2]]


def test_bad_splits_are_refused_at_the_call():
    """An empty split and one with a label too few raise before the first batch."""
    with pytest.raises(ValueError, match="the split is empty"):
        batches(numbered(0), 2)
    images, labels = numbered(3)
    with pytest.raises(ValueError, match="3 images, 2 labels"):
        batches(Split(images, labels[:2]), 2)


def test_dropping_the_only_batch_is_refused():
    """drop_last with a batch larger than the split would train on nothing."""
    with pytest.raises(ValueError, match=r"drop_last leaves no batch: .* at most 3"):
        batches(numbered(3), 4, drop_last=True)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 0, "epoch": -1}])
def test_negative_seeds_are_refused_at_the_call(wrong):
    """Seed and epoch count from zero."""
    with pytest.raises(ValueError, match="non-negative"):
        batches(numbered(3), 2, **wrong)
