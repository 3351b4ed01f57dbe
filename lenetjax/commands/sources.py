"""The data that the command line knows by name."""

from pathlib import Path

from lenetjax import data
from lenetjax.data import Dataset

IMAGE = (32, 32, 1)
EPOCHS = {"digits": 30, "mnist": 5}
BATCH_SIZES = {"digits": 32, "mnist": 64}


def load(name: str, folder: Path | None) -> Dataset:
    """Reads data by their name.

    Raises:
      ValueError: there are none of this name.
    """
    if name not in EPOCHS:
        raise ValueError(f"there is no data {name!r}; there is {', '.join(EPOCHS)}")
    if name == "digits":
        return data.digits(image_size=IMAGE[0])
    return data.mnist(folder, image_size=IMAGE[0])
