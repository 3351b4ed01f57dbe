"""Nets of PyTorch with our functions: outputs, training, and the way back."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lenetjax as nn
from lenetjax.interop import from_torch, parity, to_torch

torch = pytest.importorskip("torch", reason="needs lenetjax[torch]")
torch.set_num_threads(1)
F, T = torch.nn.functional, torch.nn


class Net(T.Module):
    """The net of PyTorch's "Neural Networks" tutorial, as it stands there."""

    def __init__(self):
        super().__init__()
        self.conv1 = T.Conv2d(1, 6, 3)
        self.conv2 = T.Conv2d(6, 16, 3)
        self.fc1 = T.Linear(16 * 6 * 6, 120)
        self.fc2 = T.Linear(120, 84)
        self.fc3 = T.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, self.num_flat_features(x))
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)

    def num_flat_features(self, x):
        num_features = 1
        for s in x.size()[1:]:
            num_features *= s
        return num_features


def forward(net, x):
    """The same as a function, with a reshape in place of a layer."""
    x = nn.functional.max_pool2d(jax.nn.relu(net.conv1(x)), 2)
    x = nn.functional.max_pool2d(jax.nn.relu(net.conv2(x)), 2)
    x = x.reshape(x.shape[0], -1)
    return net.fc3(jax.nn.relu(net.fc2(jax.nn.relu(net.fc1(x)))))


def composed():
    return nn.compose(
        forward, conv1=nn.conv2d(6, 3), conv2=nn.conv2d(16, 3),
        fc1=nn.linear(120), fc2=nn.linear(84), fc3=nn.linear(10),
    )  # fmt: skip


class LeNet5(T.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = T.Conv2d(1, 6, 5), T.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = (
            T.Linear(400, 120), T.Linear(120, 84), T.Linear(84, 10)
        )  # fmt: skip

    def forward(self, x):
        x = F.avg_pool2d(torch.tanh(self.conv1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), 2).flatten(1)
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))


def their_vgg():
    """As `torchvision.models.vgg` names it, with batch norm and dropout."""

    def block(channels, out):
        return [
            T.Conv2d(channels, out, 3, padding=1), T.BatchNorm2d(out), T.ReLU(),
            T.MaxPool2d(2),
        ]  # fmt: skip

    net = T.Module()
    net.features = T.Sequential(*block(3, 8), *block(8, 12))
    net.avgpool = T.AdaptiveAvgPool2d((3, 2))
    net.classifier = T.Sequential(
        T.Linear(72, 20), T.ReLU(), T.Dropout(0.0), T.BatchNorm1d(20), T.Linear(20, 5)
    )
    net.forward = lambda x: net.classifier(
        torch.flatten(net.avgpool(net.features(x)), 1)
    )
    return net


def our_vgg():
    def block(out):
        return [
            nn.conv2d(out, 3, padding=1), nn.batch_norm(), jax.nn.relu,
            nn.max_pool2d(2),
        ]  # fmt: skip

    return nn.serial(
        features=nn.serial(*block(8), *block(12)),
        avgpool=nn.adaptive_avg_pool2d((3, 2)),
        flatten=nn.flatten(),
        classifier=nn.serial(
            nn.linear(20), jax.nn.relu, nn.dropout(0.0), nn.batch_norm(), nn.linear(5)
        ),
    )


def their_stages(*stages):
    """The stages of `nn.models.vgg`, in its names."""
    net, channels = T.Sequential(), 3
    for i, stage in enumerate(stages, start=1):
        layers = T.Sequential()
        for j, out in enumerate(stage, start=1):
            layers.add_module(f"conv{j}", T.Conv2d(channels, out, 3, padding=1))
            layers.add_module(f"bn{j}", T.BatchNorm2d(out))
            layers.add_module(f"relu{j}", T.ReLU())
            channels = out
        layers.add_module("pool", T.MaxPool2d(2))
        net.add_module(f"stage{i}", layers)
    return net


def their_small_vgg():
    net = their_stages((6,), (8, 10))
    net.add_module("flatten", T.Flatten())
    net.add_module("fc", T.Linear(10 * 3 * 2, 5))
    return net


class Positions(T.Embedding):
    def forward(self, x):
        return x + self.weight


