"""What PyTorch calls the params of each kind of layer, and how it turns them.

`KINDS` is the one table: for each kind of layer a function of the layer and of its
specs that lists `Part`s. To add a kind, add a line there.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lenetjax.core import Layer, LayerError
from lenetjax.interop.feature_codes import kind_of

Array = np.ndarray[Any, Any]
Specs = Mapping[str, Any]  # a layer's params and state, by "name/name"


@dataclass(frozen=True)
class Turn:
    """How an array is turned, both ways."""

    to_torch: Callable[[Array], Array]
    from_torch: Callable[[Array], Array]


@dataclass(frozen=True)
class Part:
    """One array of PyTorch's, and the arrays of ours that it is made of.

    Attributes:
      theirs: its name inside the module.
      ours: "name" or "name/name" inside the layer; several stand one after another
        along the first axis of theirs.
      turn: how each of ours is turned.
      features: the axes of ours that run over features that come in, and from which of
        the inputs. Where those come from a flattened image, PyTorch has another order.
        `ALL` stands for all axes together.
    """

    theirs: str
    ours: tuple[str, ...]
    turn: Turn
    features: Mapping[int, int]


def _moved(ours: Any, theirs: Any) -> Turn:
    """Axes of ours, and where they are in PyTorch's."""
    return Turn(
        lambda array: np.moveaxis(array, ours, theirs),
        lambda array: np.moveaxis(array, theirs, ours),
    )


ALL = -1
SAME = Turn(lambda array: array, lambda array: array)
TRANSPOSED = _moved(0, 1)
OUT_FIRST = _moved(-1, 0)
FILTERS = _moved((-1, -2), (0, 1))  # (...kernel..., in, out) to (out, in, ...)
TRANSPOSED_FILTERS = _moved((-2, -1), (0, 1))  # (...kernel..., in, out) to (in, out)
CELL = {
    "input_weight": ("weight_ih", TRANSPOSED),
    "hidden_weight": ("weight_hh", TRANSPOSED),
    "input_bias": ("bias_ih", SAME),
    "hidden_bias": ("bias_hh", SAME),
}


def _part(
    theirs: str,
    *ours: str,
    turn: Turn = SAME,
    features: Mapping[int, int] | None = None,
) -> Part:
    return Part(theirs, ours or (theirs,), turn, features or {})


def _weight_and_bias(turn: Turn, features: Mapping[int, int]) -> list[Part]:
    return [_part("weight", turn=turn, features=features), _part("bias")]


def _linear(layer: Layer, specs: Specs) -> list[Part]:
    return _weight_and_bias(TRANSPOSED, {0: 0})


def _bilinear(layer: Layer, specs: Specs) -> list[Part]:
    return _weight_and_bias(OUT_FIRST, {0: 0, 1: 1})


def _convolution(layer: Layer, specs: Specs) -> list[Part]:
    return _weight_and_bias(FILTERS, {})


def _transposed_convolution(layer: Layer, specs: Specs) -> list[Part]:
    return _weight_and_bias(TRANSPOSED_FILTERS, {})


def _per_feature(layer: Layer, specs: Specs) -> list[Part]:
    """A scale and a shift for each feature, as of normalization."""
    features = {0: 0} if specs and next(iter(specs.values())).shape != (1,) else {}
    return [_part(name, features=features) for name in ("weight", "bias")]


def _batch_norm(layer: Layer, specs: Specs) -> list[Part]:
    return [
        *_per_feature(layer, specs),
        _part("running_mean", "mean", features={0: 0}),
        _part("running_var", "var", features={0: 0}),
    ]


def _normalized_axes(layer: Layer, specs: Specs) -> list[Part]:
    if layer.settings["axes"] == 1:
        return _per_feature(layer, specs)
    return [_part(name, features={ALL: 0}) for name in ("weight", "bias")]


def _table(layer: Layer, specs: Specs) -> list[Part]:
    return [_part("weight")]


