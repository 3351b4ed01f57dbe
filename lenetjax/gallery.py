"""All pictures of a trained run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.core import Params
from lenetjax.data import Dataset
from lenetjax.inspection import (
    class_activation_maps,
    figures,
    loss_landscape,
    saliency_maps,
    summary,
)
from lenetjax.losses import cross_entropy
from lenetjax.runs import TrainedRun
from lenetjax.training import predict
from lenetjax.trees import flat
from lenetjax.wrappers import taps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pictures = Iterator[tuple[str, "Figure"]]

MOST_TILES, MOST_ROWS = 256, 100  # of a picture
BATCH = 64  # images to look at activations and gradients with
# How many images and points a side a landscape has, and the FLOPs that are for many.
MANY, FEW = (256, 21), (32, 11)
LANDSCAPE_FLOPS = 1e11


def pictures(
    run: TrainedRun, history: Sequence[Mapping[str, float]], data: Dataset
) -> Pictures:
    """Draws a run's pictures one by one, each with a name for its file.

    Args:
      run: what `lenetjax.runs.open_run` returned.
      history: a dict for each epoch; without any there is no learning curve.
      data: the data that the net was trained on.
    """
    test = data.test
    logits = predict(run.net, run.params, test.images, state=run.state)
    if history:
        yield "learning_curve", figures.learning_curve(history)
    yield (
        "confusion_matrix",
        figures.confusion_matrix(test.labels, logits.argmax(-1), logits.shape[-1]),
    )
    yield "mistakes", figures.mistakes(test.images, test.labels, logits)
    yield from _of_convolutions(run, test.images, test.labels)
    yield from _distributions(run, data)
    yield from _explanations(run, test.images, test.labels, logits.argmax(-1))
    yield "landscape", _landscape(run, data.train.images, data.train.labels)


def _of_convolutions(run: TrainedRun, images: Any, labels: Any) -> Pictures:
    """The filters of the first convolution, and what each makes of one image."""
    paths = _convolutions(run)
    if not paths:
        return
    weight = flat(run.params)[f"{paths[0].replace('/', '.')}.weight"]
    few = weight[..., : MOST_TILES // weight.shape[-2]]
    yield "filters", figures.filters(few, title=f"Filters of {paths[0]}")
    _, seen = taps(run.net, *paths)(run.params, images[:1], state=run.state)
    for path, output in seen.items():
        title = f"{path}: feature maps of a {labels[0]}"
        yield (
            f"feature_maps_{path.replace('/', '.')}",
            figures.feature_maps(output[0, ..., :MOST_TILES], title),
        )


def _distributions(run: TrainedRun, data: Dataset) -> Pictures:
    """Activations on test images; weights; gradients as in a step of training."""
    leaves = _leaves(run)
    _, seen = jax.jit(taps(run.net, *leaves[:MOST_ROWS]))(
        run.params, data.test.images[:BATCH], state=run.state
    )
    shown = min(BATCH, len(data.test.labels))
    yield (
        "activations",
        figures.activations(
            {path: seen[path] for path in leaves if path in seen},
            title=f"Activations by layer, of {shown} test images",
        ),
    )
    params = _in_order(run, run.params)
    yield "weights", figures.weights(params, title="Weights by array, after training")
    images, labels = data.train.images[:BATCH], jnp.asarray(data.train.labels[:BATCH])

    def loss(params: Params) -> jax.Array:
        logits, _ = run.net.apply_with_state(
            params, run.state, images, key=jax.random.key(0), train=True
        )
        return cross_entropy(logits, labels)

    title = f"Gradients by array, after training, on {len(labels)} training images"
    grads = _in_order(run, jax.jit(jax.grad(loss))(run.params))
    yield "gradients", figures.gradients(grads, title=title)


def _explanations(
    run: TrainedRun, images: Any, labels: Any, predictions: Any
) -> Pictures:
    """What decided about one image of each class."""
    firsts = np.unique(labels, return_index=True)[1][:10]
    images, labels, predictions = images[firsts], labels[firsts], predictions[firsts]
    known = (labels, predictions)
    maps = saliency_maps(run.net, run.params, images, state=run.state)
    title = "Saliency: how much each pixel moves the score of the predicted class"
    yield "saliency", figures.saliency(images, maps, *known, columns=5, title=title)
    if _convolutions(run):
        last = _last_maps(run, images)
        maps = class_activation_maps(run.net, run.params, images, last, state=run.state)
        title = f"Where {last} finds evidence for the predicted class"
        yield (
            "class_activation",
            figures.class_activation(images, maps, *known, columns=5, title=title),
        )


def _last_maps(run: TrainedRun, images: Any) -> str:
    """The last layer whose output is as large as the last convolution's.

    That is the activation behind it, in a ResNet the one behind the addition.
    """

    def outputs(params: Params, images: Any) -> Any:
        return taps(run.net, *_leaves(run))(params, images, state=run.state)[1]

    seen = jax.eval_shape(outputs, run.params, images[:1])
    size = seen[_convolutions(run)[-1]].shape[:3]
    return [p for p in _leaves(run) if p in seen and seen[p].shape[:3] == size][-1]


def _landscape(run: TrainedRun, images: Any, labels: Any) -> "Figure":
    n, points = MANY
    flops = summary(run.net, images[:1]).total("flops")
    if n * points**2 * flops > LANDSCAPE_FLOPS:
        n, points = FEW
    some, their_labels = jnp.asarray(images[:n]), jnp.asarray(labels[:n])

    def loss(params: Params) -> jax.Array:
        return cross_entropy(run.net.apply(params, some, state=run.state), their_labels)

    found = loss_landscape(loss, run.params, jax.random.key(0), points=points)
    return figures.landscape(
        *found, title=f"Loss on {len(some)} training images, around the trained params"
    )


def _convolutions(run: TrainedRun) -> list[str]:
    """The paths of the convolutions, in their order."""
    return [path for path, layer in run.net.walk() if layer.kind == "conv2d"]


def _leaves(run: TrainedRun) -> list[str]:
    """The paths of the layers that have none inside, in their order."""
    return [path for path, layer in run.net.walk() if path and not layer.children]


def _in_order(run: TrainedRun, tree: Params) -> Params:
    """The same nested dicts in the order of the layers; jax sorts them by name."""
    shape = tuple(run.config["image_shape"])
    plan = run.net.plan(jax.ShapeDtypeStruct((1, *shape), jnp.float32))

    def ordered(tree: Params, like: Params) -> Params:
        return {
            name: ordered(tree[name], entry) if isinstance(entry, dict) else tree[name]
            for name, entry in like.items()
        }

    return ordered(tree, plan.params)
