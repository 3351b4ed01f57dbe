"""What functions say about themselves: their names, arguments and wishes."""

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lenetjax.checks import LayerError

MAY_ASK_FOR = ("key", "state", "train")


def call_text(kind: str | Callable[..., Any], settings: Mapping[str, Any]) -> str:
    """Writes the call that makes a layer, without what equals the defaults."""
    if isinstance(kind, str):
        parts = [f"{name}={value!r}" for name, value in settings.items()]
        return f"{kind}({', '.join(parts)})" if parts else kind
    parameters = inspect.signature(kind).parameters
    parts = []
    for name, value in settings.items():
        default = parameters[name].default if name in parameters else None
        if default is inspect.Parameter.empty and not parts:
            parts.append(repr(value))
        elif value != default:
            parts.append(f"{name}={value!r}")
    return f"{kind.__name__}({', '.join(parts)})"


def asked_for(text: str, apply: Callable[..., Any]) -> frozenset[str]:
    """The keyword-only names of a layer's apply."""
    try:
        parameters = inspect.signature(apply).parameters.values()
    except (TypeError, ValueError):
        raise LayerError(
            f"{text}: the signature of its apply cannot be read; "
            "wrap it in a def: def apply(params, x): ..."
        ) from None
    names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    by_position = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][2:]
    if wishes := [name for name in by_position if name in MAY_ASK_FOR]:
        raise LayerError(
            f"{text}: its apply must ask for {', '.join(wishes)} by keyword: "
            f"def apply(params, x, *, {', '.join(wishes)})"
        )
    unknown = [name for name in names if name not in MAY_ASK_FOR]
    unknown += [f"**{p.name}" for p in parameters if p.kind is p.VAR_KEYWORD]
    if unknown:
        raise LayerError(
            f"{text}: its apply asks for {', '.join(unknown)}; "
            f"a layer may ask for {', '.join(MAY_ASK_FOR)}"
        )
    return frozenset(names)


def function_kind(function: Callable[..., Any]) -> tuple[str, dict[str, Any]]:
    """The name of a plain function, and what a partial gives it.

    The name says which function it is: one from outside of JAX has its module before
    it, and a partial that plain data cannot describe is called that.
    """
    if isinstance(function, functools.partial):
        kind, _ = function_kind(function.func)
        if not function.args and is_plain(function.keywords):
            return kind, dict(function.keywords)
        return f"partial.{kind}", {}
    module = getattr(function, "__module__", None) or "unknown"
    name = getattr(function, "__name__", type(function).__name__).strip("<>")
    return (name if module.partition(".")[0] == "jax" else f"{module}.{name}"), {}


def plain(value: Any) -> Any:
    """Turns NumPy's numbers into Python's, inside tuples and lists too."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list)):
        return type(value)(plain(entry) for entry in value)
    return value


def is_plain(settings: Mapping[str, Any]) -> bool:
    """Whether JSON can hold the settings."""
    try:
        json.dumps(settings)
    except (TypeError, ValueError):
        return False
    return True
