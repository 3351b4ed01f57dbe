"""Outputs of inner layers: their values, their gradients, and under transforms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn

torch = pytest.importorskip("torch")

IMAGES = jax.random.normal(jax.random.key(1), (2, 16, 16, 1), jnp.float32)


@pytest.fixture(scope="module")
def small():
    """A convolutional net and its params."""
    net = nn.serial(
        conv=nn.conv2d(3, 3),
        act=jax.nn.relu,
        pool=nn.max_pool2d(2),
        flatten=nn.flatten(),
        fc=nn.linear(5),
        out=nn.linear(4),
    )
    return net, net.init(jax.random.key(0), IMAGES)


def in_torch(params):
    """The small net in PyTorch, in float64: its outputs by name, kept for gradients."""
    weights = jax.tree.map(lambda a: torch.tensor(np.asarray(a, np.float64)), params)
    seen = {}

    def keep(name, value):
        value.requires_grad_()
        value.retain_grad()
        seen[name] = value
        return value

    x = torch.tensor(np.asarray(IMAGES, np.float64)).permute(0, 3, 1, 2)
    kernel = weights["conv"]["weight"].permute(3, 2, 0, 1)
    x = keep("conv", torch.nn.functional.conv2d(x, kernel, weights["conv"]["bias"]))
    x = keep("act", torch.relu(x))
    x = keep("pool", torch.nn.functional.max_pool2d(x, 2))
    x = keep("flatten", x.permute(0, 2, 3, 1).flatten(1))
    x = keep("fc", x @ weights["fc"]["weight"] + weights["fc"]["bias"])
    x = keep("out", x @ weights["out"]["weight"] + weights["out"]["bias"])
    return x, seen


def as_ours(tensor):
    array = tensor.detach().numpy()
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def test_values_and_gradients_are_those_of_pytorch(small):
    """Each output, and the loss's gradient with respect to it, like retain_grad's."""
    net, params = small
    look = nn.taps(net, "**")
    y, outputs = look(params, IMAGES)

    def loss(add):
        return jnp.square(look(params, IMAGES, add=add)[0]).sum()

    grads = jax.jit(jax.grad(loss))(jax.tree.map(jnp.zeros_like, outputs))
    theirs, seen = in_torch(params)
    theirs.square().sum().backward()

    assert list(outputs) == list(seen) == list(net.children)
    np.testing.assert_array_equal(y, outputs["out"])
    for name, value in seen.items():
        np.testing.assert_allclose(outputs[name], as_ours(value), rtol=1e-4, atol=1e-5)
        expected = as_ours(value.grad)
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(grads[name], expected, rtol=1e-4, atol=1e-5)


def test_only_what_is_chosen_comes(small):
    """A pattern chooses layers, and the output is that of the net itself."""
    net, params = small
    y, outputs = nn.taps(net, "f*", "pool")(params, IMAGES)

    assert list(outputs) == ["pool", "flatten", "fc"]
    np.testing.assert_array_equal(y, net.apply(params, IMAGES))


def test_it_is_a_function_like_any_other(small):
    """Compiled, batched over params and differentiated it gives the same."""
    net, params = small
    look = nn.taps(net, "act", "fc")
    plain = look(params, IMAGES)
    many = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), params)

    compiled = jax.jit(look)(params, IMAGES)
    batched = jax.vmap(look, (0, None))(many, IMAGES)
    ours = jax.grad(lambda params: look(params, IMAGES)[1]["fc"].sum())(params)
    first = nn.serial(**{name: net.children[name] for name in list(net.children)[:5]})
    kept = {name: params[name] for name in ("conv", "fc")}
    theirs = jax.grad(lambda params: first.apply(params, IMAGES).sum())(kept)

    near = {"rtol": 1e-5, "atol": 1e-5}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **near), compiled, plain)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[0], b, **near), batched, plain
    )
    assert not ours.pop("out")["weight"].any()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **near), ours, theirs)


def test_what_is_added_goes_on(small):
    """An addition to an output is an addition to all that follows."""
    net, params = small
    look = nn.taps(net, "fc")
    y, outputs = look(params, IMAGES)
    step = jnp.arange(5.0)

    moved, seen = look(params, IMAGES, add={"fc": jnp.tile(step, (2, 1))})

    np.testing.assert_allclose(seen["fc"], np.add(outputs["fc"], step), rtol=1e-6)
    expected = np.add(y, step @ params["out"]["weight"])
    np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-5)


def test_a_shared_layer_has_an_output_for_each_call():
    """The second call is called "fc#1", inside too, and each is moved by itself."""

    def forward(net, x):
        return net.fc(jnp.tanh(net.fc(x)))

    net = nn.compose(forward, fc=nn.serial(inner=nn.linear(3)))
    x = jnp.ones((2, 3))
    params = net.init(jax.random.key(0), x)
    weights = jax.tree.map(np.asarray, params["fc"]["inner"])
    first = np.ones((2, 3)) @ weights["weight"] + weights["bias"]
    second = np.tanh(first) @ weights["weight"] + weights["bias"]
    look = nn.taps(net, "**")

    y, outputs = look(params, x)
    moved, _ = look(params, x, add={"fc#1/inner": jnp.ones((2, 3))})

    assert set(outputs) == {"fc", "fc/inner", "fc#1", "fc#1/inner"}
    for path, expected in (("fc", first), ("fc/inner", first), ("fc#1", second)):
        np.testing.assert_allclose(outputs[path], expected, rtol=1e-5)
    np.testing.assert_allclose(moved, y + 1, rtol=1e-5)


@pytest.mark.parametrize("remat", [False, True])
def test_copies_are_stacked(remat):
    """Outputs inside of `repeat` are those of each copy, in order, and are moved so."""
    block = nn.serial(fc=nn.linear(3), act=jnp.tanh)
    net = nn.serial(blocks=nn.repeat(3, block, remat=remat))
    x = jnp.ones((2, 3))
    params = net.init(jax.random.key(0), x)
    look = nn.taps(net, "**/fc")
    add = jnp.zeros((3, 2, 3)).at[1].set(0.5)

    _, outputs = look(params, x)
    _, moved = look(params, x, add={"blocks/fc": add})

    y = shifted = np.ones((2, 3))
    for i in range(3):
        copy = jax.tree.map(lambda a, i=i: np.asarray(a[i]), params["blocks"]["fc"])
        here = y @ copy["weight"] + copy["bias"]
        np.testing.assert_allclose(outputs["blocks/fc"][i], here, rtol=1e-5)
        there = shifted @ copy["weight"] + copy["bias"] + add[i]
        np.testing.assert_allclose(moved["blocks/fc"][i], there, rtol=1e-5)
        y, shifted = np.tanh(here), np.tanh(there)


def test_every_wrapper_lets_outputs_through():
    """An ensemble's have an axis of copies; remat and dtypes change nothing else."""
    inner = nn.serial(fc=nn.linear(4), act=jnp.tanh)
    net = nn.serial(
        many=nn.ensemble(2, inner),
        again=nn.remat(inner),
        small=nn.mixed_precision(inner),
    )
    x = jnp.ones((5, 3))
    params = net.init(jax.random.key(0), x)

    y, outputs = nn.taps(net, "*/fc")(params, x)

    assert outputs["many/fc"].shape == (2, 5, 4)
    np.testing.assert_allclose(jnp.tanh(outputs["again/fc"]).shape, (2, 5, 4))
    assert outputs["small/fc"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(jnp.tanh(outputs["small/fc"]), y.astype("bfloat16"))


def test_state_changes_as_without():
    """The state in training is the net's own, and nothing is added to it."""
    net = nn.serial(a=nn.serial(fc=nn.linear(3), norm=nn.batch_norm()), b=nn.linear(2))
    x = jax.random.normal(jax.random.key(1), (8, 3))
    params, state = net.init_with_state(jax.random.key(0), x)
    layer = nn.tapped(net, ["a/fc", "a"])

    (y, outputs), new = layer.apply_with_state(params, state, x, train=True)
    expected, without = net.apply_with_state(params, state, x, train=True)

    jax.tree.map(np.testing.assert_array_equal, (y, new), (expected, without))
    assert list(outputs) == ["a/fc", "a"]
    np.testing.assert_allclose(outputs["a"].mean(0), np.zeros(3), atol=1e-6)


def test_taps_inside_of_taps():
    """A tapped layer inside of a net keeps its second output, and is tapped itself."""
    inner = nn.tapped(nn.serial(fc=nn.linear(3), act=jnp.tanh), "fc")
    net = nn.compose(lambda net, x: net.inner(x)[0], inner=inner)
    x = jnp.ones((2, 3))
    params = net.init(jax.random.key(0), x)

    y, outputs = nn.taps(net, "inner/*", "inner")(params, x)

    assert set(outputs) == {"inner", "inner/fc", "inner/act"}
    np.testing.assert_array_equal(outputs["inner"][0], y)
    np.testing.assert_array_equal(outputs["inner"][1]["fc"], outputs["inner/fc"])


def test_randomness_is_that_of_the_net():
    """With one key, dropout drops the same values."""
    net = nn.serial(fc=nn.linear(50), drop=nn.dropout(0.5))
    x = jnp.ones((2, 3))
    params = net.init(jax.random.key(0), x)
    y = net.apply(params, x, key=jax.random.key(3), train=True)
    look = nn.taps(net, "drop")

    seen, outputs = look(params, x, key=jax.random.key(3), train=True)

    np.testing.assert_array_equal(seen, y)
    np.testing.assert_array_equal(outputs["drop"], y)


def test_errors_say_what_to_do(small):
    """Patterns, additions and places that cannot be."""
    net, params = small
    look = nn.taps(net, "fc")

    with pytest.raises(nn.LayerError, match=r"no layers match 'conv9'; .*conv, act"):
        nn.taps(net, "conv9")
    with pytest.raises(nn.LayerError, match="name a layer to tap"):
        nn.taps(net)
    with pytest.raises(nn.LayerError, match=r"add has 'pool', and .* is fc"):
        look(params, IMAGES, add={"pool": jnp.zeros(())})
    with pytest.raises(nn.LayerError, match=r"'fc' must be like it"):
        look(params, IMAGES, add={"fc": jnp.zeros(5)})


def test_a_layer_inside_of_a_transform_is_refused():
    """Its output could not leave the transform, so it is an error, not a leak."""
    net = nn.compose(lambda net, x: jax.vmap(net.fc)(x), fc=nn.linear(3))
    x = jnp.ones((2, 3))
    params = net.init(jax.random.key(0), x)

    with pytest.raises(nn.LayerError, match=r"'fc' is tapped .* output would be lost"):
        nn.taps(net, "fc")(params, x)
