"""Layers made of several layers."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import get_opaque_trace_state

from lenetjax import inner_outputs
from lenetjax.core import (
    Call,
    Layer,
    LayerError,
    Params,
    Plan,
    PyTree,
    State,
    as_layer,
    child_key,
    name_number,
)
from lenetjax.specs import shapes_text, spec_of

AnyLayer = Layer | Callable[[jax.Array], jax.Array]


class Net:
    """A net during one call: its children by name, ready to be called on arrays.

    `compose` hands one to the forward function. ``net.conv1(x)`` and
    ``net["conv1"](x)`` apply the child; params, state, key and mode travel along.
    """

    def __init__(
        self, call_child: Callable[[str, PyTree], PyTree], names: Mapping[str, Any]
    ):
        self._call_child = call_child
        self._names = names

    def __getitem__(self, name: str) -> Callable[[PyTree], PyTree]:
        if name not in self._names:
            children = ", ".join(self._names) or "none"
            raise LayerError(
                f"there is no child {name!r}; the children are: {children}"
            )
        return lambda x: self._call_child(name, x)

    def __getattr__(self, name: str) -> Callable[[PyTree], PyTree]:
        return self[name]


def serial(*layers: AnyLayer, **named_layers: AnyLayer) -> Layer:
    """Feeds each layer's output to the next.

    A plain function of one array, such as `jax.nn.relu`, is a layer without params.
    Layers given by position are called "0", "1", ..., as in `torch.nn.Sequential`.

    Input, output: whatever the first layer takes and the last one returns.
    Params, state: an entry for each layer that has any, under the layer's name.

    Raises:
      LayerError: something is neither a layer nor a function, or a name has a "/",
        "." or "#" in it.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> net = nn.serial(fc1=nn.linear(4), act=jax.nn.relu, fc2=nn.linear(2))
      >>> params = net.init(jax.random.key(0), jnp.zeros((8, 3)))
      >>> jax.tree.map(jnp.shape, params)["fc1"]
      {'bias': (4,), 'weight': (3, 4)}
      >>> net.apply(params, jnp.zeros((8, 3))).shape
      (8, 2)
    """
    children = _named("serial", layers, named_layers)

    def forward(net: Net, x: PyTree) -> PyTree:
        for name in children:
            x = net[name](x)
        return x

    return _combine("serial", forward, children)


def parallel(*layers: AnyLayer, **named_layers: AnyLayer) -> Layer:
    """Gives each layer an input of its own.

    Layers by position take a tuple and return one; layers by name take a dict and
    return one, with the same names.

    Input: a tuple with an entry for each layer, or a dict with an entry for each name.
    Output: likewise.
    Params, state: an entry for each layer that has any, under its name or number.

    Raises:
      LayerError: layers are given both ways, or something is neither a layer nor a
        function; later, the input has other entries.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> net = nn.parallel(image=nn.flatten(), label=nn.linear(2))
      >>> x = {"image": jnp.zeros((8, 4, 4)), "label": jnp.zeros((8, 3))}
      >>> params = net.init(jax.random.key(0), x)
      >>> jax.tree.map(jnp.shape, net.apply(params, x))
      {'image': (8, 16), 'label': (8, 2)}

    Follows `stax.parallel`.
    """
    if layers and named_layers:
        raise LayerError("parallel: give the layers by position or by name, not both")
    children = _named("parallel", layers, named_layers)
    by_position = all(name.isdigit() for name in children)

    def forward(net: Net, x: Any) -> PyTree:
        wanted = list(children)
        if by_position and isinstance(x, (tuple, list)) and len(x) == len(wanted):
            return tuple(net[name](x[i]) for i, name in enumerate(wanted))
        if isinstance(x, Mapping) and set(x) == set(wanted):
            return {name: net[name](x[name]) for name in wanted}
        kind = f"a tuple of {len(wanted)}" if by_position else "a dict of"
        raise LayerError(
            f"expected {kind} inputs for {', '.join(wanted)}, got {shapes_text(x)}"
        )

    return _combine("parallel", forward, children)


def branch(
    *layers: AnyLayer,
    merge: Layer | Callable[[Any], jax.Array],
    **named_layers: AnyLayer,
) -> Layer:
    """Gives one input to every layer, and merges their outputs.

    Args:
      *layers, **named_layers: the branches, named as in `serial`.
      merge: a layer or function of the list of the branches' outputs, such as `sum` or
        ``functools.partial(jnp.concatenate, axis=-1)``.

    Input: whatever each of the branches takes.
    Output: what `merge` returns.
    Params, state: an entry for each branch that has any, and "merge" if that has.

    Raises:
      LayerError: something is neither a layer nor a function.

    Example:
      >>> import functools, jax.numpy as jnp, lenetjax as nn
      >>> net = nn.branch(
      ...     small=nn.conv2d(4, 1),
      ...     large=nn.conv2d(4, 3, padding=1),
      ...     merge=functools.partial(jnp.concatenate, axis=-1),
      ... )
      >>> params = net.init(jax.random.key(0), jnp.zeros((8, 5, 5, 2)))
      >>> net.apply(params, jnp.zeros((8, 5, 5, 2))).shape
      (8, 5, 5, 8)

    Reference: Szegedy et al., "Going Deeper with Convolutions", 2014.
    """
    branches = _named("branch", layers, named_layers)

    def forward(net: Net, x: PyTree) -> PyTree:
        return net["merge"]([net[name](x) for name in branches])

    return _combine("branch", forward, branches | {"merge": merge})


def residual(body: AnyLayer, *, shortcut: AnyLayer | None = None) -> Layer:
    """Adds a layer's output to its input: ``body(x) + x``.

    Args:
      body: a layer or function.
      shortcut: what x goes through before it is added, such as a convolution of size 1
        where the body changes the shape; nothing when None.

    Input: whatever `body` takes.
    Output: what `body` returns, an array.
    Params, state: "body" and "shortcut", where they have any.

    Raises:
      LayerError: something is neither a layer nor a function; later, the shapes to be
        added differ.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> block = nn.residual(nn.serial(nn.linear(3), jnp.tanh))
      >>> params = block.init(jax.random.key(0), jnp.zeros((8, 3)))
      >>> block.apply(params, jnp.zeros((8, 3))).shape
      (8, 3)

    Reference: He et al., "Deep Residual Learning for Image Recognition", 2015.
    """

    def forward(net: Net, x: PyTree) -> PyTree:
        y = net["body"](x)
        skip = x if shortcut is None else net["shortcut"](x)
        if shapes_text(y) != shapes_text(skip):
            raise LayerError(
                f"cannot add {shapes_text(y)} of the body and {shapes_text(skip)} of "
                "the shortcut; give a shortcut that makes the body's shape"
            )
        return y + skip

    children = {"body": body} | ({} if shortcut is None else {"shortcut": shortcut})
    return _combine("residual", forward, children)


def compose(forward: Callable[[Any, PyTree], PyTree], **children: AnyLayer) -> Layer:
    """Makes a layer of a forward function and the layers that it calls.

    ``forward(net, x)`` is plain Python: ``net.conv1(x)`` applies the child `conv1`. A
    child that is called twice has one set of params (shared weights); its randomness
    differs from call to call, and its state passes from one call to the next.

    A child with state cannot be called inside `jax.lax.scan`, `jax.vmap` or another
    transform within `forward`, which would lose the new state. A random child inside
    `jax.lax.scan` draws the same numbers at every step.

    Input, output: whatever `forward` takes and returns.
    Params, state: an entry for each child that has any, under the child's name.

    Raises:
      LayerError: a child is neither a layer nor a function; at `init`, a child that
        `forward` never calls.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> def forward(net, x):
      ...     return x + net.inner(jax.nn.relu(net.inner(x)))
      >>> net = nn.compose(forward, inner=nn.linear(3))
      >>> params = net.init(jax.random.key(0), jnp.zeros((8, 3)))
      >>> net.apply(params, jnp.zeros((8, 3))).shape
      (8, 3)
    """
    return _combine("compose", forward, children)


def _combine(
    kind: str,
    forward: Callable[[Any, PyTree], PyTree],
    given: Mapping[str, AnyLayer],
) -> Layer:
    """The mechanism under every combinator: a forward function over named children."""
    children = {name: as_layer(child) for name, child in given.items()}
    _check_names(kind, children)

    def plan(x: PyTree, call: Call) -> Plan:
        plans: list[Plan] = []
        by_name: dict[str, Plan] = {}
        calls = dict.fromkeys(children, 0)

        def plan_child(outside: Any, name: str, x: PyTree) -> PyTree:
            spec = jax.tree.map(spec_of, x)
            _refuse_lost_state(name, children[name], outside)
            here = call.child(_call_name(name, calls))
            child = children[name].plan_call(spec, here)
            first = by_name.setdefault(name, child)
            if shapes_text(first.params) != shapes_text(child.params):
                raise LayerError(
                    f"{name!r} is called on {shapes_text(first.x)} and on "
                    f"{shapes_text(spec)}, which need different params: "
                    f"{shapes_text(first.params)} and {shapes_text(child.params)}"
                )
            plans.append(child)
            return jax.tree.map(lambda y: jnp.zeros(y.shape, y.dtype), child.y)

        def trace(x: PyTree) -> PyTree:
            outside = get_opaque_trace_state()
            return forward(Net(functools.partial(plan_child, outside), children), x)

        try:
            with call.inside(self, x, None):
                y = jax.eval_shape(trace, x)
                if idle := [name for name in children if name not in by_name]:
                    raise LayerError(f"forward never calls {', '.join(idle)}")
        except LayerError as error:
            error.planned = (*plans, *error.planned)
            raise

        def init(key: jax.Array) -> tuple[Params, State]:
            made = {
                name: child.init(child_key(key, name))
                for name, child in by_name.items()
            }
            return _entries(made, 0), _entries(made, 1)

        specs = {name: (child.params, child.state) for name, child in by_name.items()}
        params, state = _entries(specs, 0), _entries(specs, 1)
        return Plan(self, call.path, x, y, params, state, init, tuple(plans))

    def run(
        params: Params, state: State, x: PyTree, call: Call
    ) -> tuple[PyTree, State]:
        new_state, added = inner_outputs.split(state)
        calls = dict.fromkeys(children, 0)
        outputs: inner_outputs.Outputs = {}

        def run_child(outside: Any, name: str, x: PyTree) -> PyTree:
            child, call_name = children[name], _call_name(name, calls)
            here = call.child(call_name)
            own_params, own_state = params.get(name, {}), new_state.get(name, {})
            if call.taps and inner_outputs.has_places(child):
                own_state = inner_outputs.joined(
                    own_state, inner_outputs.below(added, call_name)
                )
            y, child_state = child.run_call(own_params, own_state, x, here)
            child_state, inside = inner_outputs.split(child_state)
            outputs.update(inner_outputs.above(inside, call_name))
            if inner_outputs.is_wanted(here):
                y = outputs[call_name] = inner_outputs.moved(call_name, y, added)
            if inside or call_name in outputs:
                _refuse_lost("is tapped", "output", name, outside)
            if child_state:
                new_state[name] = child_state
            return y

        with call.inside(self, x, params):
            outside = get_opaque_trace_state()
            y = forward(Net(functools.partial(run_child, outside), children), x)
        return y, inner_outputs.joined(new_state, outputs) if call.taps else new_state

    self = Layer(kind, {}, children, frozenset(), f"{kind}(...)", plan, run)
    return self


def _named(
    kind: str, layers: tuple[AnyLayer, ...], named: Mapping[str, AnyLayer]
) -> dict[str, AnyLayer]:
    """The layers by name; those by position are called "0", "1", ..."""
    children = {str(i): layer for i, layer in enumerate(layers)} | dict(named)
    if len(children) < len(layers) + len(named):
        raise LayerError(f"{kind}: a name is also the number of a layer by position")
    return children


def _entries(pairs: Mapping[str, tuple[Any, Any]], which: int) -> dict[str, Any]:
    """The params (0) or the state (1) of each child that has any."""
    return {name: pair[which] for name, pair in pairs.items() if pair[which]}


def _check_names(kind: str, children: Mapping[str, Layer]) -> None:
    for name in children:
        if not name or set(name) & set("/.#"):
            raise LayerError(
                f"{kind}: {name!r} cannot be a layer's name: "
                "it must not be empty, nor have '/', '.' or '#' in it"
            )
    numbers = {name_number(name): name for name in children}
    for name in children:
        if (other := numbers[name_number(name)]) != name:
            raise LayerError(
                f"{kind}: {name!r} and {other!r} would share their random keys "
                "(equal CRC-32); rename one"
            )


def _call_name(name: str, calls: dict[str, int]) -> str:
    """What a child's call is called: "fc", then "fc#1", "fc#2", ..."""
    earlier = calls[name]
    calls[name] += 1
    return f"{name}#{earlier}" if earlier else name


def _refuse_lost_state(name: str, child: Layer, outside: Any) -> None:
    if any("state" in layer.needs for _, layer in child.walk()):
        _refuse_lost("has state", "new state", name, outside)


def _refuse_lost(why: str, what: str, name: str, outside: Any) -> None:
    if get_opaque_trace_state() != outside:
        raise LayerError(
            f"{name!r} {why} and is called inside a jax transform (scan, vmap, "
            f"jit, ...) within forward, where its {what} would be lost; "
            "call it outside the transform"
        )
