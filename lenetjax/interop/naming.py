"""Trees of other libraries as nested dicts of arrays, by name, and back."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

from lenetjax.core import Layer, LayerError, Params, PyTree
from lenetjax.specs import key_spec, shapes_text, spec_of

ALONE = "value"  # the entry of an array that is a whole tree
FORMS_KEPT = 64  # per net, as many as a net keeps plans


def to_dicts(tree: PyTree) -> Params:
    """Names every array of a tree by its place in it, in nested dicts.

    An entry of a tuple or list is called by its number, and an entry of a dict by its
    key, where "/" separates names as it does in paths of lenetjax: stax's
    ``[(W, b), ()]`` becomes ``{"0": {"0": W, "1": b}}`` and Haiku's
    ``{"mlp/~/linear_0": {"w": w}}`` becomes ``{"mlp": {"~": {"linear_0": {"w": w}}}}``.
    What holds no arrays is left out; a tree that is one array becomes the entry
    "value".

    Args:
      tree: dicts, tuples, lists and other pytrees of arrays.

    Returns:
      Nested dicts of the same arrays, as layers of lenetjax have for params and state.

    Raises:
      LayerError: two arrays would have the same name, or one stands where others lie
        inside.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> params = [(jnp.ones((3, 2)), jnp.ones(2)), (), (jnp.ones((2, 1)),)]
      >>> jax.tree.map(jnp.shape, nn.interop.to_dicts(params))
      {'0': {'0': (3, 2), '1': (2,)}, '2': {'0': (2, 1)}}
    """
    nested: Params = {}
    for place, leaf in jax.tree.leaves_with_path(tree):
        *names, last = _names(place)
        here = nested
        for name in names:
            here = here.setdefault(name, {})
            if not isinstance(here, dict):
                raise LayerError(f"{'/'.join(names)!r} is the name of an array too")
        if last in here:
            path = "/".join([*names, last])
            raise LayerError(f"{path!r} would be the name of two arrays")
        here[last] = leaf
    return nested


def from_dicts(params: Mapping[str, Any], like: PyTree) -> PyTree:
    """Undoes `to_dicts`: puts named arrays into a tree's own form.

    Args:
      params: nested dicts of arrays, as `to_dicts` names them.
      like: a tree of the form that is wanted; its arrays (or what stands for them, such
        as `jax.ShapeDtypeStruct`) are not read.

    Returns:
      A tree like `like`, of the arrays in `params`.

    Raises:
      LayerError: an array is missing, or one is left over.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> like = [(jnp.ones((3, 2)), jnp.ones(2)), ()]
      >>> named = {"0": {"0": jnp.zeros((3, 2)), "1": jnp.zeros(2)}}
      >>> jax.tree.map(jnp.shape, nn.interop.from_dicts(named, like))
      [((3, 2), (2,)), ()]
    """
    places, structure = jax.tree.flatten_with_path(like)
    found = [_entry(params, _names(place), params) for place, _ in places]
    if len(jax.tree.leaves(dict(params))) != len(found):
        wanted = shapes_text(to_dicts(like)) or "nothing"
        raise LayerError(f"expected {wanted}, got {shapes_text(params)}")
    return jax.tree.unflatten(structure, found)


def check_names(net: Layer, names: Mapping[str, str]) -> None:
    """Refuses names for layers that the net has not.

    Raises:
      LayerError: `names` is no dict of our paths and their names.
    """
    if not isinstance(names, Mapping) or not all(
        isinstance(name, str) for name in (*names, *names.values())
    ):
        raise LayerError(
            f"names must be a dict of strings, {{'our/path': 'their.module'}}, got "
            f"{names!r}"
        )
    paths = [path for path, _ in net.walk()]
    if unknown := [path for path in names if path not in paths]:
        raise LayerError(
            f"names has {', '.join(map(repr, unknown))}, and the paths of this net are "
            f"{', '.join(map(repr, dict.fromkeys(paths)))}"
        )


def _entry(params: Any, names: list[str], whole: Mapping[str, Any]) -> Any:
    for name in names:
        if not isinstance(params, Mapping) or name not in params:
            got = shapes_text(whole) or "nothing"
            raise LayerError(f"there is no {'/'.join(names)!r}; got {got}")
        params = params[name]
    return params


def _names(place: tuple[Any, ...]) -> list[str]:
    """The names that lead to an array, outermost first."""
    text = jax.tree_util.keystr(place, simple=True, separator="/")
    return text.split("/") if text else [ALONE]


def form_of(make: Callable[[jax.Array, PyTree], PyTree]) -> Callable[[PyTree], PyTree]:
    """Finds the form of what ``make(key, x)`` returns, once for each shape of x."""

    @functools.lru_cache(maxsize=FORMS_KEPT)
    def find(structure: Any, specs: tuple[Any, ...]) -> PyTree:
        x = structure.unflatten(specs)
        return jax.eval_shape(lambda key: make(key, x), key_spec())

    def form(x: PyTree) -> PyTree:
        leaves, structure = jax.tree.flatten(jax.tree.map(spec_of, x))
        return find(structure, tuple(leaves))

    return form
