"""Where PyTorch has features in another order: its images have channels first.

`flatten` puts an image's values in the order (height, width, channel); PyTorch's is
(channel, height, width). The layer after it has to be turned accordingly, whatever
stands between: pooling, activations, a reshape in a function of the user's own.

So the net is run on *codes*. In place of each layer that PyTorch knows a stand-in runs:
a convolution returns an image whose values are their places in PyTorch's order, and
everything else returns one constant. Layers without params and functions really run.
The codes that arrive at a layer tell from which place each feature came. Where no code
of an image arrives, both libraries have the same layout all the way, and so the same
order. Other runs find where two layouts are mixed: there is no answer, but an error.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.core import Call, Layer, LayerError, Plan, PyTree, State
from lenetjax.inner_outputs import TAPS
from lenetjax.interop.feature_codes import (
    KEEPS_IMAGES,
    MAKES_IMAGES,
    NEAR,
    Codes,
    Run,
)

Orders = dict[str, dict[int, Codes]]  # by path and number of the input

RUNS = {
    "still": Run(),
    "image": Run(image="coded"),
    "noise": Run(image="noise"),
    "sequence": Run(sequence="coded"),
    "vector": Run(vector="coded"),
}


def feature_orders(net: Layer, x: PyTree) -> Orders:
    """Finds the layers whose features PyTorch has in another order.

    Args:
      net: the net.
      x: an example input, or its shape.

    Returns:
      By path and by the number of the layer's input, where PyTorch has each of our
      features; a layer whose features are in one order has no entry.

    Raises:
      LayerError: an order cannot be found.
    """
    plan = net.plan(x)
    if not _has_images(plan):
        return {}
    with jax.enable_x64(True):
        found = {name: _run(run, net, plan.x) for name, run in RUNS.items()}
    orders: Orders = {}
    layers = dict(net.walk())
    for seen in found["still"]:
        codes = {name: notes[seen] for name, notes in found.items() if seen in notes}
        if seen.number is None:
            _check_image(seen.path, codes)
            continue
        order = _order(seen.path, codes)
        earlier = orders.setdefault(seen.path, {}).setdefault(seen.number, order)
        if not np.array_equal(earlier, order):
            raise _unknown(seen.path, "it is called on several orders")
        if not _is_plain(order):
            _refuse_fixed(seen.path, layers[seen.path], seen.number, len(order))
    return {
        path: changed
        for path, by_input in orders.items()
        if (changed := {i: o for i, o in by_input.items() if not _is_plain(o)})
    }


def _has_images(plan: Plan) -> bool:
    """Whether anything could have another layout in PyTorch."""
    arrays = jax.tree.leaves((plan.x, plan.y))
    kinds = {layer.kind for _, layer in plan.layer.walk()}
    return bool(kinds & (MAKES_IMAGES | KEEPS_IMAGES)) or any(
        len(spec.shape) > 3 for spec in arrays
    )


@dataclass(frozen=True)
class Seen:
    """What a layer was given: features by the number of the input, or an image."""

    path: str
    call: str
    number: int | None = None


def _run(run: Run, net: Layer, x: PyTree) -> dict[Seen, Codes]:
    """What each layer is given in a run."""

    def given(spec: Any) -> jax.Array:
        # Images are often given as bytes.
        floats = jnp.issubdtype(spec.dtype, jnp.floating)
        if not floats and (spec.dtype == bool or len(spec.shape) < 4):
            return jnp.asarray(np.zeros(spec.shape, spec.dtype))
        return run.values(spec.shape, image=len(spec.shape) > 3)

    call = Call(key=jax.random.key(0), stand_in=run.stand_in)
    y, notes = net.run_call({}, {}, jax.tree.map(given, x), call)
    seen = dict(_listed({name: note for name, note in notes.items() if name != TAPS}))
    for i, leaf in enumerate(jax.tree.leaves(y)):
        if leaf.ndim > 3:
            seen[Seen("", f"#y{i}")] = _channels_first(np.asarray(leaf))
    return seen


def _listed(notes: State, path: str = "") -> Iterator[tuple[Seen, Codes]]:
    """All notes; a layer that is repeated has made one note for all copies."""
    for name, entry in notes.items():
        if not name.startswith("#"):
            yield from _listed(entry, f"{path}/{name}" if path else name)
            continue
        for what, leaf in entry.items():
            if isinstance(leaf, jax.core.Tracer):
                raise _unknown(path, "it is called inside a jax transform, as scan is")
            number, _, axes = what.partition(":")
            codes = np.asarray(leaf)
            if number == "image":
                sizes = codes.shape[codes.ndim - int(axes) + 1 :]
                yield Seen(path, name), _channels_first(codes.reshape(-1, *sizes))
            else:
                features = int(np.prod(codes.shape[codes.ndim - int(axes) :]))
                yield Seen(path, name, int(number)), codes.reshape(-1, features)


def _order(path: str, codes: Mapping[str, Codes]) -> Codes:
    """Where PyTorch has each feature, from the rows of codes of each run."""
    still = codes["still"]
    reached = (codes["image"] != still) | (codes["noise"] != still)
    rows = reached.any(axis=1)  # not so the later copies of a layer that is repeated
    if not rows.any():
        return np.arange(still.shape[1])
    order = _order_of_images(
        path, {name: each[rows] for name, each in codes.items()}, reached[rows]
    )
    if not rows.all() and not _is_plain(order):
        raise _unknown(path, "it differs from place to place")
    return order


def _order_of_images(path: str, codes: Mapping[str, Codes], reached: Codes) -> Codes:
    """The same, of rows which values of images have reached."""
    still, image = codes["still"], codes["image"]
    order = np.arange(still.shape[1])
    columns = np.flatnonzero(reached.any(axis=0))
    start, end = columns[0], columns[-1] + 1
    if not reached[:, start:end].all():
        raise _unknown(path, "those of images stand between others")
    block, near = image[:, start:end], _rounding(image)
    if (np.diff(block) > near).all():
        return order
    if (np.abs(block - block[:1]) > near).any():
        raise _unknown(path, "it differs from place to place")
    row = block[0]
    ranks = np.argsort(np.argsort(row, kind="stable"), kind="stable")
    apart = (np.diff(np.sort(row)) > near).all()
    if not apart or not np.array_equal(ranks, _flattened(len(row), int(ranks[1]))):
        raise _unknown(path, "the values of an image come in an order of their own")
    for name in ("sequence", "vector"):  # such as a factor for each channel
        others = (codes[name] - still)[:, start:end][:, np.argsort(ranks)]
        if (np.diff(others) < -_rounding(codes[name])).any():
            raise _unknown(path, "values of images are mixed with others")
    order[start:end] = start + ranks
    return order


def _flattened(size: int, positions: int) -> Codes:
    """PyTorch's place of each value of a flattened image of so many positions."""
    if positions < 1 or size % positions:
        return np.array([])
    return np.arange(size).reshape(-1, positions).T.ravel()


