"""Fashion-MNIST: 70,000 pictures of clothes, in the files and sizes of MNIST."""

import hashlib

from lenetjax.data.checks import positive_int
from lenetjax.data.dataset import Dataset
from lenetjax.data.idx_set import IdxSet, Raw, read_set, to_dataset
from lenetjax.data.mnist import SHA256 as MNIST_SHA256
from lenetjax.data.places import PathLike

# The sha256 of each .gz file. Those of TensorFlow Datasets
# (url_checksums/fashion_mnist.txt) and of the package batchup
# (datasets/fashion_mnist.py) are the same; files with the md5 that Zalando's README
# and torchvision (datasets/mnist.py) give have these.
SHA256 = {
    "train-images-idx3-ubyte": (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
    ),
    "train-labels-idx1-ubyte": (
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
    ),
    "t10k-images-idx3-ubyte": (
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
    ),
    "t10k-labels-idx1-ubyte": (
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
    ),
}
MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)
FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def fashion_mnist(
    data_dir: PathLike | None = None,
    *,
    image_size: int = 32,
    resize: bool = False,
    download: bool = True,
) -> Dataset:
    """Loads Fashion-MNIST: 60,000 pictures of clothes to train on and 10,000 to test.

    The four files, gzipped or plain, have the same names as MNIST's, so they have a
    folder of their own: `data_dir`; without it ``fashion-mnist`` in the folder that the
    variable LENETJAX_DATA names; without that ``fashion-mnist`` in the user's cache
    folder, into which they are downloaded (31 MB) if need be. MNIST's own files are
    refused.

    Args:
      data_dir: the only folder to look in.
      image_size: height and width of the images returned, in pixels. The files have 28;
        more pads with black on all sides.
      resize: interpolates to `image_size` instead of padding.
      download: whether files may be downloaded.

    Returns:
      A `Dataset`: images (count, image_size, image_size, 1), float32 in [0, 1] with the
      background 0; labels (count,), int32, places in `FASHION_MNIST_CLASSES`.

    Raises:
      FileNotFoundError: there are no such files, and there was no download.
      OSError: a file cannot be read.
      ValueError: a file is damaged or MNIST's, the files do not belong together, or
        `image_size` is no positive int, or smaller than the images without `resize`.

    Example:
      >>> data = fashion_mnist()  # doctest: +SKIP
      >>> data.train.images.shape  # doctest: +SKIP
      (60000, 32, 32, 1)
      >>> FASHION_MNIST_CLASSES[9]
      'ankle boot'

    Reference: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for
      Benchmarking Machine Learning Algorithms", 2017, https://arxiv.org/abs/1708.07747.
    """
    positive_int("image_size", image_size)  # before 60,000 images are read
    source = IdxSet(
        "Fashion-MNIST", "fashion-mnist", "fashion-mnist", SHA256, MIRRORS, zipped=True
    )
    parts = read_set(source, data_dir, download=download)
    for part in parts:
        _refuse_digits(part)
    return to_dataset(parts, image_size=image_size, resize=resize)


def _refuse_digits(raw: Raw) -> None:
    """The files have MNIST's names and form, and digits would pass for clothes."""
    # An IDX file of labels is this header and the labels; MNIST_SHA256 has its hash.
    header = b"\0\0\x08\x01" + len(raw.labels).to_bytes(4, "big")
    digest = hashlib.sha256(header + raw.labels.tobytes()).hexdigest()
    if digest in MNIST_SHA256.values():
        raise ValueError(
            f"{raw.labels_path}: expected labels of Fashion-MNIST, got those of MNIST; "
            "give the two sets a folder each"
        )
