"""Images and labels as NumPy arrays: real handwritten digits, image files, batches."""

from lenetjax.data.batches import batches
from lenetjax.data.dataset import Dataset, Split
from lenetjax.data.digits import digits
from lenetjax.data.idx import read_idx
from lenetjax.data.image_folder import ImageFolder, image_folder
from lenetjax.data.images import load_image, resize
from lenetjax.data.mnist import mnist

__all__ = [
    "Dataset",
    "ImageFolder",
    "Split",
    "batches",
    "digits",
    "image_folder",
    "load_image",
    "mnist",
    "read_idx",
    "resize",
]