class VisionTransformer(T.Module):
    """Of 2 blocks on images of 12x8 in patches of 4x4; the mean is over the patches."""

    def __init__(self):
        super().__init__()
        self.patches = T.Linear(3 * 4 * 4, 8)
        self.positions = Positions(6, 8)
        self.blocks = T.Sequential(
            *(
                T.TransformerEncoderLayer(
                    8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True
                )
                for _ in range(2)
            )
        )
        self.norm, self.fc = T.LayerNorm(8), T.Linear(8, 5)

    def forward(self, x):
        x = F.unfold(x, 4, stride=4).transpose(1, 2)
        x = self.blocks(self.positions(self.patches(x)))
        return self.fc(self.norm(x).mean(1))


class Block(T.Module):
    """A block of ResNet: option A of the paper, or a projection as in torchvision."""

    def __init__(self, channels, out, stride, projection):
        super().__init__()
        self.conv1 = T.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn1 = T.BatchNorm2d(out)
        self.conv2 = T.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = T.BatchNorm2d(out)
        self.halves = stride == 2
        self.downsample = None
        if self.halves and projection:
            self.downsample = T.Sequential(
                T.Conv2d(channels, out, 1, 2, bias=False), T.BatchNorm2d(out)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.downsample is not None:
            x = self.downsample(x)
        elif self.halves:
            zeros = x.shape[1] // 2
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, zeros, zeros))
        return F.relu(y + x)


class ResNet(T.Module):
    def __init__(self, widths, blocks, classes, imagenet):
        super().__init__()
        self.conv1 = T.Conv2d(3, widths[0], 3, padding=1, bias=False)
        if imagenet:
            self.conv1 = T.Conv2d(3, widths[0], 7, 2, padding=3, bias=False)
        self.maxpool = T.MaxPool2d(3, 2, padding=1) if imagenet else T.Identity()
        self.bn1 = T.BatchNorm2d(widths[0])
        self.stages = len(widths)
        channels = widths[0]
        for i, out in enumerate(widths):
            layers = []
            for j in range(blocks):
                stride = 2 if i and not j else 1
                layers.append(Block(channels, out, stride, imagenet))
                channels = out
            setattr(self, f"layer{i + 1}", T.Sequential(*layers))
        self.fc = T.Linear(channels, classes)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(x.mean((2, 3)))


def block_names(stages, blocks):
    """Our paths of blocks, and torchvision's."""
    return {"conv": "conv1", "bn": "bn1"} | {
        f"stage{i}/block{j}/add/body": f"layer{i}.{j - 1}"
        for i in range(1, stages + 1)
        for j in range(1, blocks + 1)
    }


RESNET18_NAMES = block_names(4, 2)
for i in (2, 3, 4):
    shortcut = f"stage{i}/block1/add/shortcut"
    RESNET18_NAMES[f"{shortcut}/conv"] = f"layer{i}.0.downsample.0"
    RESNET18_NAMES[f"{shortcut}/bn"] = f"layer{i}.0.downsample.1"
NETS = {  # ours, theirs, the shape of an image of theirs, names
    "the tutorial's": (nn.models.lenet, Net, (1, 32, 32), {}),
    "composed": (composed, Net, (1, 32, 32), {}),
    "lenet5": (
        functools.partial(nn.models.lenet5, activation="tanh", pooling="avg"),
        LeNet5, (1, 32, 32), {},
    ),
    "vgg": (our_vgg, their_vgg, (3, 12, 8), {}),
    "nn.models.vgg": (
        functools.partial(nn.models.vgg, 5, stages=((6,), (8, 10))),
        their_small_vgg, (3, 12, 8), {},
    ),
    "resnet20": (
        nn.models.resnet20,
        functools.partial(ResNet, (16, 32, 64), 3, 10, imagenet=False),
        (3, 8, 8), block_names(3, 3),
    ),
    "resnet18": (
        functools.partial(nn.models.resnet18, 5, width=4),
        functools.partial(ResNet, (4, 8, 16, 32), 2, 5, imagenet=True),
        (3, 33, 33), RESNET18_NAMES,
    ),
    "vit": (
        functools.partial(
            nn.models.vit, 5, features=8, depth=2, heads=2, dropout=0.0
        ),
        VisionTransformer, (3, 12, 8), {},
    ),
}  # fmt: skip
nets = pytest.mark.parametrize("name", NETS)
# What parity says of these is enough: no state but that of a net above.
others = pytest.mark.parametrize(
    "name", [name for name in NETS if name not in ("nn.models.vgg", "vit")]
)


