"""A folder in the Hugging Face layout: model.safetensors, and config.json with the net.

The files are those of other libraries, and what reads them there reads these: the
weights are plain safetensors under dotted names, "conv1.weight", and those of the state
begin with "#state.". The configuration has `model_type`, "lenetjax", and `net`, the
description that `build` takes.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lenetjax import checkpoint
from lenetjax.checkpoint.archive import JSON_ERRORS
from lenetjax.checkpoint.files import write_whole
from lenetjax.checkpoint.store import load_with_metadata, versions
from lenetjax.checks import check_tree
from lenetjax.core import Layer, LayerError, Params, State, names_of
from lenetjax.description import build, describe
from lenetjax.runs import CONFIG, MODEL, STATE, open_run, read_json, with_state

MODEL_TYPE = "lenetjax"
FORMAT = 1
Kinds = Mapping[str, Callable[..., Layer]]


def save_pretrained(
    folder: str | os.PathLike[str],
    net: Layer,
    params: Params,
    state: State | None = None,
    *,
    kinds: Kinds | None = None,
) -> None:
    """Writes a net with its params to a folder, as model.safetensors and config.json.

    Each file appears whole or not at all, and `load_pretrained` refuses files of two
    nets beside each other. ``safetensors.numpy.load_file`` reads the weights, too.

    Args:
      folder: where to write; made where it is not there. What was saved there before
        is replaced, and anything else that has a config.json is left alone.
      net: a net that `build` can rebuild from what `describe` says of it.
      params: what `init` returned.
      state: what `init_with_state` returned, if the net has state.
      kinds: the functions that make your own layers, by kind, as `load_pretrained`
        will need them.

    Raises:
      LayerError: a ValueError: the net cannot be rebuilt from its description, or
        params or state are not those of the net.
      ValueError: the folder is that of a training, or of another library.
      OSError: a file cannot be written; an old one is still there.

    Example:
      >>> import tempfile, jax, jax.numpy as jnp, lenetjax as nn
      >>> net = nn.serial(fc=nn.linear(2))
      >>> params = net.init(jax.random.key(0), jnp.zeros((1, 3)))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     nn.interop.save_pretrained(folder, net, params)
      ...     again, params, state = nn.interop.load_pretrained(folder)
      >>> again, params["fc"]["weight"].shape, state
      (serial(
        (fc): linear(2)
      ), (3, 2), {})
    """
    folder, state = Path(folder), state or {}
    description = _description(net, kinds)
    _refuse_others(net, params, state)
    if (folder / CONFIG).exists() and not _is_ours(read_json(folder / CONFIG)):
        raise ValueError(
            f"{folder} holds something else, as its {CONFIG} tells; give another folder"
        )
    config = {
        "model_type": MODEL_TYPE,
        "architectures": [net.kind],
        "format": FORMAT,
        "net": description,
        "versions": versions(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    tree = with_state(params, state)
    # The weights first: a folder without a configuration is no model yet.
    checkpoint.save(folder / MODEL, tree, {"net": json.dumps(description)})
    text = json.dumps(config, indent=2) + "\n"
    write_whole(folder / CONFIG, text.encode())


def load_pretrained(
    folder: str | os.PathLike[str], *, kinds: Kinds | None = None
) -> tuple[Layer, Params, State]:
    """Reads what `save_pretrained` wrote, or the folder of a run of `lenetjax train`.

    Only layers known to lenetjax, or named in `kinds`, are built; nothing is imported
    and no code in the files runs.

    Args:
      folder: the folder.
      kinds: the functions that make your own layers, by kind.

    Returns:
      The net, its params, and its state, {} where it has none.

    Raises:
      OSError: a file cannot be read.
      DamagedFile: a ValueError: the weights are damaged, or not of lenetjax.
      ValueError: a file is missing, or is not what it should be.

    Example:
      >>> import tempfile, jax, jax.numpy as jnp, lenetjax as nn
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     nn.interop.save_pretrained(folder, nn.flatten(), {})
      ...     nn.interop.load_pretrained(folder)
      (flatten(), {}, {})
    """
    folder = Path(folder)
    try:
        config = read_json(folder / CONFIG)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{folder} holds no model, as there is no {folder / CONFIG}; name the "
            "folder that save_pretrained or lenetjax train wrote"
        ) from None
    if "model_type" not in config:
        run = open_run(folder)
        return run.net, run.params, run.state
    if not _is_ours(config):
        raise ValueError(
            f"{folder / CONFIG} has model_type {config['model_type']!r:.50} and "
            f"format {config.get('format')!r:.50}; this version reads "
            f"{MODEL_TYPE!r} and {FORMAT}"
        )
    try:
        net = build(config["net"], kinds)
        written = json.dumps(config["net"])
    except JSON_ERRORS as error:
        raise ValueError(f"{folder / CONFIG} describes no net: {error}") from None
    if not (folder / MODEL).exists():
        raise ValueError(f"{folder} holds no weights, as there is no {folder / MODEL}")
    tree, notes = load_with_metadata(folder / MODEL)
    if notes.get("net") != written:
        raise ValueError(
            f"{folder / MODEL} has the weights of another net than the one in "
            f"{CONFIG}; save both again"
        )
    state = tree.pop(STATE, {})
    try:
        _refuse_others(net, tree, state)
    except LayerError as error:
        raise ValueError(f"{folder / MODEL}: {error}") from None
    return net, tree, state


def _is_ours(config: Mapping[str, Any]) -> bool:
    return config.get("model_type") == MODEL_TYPE and config.get("format") == FORMAT


def _description(net: Layer, kinds: Kinds | None) -> dict[str, Any]:
    """What the net will be rebuilt from, after it was tried."""
    description = describe(net)
    try:
        again = describe(build(description, kinds))
    except LayerError as error:
        raise LayerError(
            f"this net cannot be written down as data: {error}\n"
            "Save its params alone, with nn.checkpoint.save."
        ) from None
    if json.dumps(again) != json.dumps(description):
        raise LayerError(
            "this net cannot be written down as data: what was rebuilt from its "
            "description is another net"
        )
    return description


def _refuse_others(net: Layer, params: Params, state: State) -> None:
    """Refuses what is plainly not the net's; `apply` compares every shape."""
    check_tree("params", params)
    check_tree("state", state)
    owners = names_of(net, lambda layer: "state" in layer.needs)
    if bool(owners) != bool(state):
        told = f"has state, in {owners}" if owners else "has no state"
        given = "some was given" if state else "none was given"
        raise LayerError(f"this net {told}, and {given}")
    if not net.children or "" in net.children:
        return
    if foreign := sorted({*params, *state} - set(net.children)):
        raise LayerError(
            f"this net has no {', '.join(map(repr, foreign[:3]))}; it has "
            f"{', '.join(map(repr, net.children))}"
        )
