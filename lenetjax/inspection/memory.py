"""How much memory a net needs, found before it runs."""

import math
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lenetjax.core import Layer, LayerError, PyTree
from lenetjax.losses import cross_entropy
from lenetjax.specs import key_spec, shapes_text, spec_of
from lenetjax.training import Loss, predict_step, train_state, train_step


class ProgramMemory(NamedTuple):
    """What the compiler reserves for a program, in bytes.

    Fields:
      arguments: what goes in, such as params and a batch.
      outputs: what comes out.
      aliased: the part of the outputs that takes the place of arguments.
      temporary: what is needed in between.
    """

    arguments: int
    outputs: int
    aliased: int
    temporary: int

    @property
    def total(self) -> int:
        """Arguments, outputs and what is in between, each place counted once."""
        return self.arguments + self.outputs - self.aliased + self.temporary


@dataclass(frozen=True)
class Memory:
    """A net's memory in bytes; `print` shows it as a table.

    Attributes:
      input: the shape and dtype of the net's input.
      params, state, gradients, optimizer: those of the net, and of its optimizer.
      batch: inputs and labels.
      kept: what the forward pass keeps for the gradient, besides params and inputs, of
        the whole batch at once, as JAX traces it. The compiler may keep less.
      training: what the compiler reserves for `train_step`, or None where it does not
        say.
      inference: that for `predict_step`.
    """

    input: str
    params: int
    state: int
    gradients: int
    optimizer: int
    batch: int
    kept: int
    training: ProgramMemory | None
    inference: ProgramMemory | None

    def __str__(self) -> str:
        parts = (
            ("params", self.params),
            ("state", self.state),
            ("gradients", self.gradients),
            ("optimizer", self.optimizer),
            ("batch", self.batch),
            ("kept for the gradient", self.kept),
        )
        lines = [f"bytes for {self.input}"]
        lines += [f"  {name:<24}{size:>16,}" for name, size in parts]
        programs = {"training step": self.training, "inference": self.inference}
        for name, program in programs.items():
            lines.append(f"compiled {name}")
            if program is None:
                lines.append("  the compiler does not say")
                continue
            found = {**program._asdict(), "total": program.total}
            lines += [f"  {part:<24}{size:>16,}" for part, size in found.items()]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data, with the totals."""
        found = dict(vars(self))
        for name in ("training", "inference"):
            program = found[name]
            if program is not None:
                found[name] = {**program._asdict(), "total": program.total}
        return found


def memory(
    net: Layer,
    x: PyTree,
    labels: Any = None,
    *,
    optimizer: optax.GradientTransformation | None = None,
    loss: Loss = cross_entropy,
    chunk_size: int | None = None,
) -> Memory:
    """Finds how much memory training a net takes, and using it, before it runs.

    The programs are compiled, for this device; nothing is computed, and no array made.

    Args:
      net: any layer.
      x: an example batch, or its `jax.ShapeDtypeStruct`.
      labels: its labels, likewise; None stands for the number of a class for each.
      optimizer: any optax optimizer; None stands for one without a state.
      loss: ``loss(outputs, labels)``, a scalar.
      chunk_size: as in `train_step`.

    Returns:
      A `Memory`. What the compiler reserves does not have the program itself in it, nor
      what libraries such as cuDNN take beside it.

    Raises:
      LayerError: x does not fit the net, or labels are needed.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn, optax
      >>> x, adam = jnp.zeros((32, 784)), optax.adam(0.1)
      >>> found = nn.memory(nn.linear(10), x, optimizer=adam)
      >>> found.params, found.optimizer, found.batch
      (31400, 62804, 100480)
    """
    x = jax.tree.map(spec_of, x)
    plan = net.plan(x)
    labels = _labels(plan.y, loss) if labels is None else jax.tree.map(spec_of, labels)
    optimizer = optax.sgd(0.0) if optimizer is None else optimizer
    run = jax.eval_shape(lambda key: train_state(net, optimizer, key, x), key_spec())
    step = train_step(net, optimizer, loss, chunk_size=chunk_size)
    return Memory(
        input=shapes_text(x),
        params=_bytes(run.params),
        state=_bytes(run.state),
        gradients=_bytes(run.params),
        optimizer=_bytes(run.opt_state),
        batch=_bytes((x, labels)),
        kept=kept_for_gradient(net, x, labels, loss),
        training=_compiled(step, run, (x, labels)),
        inference=_compiled(predict_step(net), run.params, run.state, x),
    )


def kept_for_gradient(net: Layer, x: PyTree, labels: Any, loss: Loss) -> int:
    """The bytes that a loss keeps for its gradient, besides what goes in."""
    plan = net.plan(x)

    def pullback(params: Any, state: Any, x: PyTree, labels: Any, key: Any) -> Any:
        def objective(params: Any) -> jax.Array:
            outputs, _ = net.apply_with_state(params, state, x, key=key, train=True)
            return loss(outputs, labels)

        return jax.vjp(objective, params)[1]

    found = jax.make_jaxpr(pullback)(plan.params, plan.state, x, labels, key_spec())
    given = {id(var) for var in (*found.jaxpr.invars, *found.jaxpr.constvars)}
    kept = {id(var): var.aval for var in found.jaxpr.outvars if id(var) not in given}
    return sum(map(_size, kept.values()))


def _labels(outputs: PyTree, loss: Loss) -> jax.ShapeDtypeStruct:
    """Class numbers, as `cross_entropy` takes them."""
    if loss is not cross_entropy or not hasattr(outputs, "shape"):
        raise LayerError(
            "memory needs this loss's labels, or their jax.ShapeDtypeStruct: "
            "nn.memory(net, x, labels, loss=...)"
        )
    return jax.ShapeDtypeStruct(outputs.shape[:-1], jnp.int32)


def _compiled(function: Any, *arguments: Any) -> ProgramMemory | None:
    found = function.lower(*arguments).compile().memory_analysis()
    if found is None:
        return None
    return ProgramMemory(
        found.argument_size_in_bytes,
        found.output_size_in_bytes,
        found.alias_size_in_bytes,
        found.temp_size_in_bytes,
    )


def _bytes(specs: PyTree) -> int:
    return sum(map(_size, jax.tree.leaves(specs)))


def _size(spec: Any) -> int:
    size: int = math.prod(spec.shape) * spec.dtype.itemsize
    return size
