"""The folder that a run leaves: config.json, metrics.jsonl, model.safetensors."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lenetjax import checkpoint
from lenetjax.core import Layer, Params, State
from lenetjax.description import build, describe

FORMAT = 1
CONFIG, METRICS, MODEL = "config.json", "metrics.jsonl", "model.safetensors"
STATE = "#state"  # beside the params; no layer can have this name


class Run:
    """A run's folder while it is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(
        self,
        net: Layer,
        image_shape: Sequence[int],
        *,
        model: str,
        data: str,
        training: Mapping[str, Any],
    ) -> None:
        """Makes the folder and writes down what is about to be trained.

        Raises:
          ValueError: the folder holds a run already.
          OSError: it cannot be written.
        """
        taken = [n for n in (CONFIG, METRICS, MODEL) if (self.folder / n).exists()]
        if taken:
            raise ValueError(
                f"{self.folder} holds a run already ({', '.join(taken)}); "
                "give another --out"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        config = {
            "format": FORMAT,
            "model": model,
            "data": data,
            "image_shape": list(image_shape),
            "training": dict(training),
            "net": describe(net),
            "versions": {
                "lenetjax": version("lenetjax"),
                "jax": jax.__version__,
                "python": platform.python_version(),
            },
        }
        text = json.dumps(config, indent=2) + "\n"
        checkpoint.write_whole(self.folder / CONFIG, text.encode())

    def add_row(self, row: Mapping[str, float]) -> None:
        """Adds an epoch to the metrics."""
        with (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def save(self, params: Params, state: State) -> None:
        """Writes the weights, in place of the last ones."""
        checkpoint.save(self.folder / MODEL, _tree(params, state))

    def save_figure(self, name: str, figure: Any) -> None:
        """Writes a picture."""
        content = BytesIO()
        figure.savefig(content, format="png", dpi=120)
        checkpoint.write_whole(self.folder / name, content.getvalue())


class TrainedRun(NamedTuple):
    """A run's folder, read back."""

    config: dict[str, Any]
    net: Layer
    params: Params
    state: State

    @property
    def image_size(self) -> int:
        """The side of the square images that the net was trained on."""
        return int(self.config["image_shape"][0])


def open_run(folder: Path) -> TrainedRun:
    """Reads a run's folder.

    Raises:
      OSError: the folder or a file in it is missing or cannot be read.
      ValueError: a file is not what a run leaves there.
    """
    config = _read_config(folder / CONFIG)
    try:
        net = build(config["net"])
        shape = tuple(int(n) for n in config["image_shape"])
        plan = net.plan(jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / CONFIG} describes no net: {error}") from None
    tree = checkpoint.load(folder / MODEL, _tree(plan.params, plan.state))
    state = tree.pop(STATE, {})
    return TrainedRun(config, net, tree, state)


def _tree(params: Params, state: State) -> dict[str, Any]:
    return {**params, STATE: state} if state else params


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON file: {error}") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f"{path} is no run's configuration of format {FORMAT}")
    return config
