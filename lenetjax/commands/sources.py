"""The data that the command line knows by name, and what a training takes of them."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lenetjax import data
from lenetjax.data import CIFAR10_CLASSES, FASHION_MNIST_CLASSES, Dataset
from lenetjax.runs import TrainedRun

SIZE = 32  # the side of images
LENGTH = 64  # of sequences of characters
TEXT = "text"
TOPICS = (
    "python -c \"from pydoc_data.topics import topics; print('\\n'.join("
    'topics.values()))" > topics.txt'
)


class Found(NamedTuple):
    """Data, and for text the characters that its ids stand for."""

    data: Dataset
    vocabulary: str | None = None


class Source(NamedTuple):
    """Where data of a name come from, and the defaults of a training on them."""

    load: Callable[[Path | None], Found]
    epochs: int
    batch_size: int
    shape: tuple[int, ...] = (SIZE, SIZE, 1)  # of an example
    dtype: str = "float32"
    classes: tuple[str, ...] = ()  # their names, where they are no numbers
    model: str = "lenet"
    optimizer: str = "sgd"
    examples: str = "images"  # what they are


def _digits(folder: Path | None) -> Found:
    return Found(data.digits(image_size=SIZE))


def _mnist(folder: Path | None) -> Found:
    return Found(data.mnist(folder, image_size=SIZE))


def _fashion_mnist(folder: Path | None) -> Found:
    return Found(data.fashion_mnist(folder, image_size=SIZE))


def _cifar10(folder: Path | None) -> Found:
    return Found(data.cifar10(folder))


def _text(path: Path | None) -> Found:
    return Found(*data.text(_named(path), LENGTH))


SOURCES = {
    "digits": Source(_digits, epochs=30, batch_size=32),
    "mnist": Source(_mnist, epochs=5, batch_size=64),
    "fashion-mnist": Source(
        _fashion_mnist, epochs=10, batch_size=64, classes=FASHION_MNIST_CLASSES
    ),
    "cifar10": Source(
        _cifar10,
        epochs=20,
        batch_size=64,
        shape=(SIZE, SIZE, 3),
        classes=CIFAR10_CLASSES,
    ),
    TEXT: Source(
        _text,
        epochs=10,
        batch_size=32,
        shape=(LENGTH,),
        dtype="int32",
        model="char_lstm",
        optimizer="adam",
        examples="sequences",
    ),
}


def source(name: str) -> Source:
    """Finds data by their name.

    Raises:
      ValueError: there are none of this name.
    """
    if name not in SOURCES:
        raise ValueError(f"there is no data {name!r}; there is {', '.join(SOURCES)}")
    return SOURCES[name]


def data_of(run: TrainedRun, folder: Path | None) -> Dataset:
    """Reads the data that a run was trained on; of text, ids mean what they meant then.

    Raises:
      ValueError: there are none of this name, or they do not fit.
    """
    found = source(run.config["data"])
    if run.vocabulary is None:
        return found.load(folder).data
    (length,) = run.example.shape[1:]
    return data.text(_named(folder), length, vocabulary=run.vocabulary).data


def _named(path: Path | None) -> Path:
    if path is None:
        raise ValueError(
            "text is a file of yours: name it with --data-dir FILE; some that every "
            f"Python has: {TOPICS}"
        )
    return path
