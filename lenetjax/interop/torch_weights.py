"""Weights of a net in PyTorch as params and state, and back."""

from collections.abc import Mapping
from typing import Any

from lenetjax.checks import check_tree, refuse_misfits
from lenetjax.core import Layer, Params, PyTree, State
from lenetjax.interop.torch_arrays import Array, as_numpy, read_arrays
from lenetjax.interop.torch_match import Match
from lenetjax.trees import flat


def from_torch(
    net: Layer, state_dict: Any, x: PyTree, *, names: Mapping[str, str] | None = None
) -> tuple[Params, State]:
    """Makes a net's params and state of the weights of the same net in PyTorch.

    Weights are turned into our layout, channels last. A layer after a flattened image
    has its features in another order in PyTorch, (channel, height, width); it is found
    from the net itself, which is run on numbered pixels. Where that gives no answer,
    as after functions that mix channels and positions, it is an error.

    The weights do not tell all: activations, `eps`, strides, the order of a
    transformer's norms, or that a function turns blocks of pixels into channels before
    a convolution. `parity` compares what the two nets compute.

    Args:
      net: the net.
      state_dict: a module of PyTorch's; its state dict, with tensors or arrays; or the
        path of a safetensors file. Pickles are refused, as they can run any code.
      x: an example input in our layout, or its `jax.ShapeDtypeStruct`; of one example,
        as a large batch takes long. Four axes and more are an image, which has its
        channels first in PyTorch; two and three axes are the same there.
      names: what PyTorch calls a layer, where it is not our path with dots for slashes:
        ``{"block/conv1": "layer1.0.conv1"}``. It holds for what is inside as well;
        "" is the whole net. The copies of `repeat` are called "name.0", "name.1", ...

    Returns:
      ``(params, state)``, as `init_with_state` returns them, in the dtypes that it
      gives them; state is `{}` where the net has none.

    Raises:
      LayerError: something is missing, left over or has another shape (all of it is
        listed); PyTorch has no such layer; or the order of features cannot be found.
      OSError: the file cannot be read.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn, numpy as np
      >>> net = nn.serial(conv=nn.conv2d(6, 3), flatten=nn.flatten(), fc=nn.linear(10))
      >>> theirs = {
      ...     "conv.weight": np.ones((6, 1, 3, 3)), "conv.bias": np.ones(6),
      ...     "fc.weight": np.ones((10, 96)), "fc.bias": np.ones(10)}
      >>> params, state = nn.interop.from_torch(net, theirs, jnp.zeros((1, 6, 6, 1)))
      >>> params["conv"]["weight"].shape, params["fc"]["weight"].shape
      ((3, 3, 1, 6), (96, 10))

    Follows `torch.nn.Module.load_state_dict`.
    """
    theirs = read_arrays(state_dict)
    match = Match(net, x, names)
    match.refuse_differences(theirs)
    ours = match.from_torch(theirs)
    return match.tree(ours, match.plan.params), match.tree(ours, match.plan.state)


def to_torch(
    net: Layer,
    params: Params,
    state: State,
    x: PyTree,
    *,
    names: Mapping[str, str] | None = None,
) -> dict[str, Array]:
    """Makes the state dict of the same net in PyTorch; it undoes `from_torch`.

    Load it with ``module.load_state_dict({name: torch.tensor(array) for name, array in
    arrays.items()})``, or write it with `safetensors.numpy.save_file`.

    Args:
      net: the net.
      params, state: as `init_with_state` returns them; state is `{}` where the net has
        none.
      x, names: as for `from_torch`.

    Returns:
      A NumPy array for each name, in PyTorch's layout and our dtype, but float32 for
      bfloat16, which holds the same numbers. `num_batches_tracked` of a batch norm,
      which no result depends on, is 0.

    Raises:
      LayerError: params or state do not fit the net, PyTorch has no such layer, or the
        order of features cannot be found.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> net, x = nn.serial(fc=nn.linear(3), norm=nn.batch_norm()), jnp.zeros((2, 4))
      >>> params, state = net.init_with_state(jax.random.key(0), x)
      >>> theirs = nn.interop.to_torch(net, params, state, x)
      >>> theirs["fc.weight"].shape
      (3, 4)
      >>> [name for name in theirs if name.startswith("norm.")]  # doctest: +ELLIPSIS
      ['norm.weight', 'norm.bias', 'norm.running_mean', ..., 'norm.num_batches_tracked']
    """
    match = Match(net, x, names)
    check_tree("params", params)
    check_tree("state", state)
    refuse_misfits("params", params, match.plan.params, match.plan)
    refuse_misfits("state", state, match.plan.state, match.plan)
    return match.to_torch({
        name.replace(".", "/"): as_numpy(name, array)
        for name, array in {**flat(params), **flat(state)}.items()
    })  # fmt: skip
