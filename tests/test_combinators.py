"""serial and compose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lenetjax as nn

KEY = jax.random.key(0)
X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


@given(
    widths=st.lists(st.integers(1, 6), min_size=3, max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_serial_is_associative(widths, seed):
    """Grouping layers changes the tree of params and nothing else."""
    a, b, c = (nn.linear(width) for width in widths)
    flat = nn.serial(a=a, b=b, c=c)
    grouped = nn.serial(ab=nn.serial(a=a, b=b), c=c)
    x = jax.random.normal(jax.random.key(seed), (2, 4))
    params = flat.init(jax.random.key(seed), x)
    regrouped = {"ab": {"a": params["a"], "b": params["b"]}, "c": params["c"]}

    want, got = flat.apply(params, x), grouped.apply(regrouped, x)

    np.testing.assert_array_equal(got, want)


def test_an_empty_serial_is_the_identity():
    """Nothing in a row does nothing."""
    np.testing.assert_array_equal(nn.serial().apply({}, X), X)


def test_no_layer_is_dropped_for_its_name():
    """A name that a layer by position has already is refused."""
    with pytest.raises(nn.LayerError, match="number of a layer by position"):
        nn.serial(nn.linear(2), **{"0": nn.linear(3)})


def test_compose_and_serial_agree():
    """The same children under the same names have equal params and outputs."""
    children = {"fc1": nn.linear(4), "fc2": nn.linear(2)}
    one = nn.serial(**children)
    other = nn.compose(lambda net, x: net.fc2(net.fc1(x)), **children)

    params = one.init(KEY, X)

    jax.tree.map(np.testing.assert_array_equal, params, other.init(KEY, X))
    np.testing.assert_array_equal(one.apply(params, X), other.apply(params, X))


def test_a_child_called_twice_shares_its_weights():
    """One set of params, whose gradient is the sum over both calls."""
    net = nn.compose(lambda net, x: net.fc(net.fc(x)), fc=nn.linear(3, bias=False))
    params = net.init(KEY, X)
    w = params["fc"]["weight"]

    grad = jax.grad(lambda p: net.apply(p, X).sum())(params)["fc"]["weight"]

    first, second = jax.grad(lambda a, b: (X @ a @ b).sum(), (0, 1))(w, w)
    np.testing.assert_allclose(grad, first + second, rtol=1e-5)


def test_a_random_child_called_twice_draws_twice():
    """The two calls of one dropout zero other values."""
    ones = jnp.ones((4, 50))
    net = nn.compose(lambda net, x: (net.drop(x), net.drop(x)), drop=nn.dropout(0.5))

    first, second = net.apply({}, ones, key=KEY, train=True)

    assert not np.array_equal(first, second)


def test_state_passes_from_one_call_to_the_next():
    """A counter that is called three times counts to three."""

    def apply(params, x, *, state):
        return x, {"calls": state["calls"] + 1}

    counter = nn.layer(
        "counter", lambda key, x: ({}, {"calls": jnp.zeros((), jnp.int32)}), apply
    )
    net = nn.compose(lambda net, x: net.c(net.c(net.c(x))), c=nn.serial(inner=counter))
    params, state = net.init_with_state(KEY, X)

    _, state = net.apply_with_state(params, state, X, train=True)

    assert state["c"]["inner"]["calls"] == 3


@pytest.mark.compiled
@pytest.mark.parametrize(
    "inside",
    [
        lambda f, x: jax.lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0],
        lambda f, x: jax.vmap(lambda row: f(row[None])[0])(x),
        lambda f, x: jax.jit(f)(x),
        lambda f, x: jax.checkpoint(f)(x),
    ],
    ids=["scan", "vmap", "jit", "checkpoint"],
)
def test_state_inside_a_transform_is_refused(inside):
    """It would be lost there; a layer without state works."""

    def forward(net, x):
        return inside(net.layer, x)

    stateless = nn.compose(forward, layer=nn.linear(3))
    params = stateless.init(KEY, X)
    assert stateless.apply(params, X).shape == (2, 3)

    with pytest.raises(nn.LayerError, match=r"'layer' has state.*transform"):
        nn.compose(forward, layer=nn.batch_norm()).init_with_state(KEY, X)


def test_trees_go_in_and_out():
    """A forward function may take and return several arrays."""
    net = nn.compose(
        lambda net, pair: {"sum": net.a(pair[0]) + net.b(pair[1])},
        a=nn.linear(2),
        b=nn.linear(2),
    )
    params = net.init(KEY, (X, X[:, :2]))

    assert net.apply(params, (X, X[:, :2]))["sum"].shape == (2, 2)
    assert params["b"]["weight"].shape == (2, 2)


def test_an_idle_child_is_refused():
    """A child that forward never calls has no params, and is most likely a slip."""
    net = nn.compose(lambda net, x: net.a(x), a=nn.linear(2), b=nn.linear(2))

    with pytest.raises(nn.LayerError, match="never calls b"):
        net.init(KEY, X)


def test_an_unknown_child_is_refused():
    """The message lists the children that there are."""
    net = nn.compose(lambda net, x: net.fc2(x), fc1=nn.linear(2))

    with pytest.raises(nn.LayerError, match=r"no child 'fc2'.*fc1"):
        net.init(KEY, X)


def test_calls_that_need_different_params_are_refused():
    """Shared weights must fit every call."""
    net = nn.compose(lambda net, x: net.fc(net.fc(x)), fc=nn.linear(2))

    with pytest.raises(nn.LayerError, match=r"(?s)'fc'.*different params.*\[3,2\]"):
        net.init(KEY, X)


@pytest.mark.parametrize("name", ["", "a/b", "a.b", "a#1"])
def test_names_that_would_break_paths_are_refused(name):
    """A name stands in paths, in files and in keys."""
    with pytest.raises(nn.LayerError, match="cannot be a layer's name"):
        nn.serial(**{name: nn.linear(2)})


def test_parallel_gives_each_layer_its_own_input():
    """By position and by name, with the params under those names."""
    a, b = jnp.ones((2, 3)), jnp.ones((2, 4))
    by_position = nn.parallel(nn.linear(2), jnp.negative)
    by_name = nn.parallel(one=nn.linear(2), two=jnp.negative)

    params = by_position.init(KEY, (a, b))
    first, second = by_position.apply(params, (a, b))
    named = by_name.apply({"one": params["0"]}, {"two": b, "one": a})

    assert (first == nn.linear(2).apply(params["0"], a)).all()
    assert (second == -b).all()
    assert list(named) == ["one", "two"]
    assert (named["one"] == first).all()


def test_branch_merges_in_the_order_of_the_branches():
    """The list that `merge` gets is in the order of the arguments."""
    net = nn.branch(
        jnp.negative, b=jnp.exp, a=jnp.tanh, merge=lambda ys: jnp.stack(ys, -1)
    )
    x = jnp.ones((2, 3))

    y = net.apply({}, x)

    assert (y == jnp.stack([-x, jnp.exp(x), jnp.tanh(x)], -1)).all()


def test_residual_adds_its_input():
    """Or what the shortcut makes of it."""
    x = jnp.ones((2, 3))

    assert (nn.residual(jnp.exp).apply({}, x) == jnp.exp(x) + x).all()
    net = nn.residual(jnp.exp, shortcut=jnp.negative)
    assert (net.apply({}, x) == jnp.exp(x) - x).all()


@pytest.mark.parametrize(
    ("net", "x", "message"),
    [
        (
            nn.parallel(jnp.exp, jnp.exp),
            jnp.ones((2, 3)),
            "a tuple of 2 inputs for 0, 1",
        ),
        (nn.parallel(jnp.exp), (jnp.ones(2),) * 2, "a tuple of 1 inputs for 0, got"),
        (nn.parallel(a=jnp.exp), {"b": jnp.ones(2)}, "a dict of inputs for a, got b"),
        (nn.parallel(a=jnp.exp), (jnp.ones(2),), "a dict of inputs for a, got"),
        (
            nn.residual(nn.linear(4)),
            jnp.ones((2, 3)),
            r"cannot add float..\[2,4\] of the body and float..\[2,3\] of the shortcut",
        ),
        (
            nn.residual(lambda x: x.sum(-1)),
            jnp.ones((3, 3)),
            "give a shortcut that makes the body's shape",
        ),
    ],
)
def test_inputs_that_do_not_fit_a_combinator(net, x, message):
    """Nothing is broadcast, and the combinator's path is named."""
    with pytest.raises(nn.LayerError, match=message) as caught:
        nn.serial(outer=net).init(KEY, x)
    assert caught.value.path == "outer"


def test_layers_both_ways_are_refused():
    """`parallel` would not know whether to return a tuple or a dict."""
    with pytest.raises(nn.LayerError, match="by position or by name, not both"):
        nn.parallel(jnp.exp, a=jnp.exp)