class Pair:
    """A net of ours, the same of theirs, and what they have in common."""

    def __init__(self, name):
        ours, theirs, shape, self.names = NETS[name]
        torch.manual_seed(0)
        self.net, self.module = ours(), theirs()
        rng = np.random.default_rng(0)
        self.images = rng.normal(size=(4, *shape)).astype("float32")
        for key, tensor in self.module.state_dict().items():  # no ones, no zeros
            if key.endswith(("running_var", "bn1.weight", "bn2.weight")):
                tensor.copy_(torch.rand(tensor.shape) + 0.5)
            elif key.endswith("running_mean"):
                tensor.copy_(torch.rand(tensor.shape) - 0.5)
        self.labels = rng.integers(0, 5, 4)
        self.x = jnp.asarray(self.images.transpose(0, 2, 3, 1))
        self.params, self.state = from_torch(
            self.net, self.module, self.x, names=self.names
        )


@functools.cache
def pair(name):
    return Pair(name)


@others
def test_outputs_are_those_of_pytorch(name):
    """In evaluation, to 1e-5."""
    p = pair(name)

    y = jax.jit(p.net.apply)(p.params, p.x, state=p.state)

    with torch.no_grad():
        want = p.module.eval()(torch.tensor(p.images)).numpy()
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


@nets
def test_the_way_back_changes_no_bit(name):
    """And PyTorch's module takes all of it."""
    p = pair(name)

    back = to_torch(p.net, p.params, p.state, p.x, names=p.names)

    theirs = p.module.state_dict()
    assert sorted(back) == sorted(theirs)
    for key, tensor in theirs.items():
        assert back[key].dtype == tensor.numpy().dtype, key
        assert back[key].flags.c_contiguous, key
        np.testing.assert_array_equal(back[key], tensor.numpy(), err_msg=key)
    fresh = NETS[name][1]()
    fresh.load_state_dict({key: torch.tensor(a) for key, a in back.items()})


@others
def test_a_step_of_training_ends_in_the_same_weights(name):
    """Of SGD, with the statistics of the batch, in each library."""
    p = pair(name)
    optimizer = optax.sgd(0.05)

    def loss(params):
        y, state = p.net.apply_with_state(
            params, p.state, p.x, key=jax.random.key(0), train=True
        )
        return nn.losses.cross_entropy(y, p.labels), state

    gradients, state = jax.jit(jax.grad(loss, has_aux=True))(p.params)
    updates, _ = optimizer.update(gradients, optimizer.init(p.params))
    ours = to_torch(
        p.net, optax.apply_updates(p.params, updates), state, p.x, names=p.names
    )

    module = NETS[name][1]()
    module.load_state_dict(p.module.state_dict())
    step = torch.optim.SGD(module.parameters(), 0.05)
    y = module.train()(torch.tensor(p.images))
    F.cross_entropy(y, torch.tensor(p.labels)).backward()
    step.step()
    before = p.module.state_dict()
    for key, tensor in module.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        want, start = tensor.numpy(), before[key].numpy()
        moved = np.abs(want - start).max()
        np.testing.assert_allclose(
            ours[key] - start, want - start, rtol=1e-3, atol=1e-3 * moved + 1e-6,
            err_msg=key,
        )  # fmt: skip


@nets
def test_parity_finds_no_difference(name):
    """In outputs and gradients, of each layer."""
    p = pair(name)

    found = parity(p.net, p.params, p.module, p.x, state=p.state, names=p.names)

    assert found.largest < 1e-4, found
    assert len(found.rows) > 5
    assert all(row.output is not None for row in found.rows)


@pytest.mark.parametrize("name", ["vgg", "composed"])
def test_parity_names_the_layer_that_differs(name):
    """One weight is changed; what comes before agrees."""
    p = pair(name)
    path = {"vgg": "classifier/0", "composed": "fc1"}[name]
    params = nn.flat(p.params)
    key = f"{path.replace('/', '.')}.weight"
    params[key] = params[key].at[:, 2].add(1.0)

    found = parity(p.net, nn.unflat(params), p.module, p.x, state=p.state)

    rows = {row.path: row for row in found.rows}
    assert rows[path].output > 1e-2
    before = list(rows)[: list(rows).index(path)]
    assert before
    assert all(rows[earlier].output < 1e-5 for earlier in before)
    assert found.largest > 1e-2
    assert path in str(found)
