"""Copies of layers, memory and dtypes: against the same written out by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import lenetjax as nn
from lenetjax import cache

X = jax.random.normal(jax.random.key(1), (4, 3))


def block():
    return nn.serial(
        fc=nn.linear(3), norm=nn.batch_norm(), act=jnp.tanh, drop=nn.dropout(0.5)
    )


def copy_of(tree, i):
    return jax.tree.map(lambda array: array[i], tree)


def equal(one, other, tol=1e-6):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=tol, atol=tol), one, other
    )


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("train", [False, True])
def test_repeat_is_a_loop_over_copies(remat, train):
    """Output, new state and random numbers, with a key for each copy by its number."""
    layer, net = block(), nn.repeat(3, block(), remat=remat)
    params, state = net.init_with_state(jax.random.key(0), X)
    key = jax.random.key(5)

    y, new_state = net.apply_with_state(params, state, X, key=key, train=train)

    x, states = X, []
    for i in range(3):
        own = jax.random.fold_in(key, i)
        x, s = layer.apply_with_state(
            copy_of(params, i), copy_of(state, i), x, key=own, train=train
        )
        states.append(s)
    equal(y, x)
    equal(new_state, jax.tree.map(lambda *arrays: jnp.stack(arrays), *states))


@pytest.mark.compiled
@pytest.mark.parametrize("room", ["for all", "for two", "for none"])
@pytest.mark.parametrize("train", [False, True])
def test_an_ensemble_is_its_copies(train, room, monkeypatch):
    """Output, state, random numbers and gradient, however many fit the cache."""
    layer, net = block(), nn.ensemble(5, block())
    params, state = net.init_with_state(jax.random.key(0), X)
    key = jax.random.key(5)
    if room != "for all":
        of_one = cache.output_bytes(layer.plan(X))
        monkeypatch.setattr(cache, "CACHE", of_one if room == "for two" else 0)

    def outputs(net, params, state, key):
        def loss(params):
            y, new = net.apply_with_state(params, state, X, key=key, train=train)
            return jnp.sum(y**2), (y, new)

        return jax.grad(loss, has_aux=True)(params)

    grads, (y, new_state) = outputs(net, params, state, key)
    program = str(jax.make_jaxpr(lambda p: outputs(net, p, state, key))(params))

    assert ("scan" in program) == (room != "for all")
    for i in range(5):
        own = jax.random.fold_in(key, i)
        want, aux = outputs(layer, copy_of(params, i), copy_of(state, i), own)
        equal(copy_of(grads, i), want, tol=1e-5)
        equal((y[i], copy_of(new_state, i)), aux)


def test_an_ensemble_is_exported_for_any_batch(monkeypatch):
    """Where no size of the batch is known, nothing asks for it."""
    monkeypatch.setattr(cache, "CACHE", 0)
    net = nn.ensemble(3, nn.linear(2))
    params = net.init(jax.random.key(0), X)
    spec = jax.ShapeDtypeStruct((*export.symbolic_shape("batch"), 3), X.dtype)

    program = export.export(jax.jit(lambda x: net.apply(params, x)))(spec)

    equal(program.call(X), net.apply(params, X))


@pytest.mark.parametrize("combinator", [nn.repeat, nn.ensemble])
def test_copies_start_apart(combinator):
    """Each copy is drawn from its own key, and is what its layer would draw."""
    params = combinator(3, nn.linear(3)).init(jax.random.key(0), X)

    for i in range(3):
        want = nn.linear(3).init(jax.random.fold_in(jax.random.key(0), i), X)
        equal(copy_of(params, i), want)
    assert (params["weight"][0] != params["weight"][1]).all()


@pytest.mark.compiled
def test_repeat_compiles_one_copy():
    """The program of a hundred copies is as long as that of two."""

    def length(n):
        net = nn.repeat(n, nn.serial(fc=nn.linear(3), act=jnp.tanh))
        params = jax.eval_shape(net.init, jax.random.key(0), X)
        text = jax.jit(jax.grad(lambda p: net.apply(p, X).sum())).lower(params)
        return len(text.as_text().splitlines())

    assert length(2) == length(100)


def test_remat_keeps_less_and_changes_nothing():
    """Gradients are the same, and only the input is saved for them."""
    inner = nn.serial(nn.linear(3), jnp.tanh, nn.linear(3), jnp.tanh, nn.linear(3))
    params = inner.init(jax.random.key(0), X)

    def loss(net, params):
        return net.apply(params, X).sum()

    want = jax.grad(functools.partial(loss, inner))(params)
    got = jax.grad(functools.partial(loss, nn.remat(inner)))(params)
    equal(got, want)

    def saved(net):
        _, pullback = jax.vjp(functools.partial(loss, net), params)
        shapes = [leaf.shape for leaf in jax.tree.leaves(pullback)]
        return shapes.count((4, 3))

    assert saved(nn.remat(inner)) < saved(inner)


@pytest.mark.parametrize(
    ("params", "compute", "output"),
    [
        ("float32", "bfloat16", "float32"),
        ("bfloat16", "float32", "float16"),
        ("float32", "float16", "float16"),
    ],
)
def test_mixed_precision_converts_at_the_borders(params, compute, output):
    """Params, the inside and the output each have the dtype that was asked for."""
    seen = []

    def look(x):
        seen.append(x.dtype)
        return x

    net = nn.mixed_precision(
        nn.serial(fc=nn.linear(2), look=look, norm=nn.batch_norm()),
        params=params,
        compute=compute,
        output=output,
    )
    made, state = net.init_with_state(jax.random.key(0), X)
    seen.clear()
    y, new_state = net.apply_with_state(made, state, X, train=True)

    assert {leaf.dtype for leaf in jax.tree.leaves(made)} == {jnp.dtype(params)}
    assert set(seen) == {jnp.dtype(compute)}
    assert y.dtype == output == net.plan(X).y.dtype
    assert new_state["norm"]["mean"].dtype == "float32"


def test_mixed_precision_computes_what_casting_by_hand_does():
    """The numbers of the inner net on converted params and input."""
    inner = nn.serial(conv=nn.conv2d(4, 3), flatten=nn.flatten(), fc=nn.linear(2))
    net = nn.mixed_precision(inner)
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 1), "float32")
    params = net.init(jax.random.key(0), x)
    small = jax.tree.map(lambda p: p.astype("bfloat16"), params)

    equal(params, inner.init(jax.random.key(0), x))
    np.testing.assert_array_equal(
        net.apply(params, x), inner.apply(small, x.astype("bfloat16")).astype("float32")
    )
    gradients = jax.grad(lambda p: net.apply(p, x).sum())(params)
    assert {g.dtype for g in jax.tree.leaves(gradients)} == {jnp.dtype("float32")}


def test_mixed_precision_leaves_integers_alone():
    """Ids of an embedding are not converted."""
    net = nn.mixed_precision(nn.serial(nn.embedding(300, 4), nn.linear(2)))
    ids = jnp.array([[257, 299]])

    params = net.init(jax.random.key(0), ids)

    assert params["0"]["weight"].dtype == "float32"
    want = net.apply(params, ids[:, :1])
    np.testing.assert_array_equal(net.apply(params, ids)[:, :1], want)


def test_weight_norm_starts_as_the_layer():
    """At first the weight is the layer's own; then the gain scales each output."""
    layer, net = nn.linear(4), nn.weight_norm(nn.linear(4))
    params = net.init(jax.random.key(0), X)
    plain = {name: params[name] for name in ("weight", "bias")}

    equal(net.apply(params, X), layer.apply(plain, X))
    longer = params | {"weight": params["weight"] * 7}
    equal(net.apply(longer, X), net.apply(params, X))