def _check_image(path: str, codes: Mapping[str, Codes]) -> None:
    """Refuses an image made of features that PyTorch would fill in another order."""
    places = codes["vector"] - codes["still"]
    near = _rounding(codes["vector"])
    if (np.ptp(places, axis=2) <= near).all():
        return  # alike at all positions
    if (np.diff(places.reshape(len(places), -1)) < -near).any():
        where = f"of '{path}'" if path else "of the net"
        raise LayerError(
            f"the image {where} is made of features in the order (height, width, "
            "channel), and PyTorch's are in the order (channel, height, width). Make "
            "it in PyTorch's order: nn.unflatten(1, (channels, height, width)), then "
            "nn.transpose((0, 2, 3, 1))",
            path=path,
        )


def _rounding(codes: Codes) -> float:
    """By how much two values may differ and count as equal."""
    eps = float(jnp.finfo(codes.dtype).eps)  # type: ignore[no-untyped-call]
    step = max(NEAR, 16 * eps)
    return step * float(max(1, np.abs(codes).max(initial=0)))


def _refuse_fixed(path: str, layer: Layer, number: int, features: int) -> None:
    """Refuses another order where a layer cannot be turned."""
    groups = layer.settings.get("groups") if layer.kind == "group_norm" else None
    fixed = {"multi_head_attention", "transformer_encoder_block"} | {
        "learned_positions", "sinusoidal_positions", "local_response_norm"
    }  # fmt: skip
    if (
        layer.kind in fixed
        or groups not in (None, 1, features)
        or (number and layer.kind != "bilinear")
    ):
        raise _unknown(path, f"{layer.text} depends on the order of its features")


def _unknown(path: str, why: str) -> LayerError:
    name = f"'{path}'" if path else "the net"
    return LayerError(
        f"the order of the features that come to {name} cannot be found in PyTorch's "
        f"net: {why}. Features of an image are joined by nn.flatten (or reshape) right "
        "before a layer such as nn.linear; images are joined by nn.branch, with a "
        "merge. Or put them into PyTorch's order, (channel, height, width): "
        "nn.transpose((0, 3, 1, 2)), then nn.flatten()",
        path=path,
    )


def _is_plain(order: Codes) -> bool:
    return bool((order == np.arange(len(order))).all())


def _channels_first(x: Codes) -> Codes:
    """An image as (batch, channels, positions)."""
    return np.moveaxis(x, -1, 1).reshape(len(x), x.shape[-1], -1)