def _recurrent(layer: Layer, specs: Specs) -> list[Part]:
    directions = {"forward": "", "backward": "_reverse"}
    return [
        _part(
            f"{theirs}_l{i}{suffix}",
            f"layer{i}/{direction}/{ours}",
            turn=turn,
            features={0: 0} if i == 0 and ours == "input_weight" else None,
        )
        for i, (direction, suffix) in itertools.product(
            range(layer.settings["layers"]), directions.items()
        )
        for ours, (theirs, turn) in CELL.items()
    ]


def _attention(layer: Layer, specs: Specs) -> list[Part]:
    settings, features = layer.settings, specs["output/weight"].shape[0]
    if settings["kv_heads"] not in (None, settings["heads"]) or settings["rotary"]:
        raise LayerError(
            "torch.nn.MultiheadAttention has neither kv_heads nor rotary positions; "
            "make it of nn.linear layers in nn.compose, as it is made in PyTorch"
        )
    if specs["query/weight"].shape[0] != features:
        raise LayerError(
            f"torch.nn.MultiheadAttention has as many features as its query, "
            f"{specs['query/weight'].shape[0]}; this one has {features}"
        )
    return _attention_parts(specs)


def _attention_parts(specs: Specs, ours: str = "", theirs: str = "") -> list[Part]:
    sizes = {specs[f"{ours}{name}/weight"].shape for name in ("query", "key", "value")}
    names = [f"{ours}{name}" for name in ("query", "key", "value")]
    if len(sizes) == 1:
        weights = [
            _part(
                f"{theirs}in_proj_weight",
                *(f"{name}/weight" for name in names),
                turn=TRANSPOSED,
            )
        ]
    else:
        weights = [
            _part(f"{theirs}{letter}_proj_weight", f"{name}/weight", turn=TRANSPOSED)
            for letter, name in zip("qkv", names, strict=True)
        ]
    return [
        *weights,
        _part(f"{theirs}in_proj_bias", *(f"{name}/bias" for name in names)),
        _part(f"{theirs}out_proj.weight", f"{ours}output/weight", turn=TRANSPOSED),
        _part(f"{theirs}out_proj.bias", f"{ours}output/bias"),
    ]


def _transformer_block(layer: Layer, specs: Specs) -> list[Part]:
    parts = _attention_parts(specs, "attention/", "self_attn.")
    for name, turn in {
        "linear1": TRANSPOSED, "linear2": TRANSPOSED, "norm1": SAME, "norm2": SAME
    }.items():  # fmt: skip
        parts.append(_part(f"{name}.weight", f"{name}/weight", turn=turn))
        parts.append(_part(f"{name}.bias", f"{name}/bias"))
    return parts


KINDS: dict[str, Callable[[Layer, Specs], list[Part]]] = {
    "linear": _linear,
    "bilinear": _bilinear,
    "conv1d": _convolution,
    "conv2d": _convolution,
    "conv3d": _convolution,
    "conv_transpose1d": _transposed_convolution,
    "conv_transpose2d": _transposed_convolution,
    "conv_transpose3d": _transposed_convolution,
    "batch_norm": _batch_norm,
    "layer_norm": _normalized_axes,
    "rms_norm": _normalized_axes,
    "group_norm": _per_feature,
    "instance_norm": _per_feature,
    "prelu": _per_feature,
    "embedding": _table,
    "learned_positions": _table,
    "rnn": _recurrent,
    "lstm": _recurrent,
    "gru": _recurrent,
    "multi_head_attention": _attention,
    "transformer_encoder_block": _transformer_block,
}


def parts_of(layer: Layer, specs: Specs) -> list[Part]:
    """PyTorch's arrays for a layer, of those that these params and state have.

    Raises:
      LayerError: PyTorch has no such layer.
    """
    kind = kind_of(layer)
    if kind not in KINDS:
        raise LayerError(
            f"what PyTorch calls the params of {layer.text} is not known; known are "
            f"{', '.join(KINDS)}. Give the layers around it one by one"
        )
    return [
        part
        for part in KINDS[kind](layer, specs)
        if all(name in specs for name in part.ours)
    ]
