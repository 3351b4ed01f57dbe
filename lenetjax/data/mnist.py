"""MNIST: 70,000 handwritten digits, from files here or a checked download."""

from lenetjax.data.checks import positive_int
from lenetjax.data.dataset import Dataset
from lenetjax.data.idx_set import IdxSet, read_set, to_dataset
from lenetjax.data.places import PathLike

# The sha256 of each file's decompressed content.
SHA256 = {
    "train-images-idx3-ubyte": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels-idx1-ubyte": (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "t10k-images-idx3-ubyte": (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "t10k-labels-idx1-ubyte": (
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


def mnist(
    data_dir: PathLike | None = None,
    *,
    image_size: int = 32,
    resize: bool = False,
    download: bool = True,
) -> Dataset:
    """Loads MNIST: 60,000 handwritten digits to train on and 10,000 to test with.

    The four files, gzipped or plain, are looked for in `data_dir`; without it in the
    folder that the variable LENETJAX_DATA names; without that in the user's cache
    folder, into which they are downloaded (11 MB) if need be. Any data in MNIST's
    format will do; Fashion-MNIST has a function of its own, `fashion_mnist`.

    Args:
      data_dir: the only folder to look in.
      image_size: height and width of the images returned, in pixels. The files have 28;
        more pads with paper on all sides.
      resize: interpolates to `image_size` instead of padding.
      download: whether files may be downloaded.

    Returns:
      A `Dataset`: images (count, image_size, image_size, 1), float32 in [0, 1] with
      ink 1 and paper 0; labels (count,), int32 in 0 to 9.

    Raises:
      FileNotFoundError: there are no such files, and there was no download.
      OSError: a file cannot be read.
      ValueError: a file is damaged, the files do not belong together, or `image_size`
        is no positive int, or smaller than the images without `resize`.

    Example:
      >>> data = mnist()  # doctest: +SKIP
      >>> data.train.images.shape  # doctest: +SKIP
      (60000, 32, 32, 1)

    Reference: LeCun et al., "Gradient-based learning applied to document recognition",
      1998.
    """
    positive_int("image_size", image_size)  # before 60,000 images are read
    source = IdxSet("MNIST", "", "mnist", SHA256, MIRRORS, zipped=False)
    parts = read_set(source, data_dir, download=download)
    return to_dataset(parts, image_size=image_size, resize=resize)
