"""optax's update rules against `torch.optim`: the README's table of argument names."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from against_torch import draw, torch

STEPS = 50
RULES = {
    "SGD": (
        lambda p: torch.optim.SGD(p, lr=0.05),
        optax.sgd(0.05),
    ),
    "SGD with momentum": (
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        optax.sgd(0.05, momentum=0.9),
    ),
    "SGD with weight decay": (
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
        optax.chain(optax.add_decayed_weights(0.01), optax.sgd(0.05, momentum=0.9)),
    ),
    "Nesterov": (
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        optax.sgd(0.05, momentum=0.9, nesterov=True),
    ),
    "Adam": (
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.99), eps=1e-6),
        optax.adam(0.01, b1=0.8, b2=0.99, eps=1e-6),
    ),
    "Adam by default": (
        lambda p: torch.optim.Adam(p, lr=0.01),
        optax.adam(0.01),
    ),
    "AdamW": (
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
        optax.adamw(0.01, weight_decay=0.1),
    ),
    "RMSprop": (
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.95, eps=1e-6),
        optax.rmsprop(0.01, decay=0.95, eps=1e-6, eps_in_sqrt=False),
    ),
    "RMSprop with momentum": (
        lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9),
        optax.rmsprop(0.01, decay=0.99, eps_in_sqrt=False, momentum=0.9),
    ),
    "RMSprop centered": (
        lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True),
        optax.rmsprop(0.01, decay=0.99, eps_in_sqrt=False, centered=True),
    ),
    "Adagrad": (
        lambda p: torch.optim.Adagrad(p, lr=0.1, eps=0),
        optax.adagrad(0.1, initial_accumulator_value=0.0, eps=0.0),
    ),
    "Adagrad from a start": (
        lambda p: torch.optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.1, eps=0),
        optax.adagrad(0.1, initial_accumulator_value=0.1, eps=0.0),
    ),
}
X, TARGETS = draw(1, 16, 5), draw(2, 16, 3)
WEIGHT, BIAS = draw(3, 5, 3), draw(4, 3)


def by_torch(make_optimizer):
    """The params after each step."""
    weight, bias = (torch.tensor(p, requires_grad=True) for p in (WEIGHT, BIAS))
    optimizer = make_optimizer([weight, bias])
    x, targets = torch.tensor(X), torch.tensor(TARGETS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        ((torch.tanh(x @ weight + bias) - targets) ** 2).mean().backward()
        optimizer.step()
        yield weight.detach().numpy().copy(), bias.detach().numpy().copy()


def by_optax(optimizer):
    """The params after each step."""
    x, targets = jnp.asarray(X), jnp.asarray(TARGETS)

    @jax.jit
    def step(params, opt_state):
        def loss(params):
            y = jnp.tanh(x @ params["weight"] + params["bias"][None])
            return ((y - targets) ** 2).mean()

        updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    params = {"weight": jnp.asarray(WEIGHT), "bias": jnp.asarray(BIAS)}
    opt_state = optimizer.init(params)
    for _ in range(STEPS):
        params, opt_state = step(params, opt_state)
        yield params["weight"], params["bias"]


@pytest.mark.parametrize("rule", RULES)
def test_fifty_steps(rule):
    """Every param agrees after every step, to 1e-10 of the largest."""
    make_optimizer, optimizer = RULES[rule]

    with jax.enable_x64(True):
        for ours, theirs in zip(
            by_optax(optimizer), by_torch(make_optimizer), strict=True
        ):
            for got, want in zip(ours, theirs, strict=True):
                largest = np.abs(want).max()
                np.testing.assert_allclose(got, want, rtol=0, atol=1e-10 * largest)
    assert np.abs(want - BIAS).max() > 0.01
