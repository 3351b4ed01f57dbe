"""The folder of a run: config.json, metrics.jsonl, model.safetensors, checkpoints/."""

import contextlib
import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lenetjax import checkpoint
from lenetjax.callbacks import Callback
from lenetjax.checkpoint.files import sweep, write_whole
from lenetjax.checkpoint.store import versions
from lenetjax.core import Layer, Params, Plan, State
from lenetjax.description import build, describe
from lenetjax.keeping import CHECKPOINTS, EARLIER
from lenetjax.locks import locked
from lenetjax.training import TrainState

FORMAT = 1
CONFIG, METRICS, MODEL = "config.json", "metrics.jsonl", "model.safetensors"
TENSORBOARD = "tensorboard"  # a folder, with --tensorboard
FLOATS, INTS = "float32", "int32"  # what inputs may be
STATE = "#state"  # beside the params; no layer can have this name
UNSAID = EARLIER | {"precision": "float32"}  # of runs that do not say
LARGEST_CONFIG = 2**24  # bytes


class Run(Callback):
    """A run's folder while it is written; as a callback it keeps what each epoch gives.

    Args:
      folder: the folder.
      net: the net that is trained.
      image_shape: of its images, (height, width, channels), or sequences, (length,).
      model: the net's name.
      data: the data's name.
      training: the options that decide the result.
      dtype: of its inputs.
      vocabulary: the characters that they stand for, if they are of text.
    """

    def __init__(
        self,
        folder: Path,
        net: Layer,
        image_shape: Sequence[int],
        *,
        model: str,
        data: str,
        training: Mapping[str, Any],
        dtype: str = FLOATS,
        vocabulary: str | None = None,
    ) -> None:
        self.folder = folder
        self.checkpoints = checkpoint.Folder(folder / CHECKPOINTS, keep=2)
        self.config = {
            "format": FORMAT,
            "model": model,
            "data": data,
            "image_shape": list(image_shape),
            "dtype": dtype,
            **({} if vocabulary is None else {"vocabulary": vocabulary}),
            "training": dict(training),
            "net": describe(net),
            "versions": versions(),
        }

    @contextlib.contextmanager
    def writing(self, *, anew: bool) -> Iterator[None]:
        """Makes the folder, writes down what is to be trained, and keeps others out.

        Args:
          anew: whether to refuse to go on with a run.

        Raises:
          ValueError: the folder holds a run, and it is another or `anew` is set.
          OSError: it cannot be written, or another process writes to it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder):
            sweep(self.folder)
            taken = [n for n in (CONFIG, METRICS, MODEL) if (self.folder / n).exists()]
            if CONFIG in taken and not anew:
                self._refuse_another()
            elif taken:
                raise ValueError(
                    f"{self.folder} holds a run already ({', '.join(taken)}); "
                    "give another --out"
                )
            else:
                text = json.dumps(self.config, indent=2) + "\n"
                write_whole(self.folder / CONFIG, text.encode())
            yield

    def on_epoch(self, row: Mapping[str, float], run: TrainState) -> None:
        """Writes down an epoch's metrics and weights."""
        self.add_row(row)
        self.save(run.params, run.state)

    def add_row(self, row: Mapping[str, float]) -> None:
        """Adds an epoch to the metrics, in place of what is there of it and later."""
        rows = read_rows(self.folder / METRICS)
        self.save_history([*(r for r in rows if r["epoch"] < row["epoch"]), row])

    def save_history(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Writes the metrics of all epochs."""
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write_whole(self.folder / METRICS, text.encode())

    def save(self, params: Params, state: State) -> None:
        """Writes the weights, in place of the last ones."""
        config = {"config": json.dumps(self.config)}
        checkpoint.save(self.folder / MODEL, with_state(params, state), config)

    def save_figure(self, name: str, figure: Any) -> None:
        """Writes a picture."""
        save_figure(self.folder / name, figure)

    def _refuse_another(self) -> None:
        there = _read_config(self.folder / CONFIG)
        mine = json.loads(json.dumps(self.config))  # tuples are lists there
        if differences := _differences(there, mine):
            raise ValueError(
                f"{self.folder} holds a run of another configuration "
                f"({'; '.join(differences)}); give another --out"
            )


class TrainedRun(NamedTuple):
    """A run's folder, read back."""

    config: dict[str, Any]
    net: Layer
    params: Params
    state: State

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """The shape and dtype of one input."""
        return _example(self.config)

    @property
    def vocabulary(self) -> str | None:
        """The characters that inputs stand for, if the net was trained on text."""
        return _vocabulary(self.config)


def read_config(folder: Path) -> tuple[dict[str, Any], Layer, Plan]:
    """Reads what a run trains: its configuration, its net, and the net's shapes.

    Raises:
      OSError: the file cannot be read.
      ValueError: there is none, or it is not what a run leaves there.
    """
    config = _read_config(folder / CONFIG)
    try:
        if not all(isinstance(config[name], str) for name in ("model", "data")):
            raise ValueError("model and data are no names")
        net = build(config["net"])
        _vocabulary(config)
        plan = net.plan(_example(config))
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{folder / CONFIG} describes no net: {error}") from None
    return config, net, plan


def open_run(folder: Path) -> TrainedRun:
    """Reads a run's folder.

    Raises:
      OSError: a file in it cannot be read, or there are no weights yet.
      ValueError: it holds no run, or a file is not what a run leaves there.
    """
    config, net, plan = read_config(folder)
    tree = checkpoint.load(folder / MODEL, with_state(plan.params, plan.state))
    state = tree.pop(STATE, {})
    return TrainedRun(config, net, tree, state)


def with_state(params: Params, state: State) -> dict[str, Any]:
    """The tree that is in the file of the weights."""
    return {**params, STATE: state} if state else params


def read_json(path: Path) -> dict[str, Any]:
    """Reads a configuration.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is no file of JSON with a table in it, or too large for one.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # to open a pipe would wait forever
        raise ValueError(f"{path} is no regular file")
    if found.st_size > LARGEST_CONFIG:
        raise ValueError(
            f"{path} is no configuration: it has {found.st_size:,} bytes, more than "
            f"{LARGEST_CONFIG:,}"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON file: {error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path} is no configuration: it holds no table")
    return config


def save_figure(path: Path, figure: Any) -> None:
    """Writes a picture, whole or not at all.

    Raises:
      OSError: it cannot be written.
    """
    content = BytesIO()
    figure.savefig(content, format="png", dpi=120)
    write_whole(path, content.getvalue())


def read_rows(path: Path) -> list[dict[str, float]]:
    """Reads the metrics of a run; none if there is no file.

    Raises:
      OSError: it cannot be read.
      ValueError: it is damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [dict(json.loads(line)) for line in lines]
        if all(isinstance(row["epoch"], int) for row in rows):
            return rows
    except FileNotFoundError:
        return []
    except (UnicodeDecodeError, ValueError, TypeError, KeyError, RecursionError):
        pass
    raise ValueError(f"{path} is damaged: a line is no epoch's JSON; remove the file")


def _example(config: Mapping[str, Any]) -> jax.ShapeDtypeStruct:
    """What one input is; runs of old state no dtype, as all were of images."""
    dtype = config.get("dtype", FLOATS)
    if dtype not in (FLOATS, INTS):
        raise ValueError(f"its dtype is {FLOATS} or {INTS}, not {dtype!r}")
    shape = tuple(int(n) for n in config["image_shape"])
    return jax.ShapeDtypeStruct((1, *shape), jnp.dtype(dtype))


def _vocabulary(config: Mapping[str, Any]) -> str | None:
    vocabulary = config.get("vocabulary")
    if vocabulary is None:
        return None
    if not isinstance(vocabulary, str) or len(set(vocabulary)) < len(vocabulary):
        raise ValueError("its vocabulary is no text with each character once")
    return vocabulary


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What two configurations do not share, besides the versions."""
    told = ("model", "data", "image_shape")
    pairs = [(name, there.get(name), here[name]) for name in told]
    trained = there.get("training")
    trained = UNSAID | (trained if isinstance(trained, dict) else {})
    pairs += [(name, trained.get(name), new) for name, new in here["training"].items()]
    found = [f"{name} {a} there, {b} here" for name, a, b in pairs if a != b]
    if there.get("vocabulary") != here.get("vocabulary"):
        found.append("a text of other characters")
    if not found and there.get("net") != here["net"]:
        found.append("other layers")
    return found


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{path.parent} holds no run, as there is no {path}; name the folder that "
            "lenetjax train saved in"
        ) from None
    if config.get("format") != FORMAT:
        raise ValueError(f"{path} is no run's configuration of format {FORMAT}")
    return config