def test_spectral_norm_bounds_the_weight():
    """After some steps the largest singular value is one, and evaluation moves none."""
    net = nn.spectral_norm(nn.conv2d(5, 3, bias=False))
    x = jax.random.normal(jax.random.key(0), (1, 3, 3, 4))
    params, state = net.init_with_state(jax.random.key(0), x)

    for _ in range(50):
        _, state = net.apply_with_state(params, state, x, train=True)
    _, same = net.apply_with_state(params, state, x, train=False)

    equal(state, same)
    patches = jnp.eye(36).reshape(36, 3, 3, 4)
    matrix = net.apply(params, patches, state=state).reshape(36, 5)
    np.testing.assert_allclose(np.linalg.norm(matrix, 2), 1, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.repeat(0, nn.linear(3)), "n must be a positive int, got 0"),
        (lambda: nn.ensemble(2.5, nn.linear(3)), "n must be a positive int, got 2.5"),
        (lambda: nn.repeat(2, 3), "expected a layer or a function of one array"),
        (
            lambda: nn.mixed_precision(nn.linear(3), compute="int8"),
            "compute must be one of bfloat16, .*, got 'int8'",
        ),
        (
            lambda: nn.spectral_norm(nn.linear(3), iterations=0),
            "iterations must be a positive int",
        ),
    ],
)
def test_bad_settings_are_refused_at_once(make, message):
    """Before any input is seen."""
    with pytest.raises(nn.LayerError, match=message):
        make()


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            nn.repeat(2, nn.linear(4)),
            r"makes float..\[4,4\] of float..\[4,3\]; to be repeated",
        ),
        (
            nn.mixed_precision(nn.linear(3), params="float64"),
            "params='float64' needs jax.config.update",
        ),
        (nn.weight_norm(nn.flatten()), "a weight of two axes or more"),
        (nn.weight_norm(nn.weight_norm(nn.linear(2))), "a weight of two axes .* gain"),
        (nn.spectral_norm(nn.serial(nn.linear(2))), "a weight of two axes or more"),
    ],
)
def test_bad_layers_are_refused_by_name(net, message):
    """When an input comes, with the wrapper's path."""
    with (
        jax.enable_x64(False),
        pytest.raises(nn.LayerError, match=message) as caught,
    ):
        nn.serial(outer=net).init_with_state(jax.random.key(0), X)
    assert caught.value.path == "outer"


