"""Handwritten digits that come with scikit-learn: real data without a download."""

import numpy as np
from numpy.typing import NDArray

from lenetjax.data.checks import positive_int
from lenetjax.data.dataset import Dataset, Split
from lenetjax.data.images import resize

DARKEST = 16  # each of the 8 x 8 values counts the inked pixels of a 4 x 4 block


def digits(*, image_size: int = 32) -> Dataset:
    """Loads scikit-learn's digits: 1,437 images to train on and 360 to test with.

    The split is fixed: every fifth image of each class is for testing, whatever the
    size. All writers are in both parts, so the test says how well a net reads these
    hands, not those of strangers.

    Args:
      image_size: height and width of the images returned, in pixels. The originals have
        8; they are interpolated bilinearly.

    Returns:
      A `Dataset`: images (count, image_size, image_size, 1), float32 in [0, 1] with
      ink 1 and paper 0; labels (count,), int32 in 0 to 9.

    Raises:
      ImportError: scikit-learn is not installed.
      ValueError: `image_size` is no positive int.

    Example:
      >>> data = digits()
      >>> data.train.images.shape, data.test.images.shape
      ((1437, 32, 32, 1), (360, 32, 32, 1))

    Reference: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", the
      test part, UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49.
    """
    size = positive_int("image_size", image_size)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            'digits() needs scikit-learn: pip install "lenetjax[data]"'
        ) from error
    source = load_digits()
    images = (source.images[..., np.newaxis] / DARKEST).astype(np.float32)
    images = resize(images, size)
    labels = source.target.astype(np.int32)
    test = _test_part(labels)
    return Dataset(
        train=Split(images[~test], labels[~test]),
        test=Split(images[test], labels[test]),
    )


def _test_part(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    # No random numbers: NumPy may change its streams, and this split must stay.
    by_class = np.argsort(labels, kind="stable")
    test = np.zeros(len(labels), np.bool_)
    test[by_class[::5]] = True
    return test
