"""Gradients too small for float16: the loss is scaled, and its gradient unscaled."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lenetjax.checks import LayerError
from lenetjax.functional.arguments import is_number, size

LEAST = 1.0  # a gradient that is not finite with this scale is not so for its scale


class LossScalingState(NamedTuple):
    """What the optimizer of `loss_scaling` carries along.

    Fields:
      scale: what the next loss is multiplied by.
      good_steps: how many finite gradients there were since the scale last changed.
      last_finite: whether the last gradient was finite.
      skipped: how many steps in a row were left out for another reason than the scale:
        the loss itself was not finite, or the scale can fall no further.
      inner_state: the state of the optimizer inside.
    """

    scale: jax.Array
    good_steps: jax.Array
    last_finite: jax.Array
    skipped: jax.Array
    inner_state: Any


class LossScaling(optax.GradientTransformationExtraArgs):  # type: ignore[misc]
    """An optimizer that wants the loss scaled; made by `loss_scaling`."""

    inner: optax.GradientTransformation
    around: Callable[[optax.GradientTransformation], "LossScaling"]


def loss_scaling(
    optimizer: optax.GradientTransformation,
    init_scale: float = 2.0**16,
    *,
    dynamic: bool = True,
    growth_factor: float = 2.0,
    backoff_factor: float = 0.5,
    growth_interval: int = 2000,
) -> optax.GradientTransformationExtraArgs:
    """Lets an optimizer train a net in float16, whose small gradients would be zero.

    `train_step` and `fit` multiply the loss by the scale that they find in this
    optimizer's state, before the gradient is taken; the optimizer divides the gradient
    by it. A gradient that is not finite changes neither params nor state: the step is
    left out and the scale halved. After 2000 finite ones in a row it is doubled. The
    loss that is reported is the one without the scale.

    Args:
      optimizer: any optax optimizer. It is given gradients without the scale, so clip
        them inside: ``nn.loss_scaling(optax.chain(optax.clip(1.0), optax.sgd(0.1)))``.
      init_scale: the scale at the beginning, at least 1.
      dynamic: whether the scale changes; a gradient that is not finite is left out
        in any case.
      growth_factor: what the scale is multiplied by after `growth_interval` finite
        gradients; above 1.
      backoff_factor: what it is multiplied by after one that is not; between 0 and 1.
        It does not fall below 1.
      growth_interval: how many finite gradients in a row let it grow.

    Returns:
      An optax optimizer, for `train_step` and `fit`, which has to be the outermost one:
      what is around it would see gradients with the scale.

    Raises:
      LayerError: an argument is out of range, or, by its ``init``, params are float16,
        in which small gradients are lost again; keep them in float32, as
        ``nn.mixed_precision(net, compute="float16")`` does.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn, optax
      >>> net = nn.mixed_precision(nn.linear(2), compute="float16")
      >>> optimizer = nn.loss_scaling(optax.sgd(0.1))
      >>> batch = jnp.ones((4, 3)), jnp.array([0, 1, 1, 1])
      >>> run = nn.train_state(net, optimizer, jax.random.key(0), batch[0])
      >>> run, metrics = nn.train_step(net, optimizer)(run, batch)
      >>> float(metrics["loss_scale"]), int(run.opt_state.good_steps)
      (65536.0, 1)

    Reference: Micikevicius et al., "Mixed Precision Training", 2017. Follows
    `torch.amp.GradScaler`, and jmp's `DynamicLossScale`, whose scale does not fall
    below 1 either.
    """
    _check("init_scale", init_scale, LEAST, float("inf"))
    if dynamic:
        _check("growth_factor", growth_factor, 1.0, float("inf"), inclusive=False)
        _check("backoff_factor", backoff_factor, 0.0, 1.0, inclusive=False)
        size("growth_interval", growth_interval)
    inner = optax.with_extra_args_support(optimizer)

    def next_scale(
        state: LossScalingState, finite: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        good = jnp.where(finite, state.good_steps + 1, 0)
        if not dynamic:
            return state.scale, good
        grown = state.scale * growth_factor
        due = good == growth_interval
        grown = jnp.where(due & jnp.isfinite(grown), grown, state.scale)
        fallen = jnp.maximum(state.scale * backoff_factor, LEAST)
        return jnp.where(finite, grown, fallen), jnp.where(due, 0, good)

    def init(params: Any) -> LossScalingState:
        _refuse_float16(params)
        scale, none = jnp.asarray(init_scale, jnp.float32), jnp.zeros((), jnp.int32)
        finite = jnp.ones((), jnp.bool_)
        return LossScalingState(scale, none, finite, none, inner.init(params))

    def update(
        grads: Any,
        state: LossScalingState,
        params: Any = None,
        *,
        value: Any = None,
        **more: Any,
    ) -> tuple[Any, LossScalingState]:
        grads = jax.tree.map(lambda g: (g / state.scale).astype(g.dtype), grads)
        finite = jnp.array([jnp.isfinite(g).all() for g in jax.tree.leaves(grads)])
        finite = finite.all()
        if value is not None:
            more["value"] = value
        if "grad" in more:
            more["grad"] = grads

        def do(inner_state: Any) -> tuple[Any, Any]:
            updates, new = inner.update(grads, inner_state, params, **more)
            return updates, new

        def leave(inner_state: Any) -> tuple[Any, Any]:
            updates, _ = jax.eval_shape(do, inner_state)
            none = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), updates)
            return none, inner_state

        updates, inner_state = jax.lax.cond(finite, do, leave, state.inner_state)
        scale, good = next_scale(state, finite)
        # Left out for a reason that a smaller scale does not mend.
        hopeless = ~finite & (scale == state.scale)
        if value is not None:
            hopeless |= ~finite & ~jnp.isfinite(value)
        skipped = jnp.where(hopeless, state.skipped + 1, 0)
        return updates, LossScalingState(scale, good, finite, skipped, inner_state)

    made = LossScaling(init, update)
    made.inner = optimizer
    made.around = lambda other: loss_scaling(
        other,
        init_scale,
        dynamic=dynamic,
        growth_factor=growth_factor,
        backoff_factor=backoff_factor,
        growth_interval=growth_interval,
    )
    return made


def inside(
    optimizer: optax.GradientTransformation,
    wrap: Callable[[optax.GradientTransformation], optax.GradientTransformation],
) -> optax.GradientTransformation:
    """Wraps an optimizer; one that scales the loss stays the outermost."""
    if isinstance(optimizer, LossScaling):
        return optimizer.around(wrap(optimizer.inner))
    return wrap(optimizer)


def loss_scale(opt_state: Any) -> jax.Array | None:
    """What to multiply the loss by, if the optimizer is one of `loss_scaling`.

    Raises:
      LayerError: it is, but another optimizer is around it.
    """
    if isinstance(opt_state, LossScalingState):
        return opt_state.scale
    parts = jax.tree.leaves(opt_state, is_leaf=_scales)
    if any(map(_scales, parts)):
        raise LayerError(
            "loss_scaling must be the outermost optimizer, as what is around it would "
            "see gradients with the scale: nn.loss_scaling(optax.chain(...)), not "
            "optax.chain(..., nn.loss_scaling(...))"
        )
    return None


def _scales(part: Any) -> bool:
    return isinstance(part, LossScalingState)


def _refuse_float16(params: Any) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if leaf.dtype == jnp.float16:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise LayerError(
                f"loss_scaling: {name} is float16, in which the unscaled gradient "
                "would be lost; keep params in float32, as nn.mixed_precision(net, "
                'compute="float16") does'
            )


def _check(
    name: str, value: float, low: float, high: float, *, inclusive: bool = True
) -> None:
    above = is_number(value) and (value >= low if inclusive else value > low)
    if not (above and value < high):
        words = "at least" if inclusive else "above"
        most = "" if high == float("inf") else f" and below {high:g}"
        raise LayerError(f"{name} must be {words} {low:g}{most}, got {value!r}")
