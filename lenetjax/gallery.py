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
    run: TrainedRun,
    history: Sequence[Mapping[str, float]],
    data: Dataset,
    classes: Sequence[str] = (),
) -> Pictures:
    """Draws a run's pictures one by one, each with a name for its file.

    Of a net for text those that show no images.

    Args:
      run: what `lenetjax.runs.open_run` returned.
      history: a dict for each epoch; without any there is no learning curve.
      data: the data that the net was trained on.
      classes: their names, where they are no numbers.
    """
    if history:
        example = "image" if run.vocabulary is None else "character"
        yield "learning_curve", figures.learning_curve(history, example)
    if run.vocabulary is None:
        yield from _of_images(run, data, classes)
    else:
        yield from _distributions(run, _outputs(run, data.test.images[:BATCH]), data)
    yield "landscape", _landscape(run, data.train.images, data.train.labels)


def _of_images(run: TrainedRun, data: Dataset, classes: Sequence[str]) -> Pictures:
    test = data.test
    logits = predict(run.net, run.params, test.images, state=run.state)
    yield (
        "confusion_matrix",
        figures.confusion_matrix(test.labels, logits.argmax(-1), logits.shape[-1]),
    )
    yield "mistakes", figures.mistakes(test.images, test.labels, logits)
    outputs = _outputs(run, test.images[:BATCH])
    label = test.labels[0]
    name = f"'{classes[label]}'" if classes else f"a {label}"
    yield from _of_convolutions(run, outputs, name)
    yield from _distributions(run, outputs, data)
    last = _last_maps(run, outputs)
    yield from _explanations(run, last, test.images, test.labels, logits.argmax(-1))


def _outputs(run: TrainedRun, images: Any) -> dict[str, Any]:
    """The outputs of the layers that have none inside, by path, in their order."""
    leaves = [path for path, layer in run.net.walk() if path and not layer.children]
    look = jax.jit(taps(run.net, *leaves))
    _, seen = look(run.params, images, state=run.state)
    return {path: seen[path] for path in leaves}  # jit sorts them by name


def _of_convolutions(
    run: TrainedRun, outputs: Mapping[str, Any], name: str
) -> Pictures:
    """The first convolution's filters, and what each convolution makes of one image."""
    paths = _convolutions(run)
    if not paths:
        return
    weight = flat(run.params)[f"{paths[0].replace('/', '.')}.weight"]
    few = weight[..., : MOST_TILES // weight.shape[-2]]
    yield "filters", figures.filters(few, title=f"Filters of {paths[0]}")
    for path in paths:
        maps = outputs[path][0, ..., :MOST_TILES]
        picture = figures.feature_maps(maps, f"{path}: feature maps of {name}")
        yield f"feature_maps_{path.replace('/', '.')}", picture


def _distributions(
    run: TrainedRun, outputs: Mapping[str, Any], data: Dataset
) -> Pictures:
    """Activations on test images; weights; gradients as in a step of training."""
    shown = min(BATCH, len(data.test.labels))
    examples = "images" if run.vocabulary is None else "sequences"
    title = f"Activations by layer, of {shown} test {examples}"
    few = dict(list(outputs.items())[:MOST_ROWS])
    yield "activations", figures.activations(few, title=title)
    params = _in_order(run, run.params)
    yield "weights", figures.weights(params, title="Weights by array, after training")
    images, labels = data.train.images[:BATCH], jnp.asarray(data.train.labels[:BATCH])

    def loss(params: Params) -> jax.Array:
        logits, _ = run.net.apply_with_state(
            params, run.state, images, key=jax.random.key(0), train=True
        )
        return cross_entropy(logits, labels)

    title = f"Gradients by array, after training, on {len(labels)} training {examples}"
    grads = _in_order(run, jax.jit(jax.grad(loss))(run.params))
    yield "gradients", figures.gradients(grads, title=title)


def _explanations(
    run: TrainedRun, last: str | None, images: Any, labels: Any, predictions: Any
) -> Pictures:
    """What decided about one image of each class."""
    firsts = np.unique(labels, return_index=True)[1][:10]
    images, labels, predictions = images[firsts], labels[firsts], predictions[firsts]
    known = (labels, predictions)
    maps = saliency_maps(run.net, run.params, images, state=run.state)
    title = "Saliency: how much each pixel moves the score of the predicted class"
    yield "saliency", figures.saliency(images, maps, *known, columns=5, title=title)
    if last:
        maps = class_activation_maps(run.net, run.params, images, last, state=run.state)
        title = f"Where {last} finds evidence for the predicted class"
        yield (
            "class_activation",
            figures.class_activation(images, maps, *known, columns=5, title=title),
        )


def _last_maps(run: TrainedRun, outputs: Mapping[str, Any]) -> str | None:
    """The last layer whose output is as large as the last convolution's, if any is.

    That is the activation behind it, in a ResNet the one behind the addition.
    """
    if not (paths := _convolutions(run)):
        return None
    size = outputs[paths[-1]].shape[:3]
    return [path for path, y in outputs.items() if y.shape[:3] == size][-1]


def _landscape(run: TrainedRun, images: Any, labels: Any) -> "Figure":
    n, points = MANY
    flops = summary(run.net, images[:1]).total("flops")
    if n * points**2 * flops > LANDSCAPE_FLOPS:
        n, points = FEW
    some, their_labels = jnp.asarray(images[:n]), jnp.asarray(labels[:n])

    def loss(params: Params) -> jax.Array:
        return cross_entropy(run.net.apply(params, some, state=run.state), their_labels)

    found = loss_landscape(loss, run.params, jax.random.key(0), points=points)
    examples = "images" if run.vocabulary is None else "sequences"
    return figures.landscape(
        *found,
        title=f"Loss on {len(some)} training {examples}, around the trained params",
    )


def _convolutions(run: TrainedRun) -> list[str]:
    """The paths of the convolutions, in their order."""
    return [path for path, layer in run.net.walk() if layer.kind == "conv2d"]


def _in_order(run: TrainedRun, tree: Params) -> Params:
    """The same nested dicts in the order of the layers; jax sorts them by name."""
    plan = run.net.plan(run.example)

    def ordered(tree: Params, like: Params) -> Params:
        return {
            name: ordered(tree[name], entry) if isinstance(entry, dict) else tree[name]
            for name, entry in like.items()
        }

    return ordered(tree, plan.params)
