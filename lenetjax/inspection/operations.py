"""What a function computes, operation by operation, with the layer each belongs to.

`jax.make_jaxpr` traces the function, and the scopes that layers, losses and array
functions run under say whose operation each is. Calls of compiled, checkpointed and
custom-gradient functions, and the bodies of scans, are opened where scopes lie inside.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

# Calls whose inner inputs and outputs are those of the call, one by one.
CALLS = {
    "checkpoint",
    "closed_call",
    "core_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "jit",
    "pjit",
    "remat",
    "remat2",
    "scan",
}
NO_VALUE = -1  # of a constant number
OF_REMAT = ("checkpoint", "rematted_computation")  # scopes that JAX adds


@dataclass(frozen=True)
class Place:
    """Where an operation stands: its scopes, how often it runs, and on which way."""

    scopes: tuple[str, ...] = ()
    repeats: int = 1
    backward: bool = False


@dataclass(frozen=True)
class Operation:
    """One operation. Values have numbers from 0 on; numbers in code have none."""

    name: str
    place: Place
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Operations:
    """All operations of a closed jaxpr, in order.

    Attributes:
      operations: the list.
      inputs, outputs: the numbers of the whole's inputs and outputs.
      constants: the numbers of arrays that the function closes over.
      specs: shape and dtype of each value, by number.
    """

    def __init__(self, closed: Any) -> None:
        self.operations: list[Operation] = []
        self.specs: list[Any] = []
        self.constants: dict[int, int] = {}  # by the identity of the array
        self.inputs = [self._new(var.aval) for var in closed.jaxpr.invars]
        self.outputs = self._open(closed, self.inputs, Place())

    def _new(self, spec: Any) -> int:
        self.specs.append(spec)
        return len(self.specs) - 1

    def _constant(self, value: Any, spec: Any) -> int:
        if not getattr(spec, "shape", ()):
            return NO_VALUE
        if id(value) not in self.constants:
            self.constants[id(value)] = self._new(spec)
        return self.constants[id(value)]

    def _open(self, closed: Any, inputs: Sequence[int], here: Place) -> list[int]:
        jaxpr = getattr(closed, "jaxpr", closed)
        known: dict[Any, int] = dict(zip(jaxpr.invars, inputs, strict=True))
        for var, value in zip(
            jaxpr.constvars, getattr(closed, "consts", ()), strict=True
        ):
            known[var] = self._constant(value, var.aval)

        def numbers(variables: Sequence[Any]) -> list[int]:
            return [
                self._constant(v.val, v.aval)
                if hasattr(v, "val")
                else known.get(v, NO_VALUE)
                for v in variables
            ]

        for eqn in jaxpr.eqns:
            place = _inside(here, eqn.source_info.name_stack)
            inner, given = _inner(eqn), numbers(eqn.invars)
            whole = any("/" in scope for scope in place.scopes)  # inside of a layer
            if inner is not None and not whole and any(_scopes(inner)):
                length = eqn.params.get("length", 1) if _is_scan(eqn) else 1
                below = replace(place, repeats=place.repeats * length)
                known |= zip(eqn.outvars, self._open(inner, given, below), strict=True)
                continue
            made = [self._new(var.aval) for var in eqn.outvars]
            known |= zip(eqn.outvars, made, strict=True)
            taken = tuple(number for number in given if number != NO_VALUE)
            self.operations.append(Operation(_name(eqn), place, taken, tuple(made)))
        return numbers(jaxpr.outvars)


def _is_scan(eqn: Any) -> bool:
    return bool(eqn.primitive.name == "scan")


def _inner(eqn: Any) -> Any:
    """The jaxpr that a call opens into, or None; it may be a closed one."""
    if eqn.primitive.name not in CALLS:
        return None
    for value in eqn.params.values():
        jaxpr = getattr(value, "jaxpr", value)
        if hasattr(jaxpr, "eqns") and len(jaxpr.invars) == len(eqn.invars):
            return value
    return None


def _scopes(jaxpr: Any) -> Iterator[str]:
    """All scopes in a jaxpr, those of inner ones too."""
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield from _inside(Place(), eqn.source_info.name_stack).scopes
        if (inner := _inner(eqn)) is not None:
            yield from _scopes(inner)


def _inside(place: Place, name_stack: Any) -> Place:
    """A place, further in by the scopes and transforms of an equation."""
    scopes, backward = list(place.scopes), place.backward
    outer = len(scopes)
    for element in name_stack.stack:
        if type(element).__name__ == "Scope":
            scopes += [element.name] if element.name not in OF_REMAT else []
        elif element.name == "transpose":
            backward = True
        elif element.name == "jvp":  # the way back through a remat says all twice
            del scopes[outer:]
    return Place(tuple(scopes), place.repeats, backward)


def _name(eqn: Any) -> str:
    """What to call an operation: a compiled function's name, or the primitive's."""
    inner = _inner(eqn)
    if inner is None or _is_scan(eqn):
        return str(eqn.primitive.name)
    if name := eqn.params.get("name"):
        return str(name).strip("_").removesuffix("_jvp")
    steps = getattr(inner, "jaxpr", inner).eqns
    return _name(steps[0]) if len(steps) == 1 else str(eqn.primitive.name)