def test_spectral_norm_of_a_stateful_layer_is_refused():
    """With the way out."""

    def init(key, x):
        return {"weight": jnp.ones((3, 3))}, {"calls": jnp.zeros(())}

    owner = nn.layer("owner", init, lambda params, x, *, state: (x, state))

    with pytest.raises(nn.LayerError, match="around the layers inside it"):
        nn.spectral_norm(owner).init_with_state(jax.random.key(0), X)


def test_errors_inside_name_the_path_without_the_wrapper():
    """A wrapper adds nothing to the path, in params and in messages."""
    net = nn.serial(body=nn.repeat(2, nn.remat(nn.serial(conv=nn.conv2d(3, 3)))))

    with pytest.raises(nn.LayerError, match="layer 'body/conv' = conv2d") as caught:
        net.init(jax.random.key(0), X)
    assert caught.value.path == "body/conv"


def test_printing_and_rebuilding():
    """Wrappers print as they are written, and come back from plain data."""
    net = nn.serial(
        body=nn.repeat(2, nn.remat(nn.linear(3)), remat=True),
        heads=nn.ensemble(3, nn.mixed_precision(nn.spectral_norm(nn.linear(2)))),
        joined=nn.branch(
            nn.weight_norm(nn.linear(2)),
            nn.residual(jnp.tanh, shortcut=nn.linear(2)),
            merge=functools.partial(jnp.concatenate, axis=-1),
        ),
        apart=nn.parallel(nn.linear(1), sum),
        named=nn.parallel(a=nn.linear(1)),
    )

    assert repr(nn.build(nn.describe(net))) == repr(net)
    assert "(body): repeat(2, remat=True,\n    remat(\n      linear(3)" in repr(net)


def test_summary_counts_every_copy():
    """Params and FLOPs of all copies, nested ones too."""
    net = nn.serial(
        body=nn.repeat(4, nn.serial(fc=nn.linear(3))),
        heads=nn.ensemble(2, nn.repeat(3, nn.linear(3))),
    )
    params = net.init(jax.random.key(0), X)

    summary = nn.summary(net, X)

    assert summary.total("params") == nn.count(params) == (4 + 6) * 12
    assert summary.total("flops") == (4 + 6) * 2 * 4 * 3 * 3
    assert [row.layer for row in summary.rows] == ["4 x linear(3)", "6 x linear(3)"]
