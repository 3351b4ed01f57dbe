"""Laws that every layer obeys, run over the whole catalogue."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CATALOGUE

import lenetjax as nn
from lenetjax.testing import LawError, check_layer


def cases(**flags):
    """Parametrizes a test over the catalogue's cases with these flags.

    The first case of each function is always tested, unless it says that it takes long;
    its variants are left to the long run, which CONTRIBUTING.md tells of.
    """
    chosen, kinds = [], set()
    for case in CATALOGUE:
        if all(getattr(case, flag) is value for flag, value in flags.items()):
            kind = case.name.split()[0]
            marks = [pytest.mark.variant] if kind in kinds or case.long else []
            chosen.append(pytest.param(case, id=case.name, marks=marks))
            kinds.add(kind)
    return pytest.mark.parametrize("case", chosen)


def run(case, params, state, x, train=False, seed=2):
    """Applies a case's layer, with a key."""
    return case.layer.apply_with_state(
        params, state, x, key=jax.random.key(seed), train=train
    )


def differ(one, other):
    """Whether any array differs between two trees."""
    return any(
        np.any(np.asarray(a) != np.asarray(b))
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


@cases()
def test_laws(case):
    """The laws of `lenetjax.testing`."""
    skip = case.skip if case.batched else (*case.skip, "batch")
    check_layer(case.layer, case.input(), skip=skip)


@cases()
def test_what_a_key_changes(case):
    """Params depend on the key where they are drawn, outputs where they are random."""
    params, state, x = case.example()

    others, _ = case.layer.init_with_state(jax.random.key(9), x)
    one, _ = run(case, params, state, x, train=True, seed=3)
    other, _ = run(case, params, state, x, train=True, seed=4)

    assert differ(params, others) is case.drawn
    assert differ(one, other) is case.random


@cases()
def test_training_moves_the_state_of_stateful_layers_alone(case):
    """Training changes the state's values where there are any."""
    params, state, x = case.example()

    _, new_state = run(case, params, state, x, train=True)

    assert bool(state) is case.state
    assert differ(new_state, state) is case.state


@cases()
def test_the_description_is_never_read(case):
    """Init and apply work alike when kind, settings and children say nothing."""
    params, state, x = case.example()
    net = case.layer
    want = run(case, params, state, x)

    saved = [dict(layer.settings) for _, layer in net.walk()]
    for _, layer in net.walk():
        layer.settings.clear()
    try:
        got = run(case, params, state, x)
        drawn = net.init_with_state(jax.random.key(0), x)
    finally:
        for settings, (_, layer) in zip(saved, net.walk(), strict=True):
            layer.settings.update(settings)

    jax.tree.map(np.testing.assert_array_equal, got, want)
    jax.tree.map(np.testing.assert_array_equal, drawn, (params, state))


@cases()
def test_a_layer_unpacks_into_its_pair(case):
    """`init, apply = net` gives the two verbs themselves."""
    init, apply = case.layer

    assert init == case.layer.init
    assert apply == case.layer.apply


def breaks(law, init, apply, x=None):
    """Asserts that a layer made of two functions breaks this one law."""
    layer = nn.layer("careless", init, apply)
    x = jax.random.normal(jax.random.key(1), (2, 3)) if x is None else x

    with pytest.raises(LawError, match=rf"careless breaks 1 of 12 laws:\n  {law}: "):
        check_layer(layer, x)
    check_layer(layer, x, skip=(law,))


def test_a_law_on_shapes_can_be_broken():
    """A layer whose output's shape depends on the mode."""

    def apply(params, x, *, train):
        return x[:1] if train else x

    breaks("shapes", nn.no_params, apply)


def test_a_law_on_init_can_be_broken():
    """An init that counts its calls draws other params each time."""
    calls = []

    def init(key, x):
        calls.append(None)
        return {"gain": jnp.full(x.shape[-1:], len(calls), x.dtype)}

    layer = nn.layer("careless", init, lambda params, x: params["gain"][None] * x)

    with pytest.raises(LawError, match=r"  init: from a ShapeDtypeStruct"):
        check_layer(layer, jnp.ones((2, 3)))


def test_a_law_on_params_can_be_broken():
    """An entry without arrays."""
    breaks("params", lambda key, x: {"inner": {}}, lambda params, x: x)


@pytest.mark.compiled
def test_a_law_on_jit_can_be_broken():
    """A layer that looks whether it is traced."""

    def apply(params, x):
        return x * (2 if isinstance(x, jax.core.Tracer) else 3)

    layer = nn.layer("careless", nn.no_params, apply)

    with pytest.raises(LawError, match=r"  jit: the result under jax.jit \(evaluat"):
        check_layer(layer, jnp.ones((2, 3)))


def test_a_law_on_batches_can_be_broken():
    """A layer that takes the mean of the batch off."""
    breaks("batch", nn.no_params, lambda params, x: x - x.mean(0, keepdims=True))


def test_a_law_on_gradients_can_be_broken():
    """A wrong derivative of the first order, and one of the second."""

    def halved(x):
        return x * 0.5 + jax.lax.stop_gradient(x * 0.5)

    @jax.custom_jvp
    def square(x):
        return x * x

    square.defjvp(lambda x, dx: (square(x[0]), 2 * jax.lax.stop_gradient(x[0]) * dx[0]))

    breaks("gradients", nn.no_params, lambda params, x: halved(x))
    breaks("gradients", nn.no_params, lambda params, x: square(x))


def test_a_law_on_keys_can_be_broken():
    """A layer that uses its key twice."""

    def apply(params, x, *, key, train):
        if not train:
            return x
        noise = jax.random.normal(key, x.shape, x.dtype)
        return x + noise + jax.random.normal(key, x.shape, x.dtype)

    with jax.debug_key_reuse(False):  # the other laws hold
        breaks("keys", nn.no_params, apply)


def test_a_law_on_purity_can_be_broken():
    """A layer that counts its calls."""
    calls = []

    def apply(params, x, *, train):
        if not isinstance(x, jax.core.Tracer):
            calls.append(train)
        return x + len([call for call in calls if call])

    layer = nn.layer("careless", nn.no_params, apply)

    with pytest.raises(LawError, match="  pure: called again"):
        check_layer(layer, jnp.ones((2, 3)))


def test_a_law_on_evaluation_can_be_broken():
    """A layer that draws in evaluation too."""

    def apply(params, x, *, key, train):
        return x + jax.random.normal(key, x.shape, x.dtype)

    layer = nn.layer("careless", nn.no_params, apply)

    with pytest.raises(LawError, match="  evaluation: raised LayerError"):
        check_layer(layer, jnp.ones((2, 3)))


def test_a_law_on_numpy_can_be_broken():
    """A layer that writes into an array that it was given."""
    given = []

    def apply(params, x):
        for array in given:
            array += 1
        return x

    layer = nn.layer("careless", nn.no_params, apply)
    subject = nn.testing.Subject(layer, jnp.ones((2, 3)))
    assert subject.results
    given.append(np.zeros(3))
    subject.params = {"gain": given[0]}

    with pytest.raises((LawError, nn.LayerError)):
        nn.testing.LAWS["numpy"](subject)


def test_a_law_on_half_precision_can_be_broken():
    """A layer with params of a dtype of its own."""
    breaks(
        "half",
        lambda key, x: {"gain": jnp.ones(x.shape[-1], "float32")},
        lambda params, x: x * jnp.broadcast_to(params["gain"], x.shape),
    )


def test_an_unknown_law_cannot_be_skipped():
    """A misspelt law is refused, and the right names are shown."""
    with pytest.raises(nn.LayerError, match="no law 'batches'; the laws: shapes, init"):
        check_layer(nn.flatten(), jnp.ones((2, 3)), skip=("batches",))


def test_every_broken_law_is_reported():
    """The report has a line for each."""

    def apply(params, x):
        return (x - x.mean(0, keepdims=True)).astype("float32")

    layer = nn.layer("careless", nn.no_params, apply)
    x = jax.random.normal(jax.random.key(1), (2, 3))

    with pytest.raises(
        LawError, match=r"breaks 3 of 12 laws:\n  batch: .*\n  grad.*\n  half: "
    ):
        check_layer(layer, x)
