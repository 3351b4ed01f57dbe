"""Images, text and labels as NumPy arrays: real data sets, image files, batches."""

from lenetjax.data.batches import batches
from lenetjax.data.cifar10 import CIFAR10_CLASSES, cifar10
from lenetjax.data.dataset import Dataset, Split
from lenetjax.data.digits import digits
from lenetjax.data.fashion_mnist import FASHION_MNIST_CLASSES, fashion_mnist
from lenetjax.data.idx import read_idx
from lenetjax.data.image_folder import ImageFolder, image_folder
from lenetjax.data.images import load_image, resize
from lenetjax.data.mnist import mnist
from lenetjax.data.text import Text, text

__all__ = [
    "CIFAR10_CLASSES",
    "FASHION_MNIST_CLASSES",
    "Dataset",
    "ImageFolder",
    "Split",
    "Text",
    "batches",
    "cifar10",
    "digits",
    "fashion_mnist",
    "image_folder",
    "load_image",
    "mnist",
    "read_idx",
    "resize",
    "text",
]
