"""Where the files of a data set are looked for."""

import os
from pathlib import Path
from typing import NamedTuple

from lenetjax.user_cache import user_cache

VARIABLE = "LENETJAX_DATA"
ELSEWHERE = f"name their folder with --data-dir (data_dir=) or {VARIABLE}"

PathLike = str | os.PathLike[str]


class Place(NamedTuple):
    """A folder to look in.

    Fields:
      folder: the folder, which may not exist.
      lacks: the beginning of an error that ends in the names of missing files.
      ours: whether it is in the user's cache, where files may be downloaded to.
    """

    folder: Path
    lacks: str
    ours: bool


def place_of(title: str, data_dir: PathLike | None, *, part: str, cached: str) -> Place:
    """Finds the one folder that a data set's files must be in.

    That is `data_dir`; without it the folder that the variable LENETJAX_DATA names, or
    a part of it; without that one in the user's cache.

    Args:
      title: the data set's name, for messages.
      data_dir: what the user gave.
      part: the folder inside of the one that the variable names; "" is that one itself.
      cached: the folder inside of the cache.

    Raises:
      FileNotFoundError: nothing is named, and the user has no cache.
    """
    if data_dir is not None:
        folder = expanded(data_dir)
        return Place(folder, f"{folder} lacks", ours=False)
    if named := os.environ.get(VARIABLE):
        folder = expanded(named) / part
        which = f"and {folder}" if part else "which"
        return Place(folder, f"{VARIABLE} is set to {named}, {which} lacks", ours=False)
    cache = user_cache()
    if cache is None:
        raise FileNotFoundError(
            f"{title} was not found, as this user has no home folder to look in; name "
            f"the folder of the files with --data-dir (data_dir=) or {VARIABLE}"
        )
    folder = cache / cached
    return Place(folder, f"{title} is not on this machine: {folder} lacks", ours=True)


def expanded(path: PathLike) -> Path:
    """The path with its ~, which shells leave to us in --data-dir=~/mnist.

    Unlike Path.expanduser, this does not fail for a user without a home folder.
    """
    return Path(os.path.expanduser(path))
