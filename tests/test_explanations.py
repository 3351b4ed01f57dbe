"""Saliency and class-activation maps, against PyTorch, by hand, and bad questions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import agree, draw, filters, first, torch

import lenetjax as nn
from lenetjax.inspection import class_activation_maps, saliency_maps

NET = nn.serial(
    conv1=nn.conv2d(3, 3), relu1=jax.nn.relu, pool1=nn.max_pool2d(2),
    conv2=nn.conv2d(4, 3), relu2=jax.nn.relu, flatten=nn.flatten(), fc=nn.linear(5),
)  # fmt: skip
IMAGES = draw(0, 3, 12, 10, 2)
WEIGHTS = draw(1, 3, 3, 2, 3), draw(2, 3, 3, 3, 4), draw(3, 3 * 2 * 4, 5)
LABELS = np.array([4, 0, 2])


def params_of(conv1, conv2, fc):
    return {
        name: {"weight": weight, "bias": jnp.zeros(weight.shape[-1], weight.dtype)}
        for name, weight in (("conv1", conv1), ("conv2", conv2), ("fc", fc))
    }


def their_net(images, conv1, conv2, fc):
    """The same net in PyTorch: its logits, and what is behind its second ReLU."""
    functional = torch.nn.functional
    x = torch.relu(functional.conv2d(first(images), filters(conv1)))
    x = functional.max_pool2d(x, 2)
    inner = torch.relu(functional.conv2d(x, filters(conv2)))
    return inner.movedim(1, -1).flatten(1) @ fc, inner


def chosen(logits, labels):
    labels = logits.argmax(-1) if labels is None else torch.tensor(labels)
    return logits[torch.arange(len(labels)), labels].sum()


@pytest.mark.parametrize("labels", [None, LABELS], ids=["predicted", "given"])
def test_saliency_is_the_gradient_that_torch_finds(labels):
    """The largest magnitude of the channels, of the predicted class or a given one."""

    def ours(images, *weights):
        return saliency_maps(NET, params_of(*weights), images, classes=labels)

    def theirs(images, *weights):
        images.requires_grad_()
        score = chosen(their_net(images, *weights)[0], labels)
        return torch.autograd.grad(score, images)[0].abs().amax(-1)

    agree(ours, theirs, IMAGES, *WEIGHTS, gradients=False)


@pytest.mark.parametrize("labels", [None, LABELS], ids=["predicted", "given"])
def test_class_activation_is_what_torch_finds(labels):
    """Channels weighted with their mean gradients, without negative sums, enlarged."""

    def ours(images, *weights):
        params = params_of(*weights)
        return class_activation_maps(NET, params, images, "relu2", classes=labels)

    def theirs(images, *weights):
        images.requires_grad_()
        logits, inner = their_net(images, *weights)
        (gradient,) = torch.autograd.grad(chosen(logits, labels), inner)
        heat = torch.relu((gradient.mean((2, 3), keepdim=True) * inner).sum(1))
        return torch.nn.functional.interpolate(
            heat[:, None], size=images.shape[1:3], mode="bilinear"
        )[:, 0]

    agree(ours, theirs, IMAGES, *WEIGHTS, gradients=False)


def test_maps_use_the_running_statistics_and_one_image_at_a_time(key):
    """A net with state is evaluated, and an image's map hangs on no other image."""
    net = nn.serial(
        conv=nn.conv2d(3, 3), bn=nn.batch_norm(), relu=jax.nn.relu,
        drop=nn.dropout(0.5), pool=nn.global_avg_pool(), fc=nn.linear(4),
    )  # fmt: skip
    images = jnp.asarray(IMAGES, jnp.float32)
    params, state = net.init_with_state(key, images)
    state = jax.tree.map(lambda a: a + 0.5, state)

    def logit(images):
        return net.apply(params, images, state=state)[:, 1].sum()

    by_hand = jnp.abs(jax.grad(logit)(images)).max(-1)
    classes = np.ones(3, int)
    maps = saliency_maps(net, params, images, classes=classes, state=state)
    np.testing.assert_allclose(maps, by_hand, rtol=1e-4, atol=1e-6)
    one = saliency_maps(net, params, images[1:2], classes=classes[:1], state=state)
    np.testing.assert_allclose(maps[1:2], one, rtol=1e-4, atol=1e-6)

    # Behind the ReLU each logit is the mean of the channels times fc's weights.
    maps = class_activation_maps(
        net, params, images, "relu", classes=classes, state=state
    )
    _, seen = nn.taps(net, "relu")(params, images, state=state)
    weights = params["fc"]["weight"][:, 1] / (10 * 8)
    heat = np.maximum(np.asarray(seen["relu"]) @ np.asarray(weights), 0)
    np.testing.assert_allclose(
        maps, jax.image.resize(heat, (3, 12, 10), "linear"), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("explain", [saliency_maps, class_activation_maps])
def test_bad_questions_are_refused(explain, key):
    """Shapes, dtypes and classes, by name."""
    images = jnp.asarray(IMAGES, jnp.float32)
    params = NET.init(key, images)
    layer = ("relu2",) if explain is class_activation_maps else ()

    def ask(images=images, net=NET, params=params, **options):
        return explain(net, params, images, *layer, **options)

    for wrong, message in (
        ({"images": images[0]}, "give a single example a batch axis"),
        ({"images": images.astype(int)}, "floating-point"),
        ({"images": images[:0]}, "at least one image"),
        ({"images": images[:, :4]}, "larger than the image"),
        ({"classes": np.array([0, 1, 5])}, "from 0 to 4"),
        ({"classes": np.array([0, 1])}, "labels must be ints"),
        ({"classes": np.ones(3)}, "labels must be ints"),
        ({"params": {}}, "params do not fit"),
        ({"net": nn.serial(relu2=jax.nn.relu), "params": {}}, "makes logits"),
    ):
        with pytest.raises(nn.LayerError, match=message):
            ask(**wrong)


@pytest.mark.compiled
@pytest.mark.parametrize("explain", [saliency_maps, class_activation_maps])
def test_a_class_that_nothing_could_refuse_makes_nan(explain, key):
    """Under jit the values of the classes are not known."""
    images = jnp.asarray(IMAGES, jnp.float32)
    params = NET.init(key, images)
    layer = ("relu2",) if explain is class_activation_maps else ()

    @jax.jit
    def explained(classes):
        return explain(NET, params, images, *layer, classes=classes)

    maps = explained(jnp.array([0, 5, -1]))
    assert jnp.isfinite(maps[0]).all()
    assert jnp.isnan(maps[1:]).all()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("conv3", "no layers match"),
        ("conv*", "must be one layer"),
        ("fc", "makes float"),
    ],
)
def test_class_activation_wants_one_layer_of_maps(layer, message, key):
    images = jnp.asarray(IMAGES, jnp.float32)
    params = NET.init(key, images)
    with pytest.raises(nn.LayerError, match=message):
        class_activation_maps(NET, params, images, layer)
