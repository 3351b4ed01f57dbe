"""The graph of a function: beside PyTorch's own, and laws that every graph obeys."""

import re
import xml.etree.ElementTree as ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CATALOGUE

import lenetjax as nn

pytestmark = pytest.mark.compiled

IMAGES = jax.ShapeDtypeStruct((2, 32, 32, 1), jnp.float32)
X = jax.ShapeDtypeStruct((4, 3), jnp.float32)
FORWARD = (
    "input -> conv2d -> relu -> max_pool2d -> conv2d -> relu -> max_pool2d -> flatten"
    " -> linear -> relu -> linear -> relu -> linear -> mse -> loss"
)


def one_line(graph, number=0):
    """A chain of a graph's text, unwrapped."""
    return str(graph).replace("\n      ->", " ->").splitlines()[number]


def loss_of(net):
    """The squared error of a net without state, and its arguments."""
    params = jax.eval_shape(net.init, jax.random.key(0), IMAGES)
    target = jax.eval_shape(net.apply, params, IMAGES)

    def loss(params, images, target):
        return nn.losses.mse(net.apply(params, images), target)

    return loss, (params, IMAGES, target)


def total(net):
    """The sum of squares of all that a net makes, to be differentiated."""

    def loss(params, x):
        return sum(jnp.square(y).sum() for y in jax.tree.leaves(net.apply(params, x)))

    return loss


def graph_of(net, x=X):
    return nn.graph(total(net), jax.eval_shape(net.init, jax.random.key(0), x), x)


def arrows(graph):
    """The edges, by the names of their ends: the path, or the label without one."""
    names = [node.path or node.label for node in graph.nodes]
    return {(names[source], names[target]) for source, target, _ in graph.edges}


def test_the_chain_is_the_tutorials():
    """From the input through the layers to the loss, in the tutorial's words."""
    loss, args = loss_of(nn.models.lenet())

    graph = nn.graph(loss, *args)

    assert one_line(graph) == FORWARD
    assert str(graph).splitlines()[-1] == "target -> mse"
    assert str(graph).splitlines()[1].startswith("      -> linear -> relu -> linear")


def test_the_way_back_is_pytorchs():
    """Walking grad_fn from the loss meets the same layers, in the same order."""
    torch = pytest.importorskip("torch")
    loss, args = loss_of(nn.models.lenet())
    flat = torch.ones(2, 3, 1, requires_grad=True).flatten(1)
    ours = {
        "mse": "MseLossBackward0",
        "linear": "AddmmBackward0",
        "relu": "ReluBackward0",
        "flatten": flat.grad_fn.name(),
        "max_pool2d": "MaxPool2DWithIndicesBackward0",
        "conv2d": "ConvolutionBackward0",
    }
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(6, 16, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(), torch.nn.Linear(576, 120), torch.nn.ReLU(),
        torch.nn.Linear(120, 84), torch.nn.ReLU(), torch.nn.Linear(84, 10),
    )  # fmt: skip
    y = net(torch.zeros(2, 1, 32, 32))
    here, theirs = torch.nn.functional.mse_loss(y, torch.zeros(2, 10)).grad_fn, []
    while here is not None:
        theirs.append(here.name())
        before = [f for f, _ in here.next_functions if f is not None]
        inner = [f for f in before if not re.search("AccumulateGrad|^T", f.name())]
        here = inner[0] if inner else None

    graph = nn.graph(loss, *args).backward()

    start, *nodes = one_line(graph).split(" -> ")
    assert start == "loss"
    assert [ours[node] for node in nodes] == theirs


# One case of each layer, combinator, wrapper and model.
CASES = [
    case
    for kind, case in {case.name.split()[0]: case for case in CATALOGUE}.items()
    if kind != "tapped"
]


def called(plan):
    """The path of each call of a layer that has no others inside."""
    if not plan.children:
        return [plan.path]
    return [path for child in plan.children for path in called(child)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_graph_is_of_the_net(case):
    """Layers stand once and in order, edges go on, and each param has one place."""
    params, state, x = case.example()

    def forward(params, x):
        return case.layer.apply(params, x, state=state)

    graph = nn.graph(forward, params, x)

    layers = [node.path for node in graph.nodes if node.is_layer]
    calls = called(case.layer.plan(x))
    assert layers == sorted(set(layers), key=calls.index)
    assert all(source < target for source, target, _ in graph.edges)
    joined = {i for source, target, _ in graph.edges for i in (source, target)}
    assert joined == set(range(len(graph.nodes)))
    used = [param for node in graph.nodes for param in node.params]
    listed = [name.replace(".", "/") for name in nn.flat(params)]
    assert set(used) <= set(listed)
    if "params" not in {node.label for node in graph.nodes}:
        assert len(layers) < len(calls) or set(used) == set(listed)


SMOOTH = [
    case
    for case in CASES
    if isinstance(case.shape, tuple) and "gradients" not in case.skip and case.drawn
]


@pytest.mark.parametrize("case", SMOOTH, ids=lambda case: case.name)
def test_every_gradient_is_made_somewhere(case):
    """On the way back each param's gradient is made by its layer, or leads outside."""
    params, state, x = case.example()

    def loss(params, x):
        y = case.layer.apply(params, x, state=state)
        return sum(jnp.square(y).sum() for y in jax.tree.leaves(y))

    back = nn.graph(loss, params, x).backward()

    made = [param for node in back.nodes for param in node.params]
    listed = {name.replace(".", "/") for name in nn.flat(params)}
    assert set(made) <= listed
    assert len(made) == len(set(made))
    outside = {target for _, target in arrows(back)}
    assert set(made) == listed or "params" in outside


def test_a_shared_layer_stands_once_for_each_call():
    """The second call has a node of its own, and both use the same params."""
    net = nn.compose(lambda net, x: net.fc(jnp.tanh(net.fc(x))), fc=nn.linear(3))

    graph = graph_of(net)
    back = graph.backward()

    assert one_line(graph).startswith("input -> linear -> tanh -> linear -> square")
    calls = {node.path: node.params for node in graph.nodes if node.is_layer}
    params = ["fc/bias", "fc/weight"]
    assert calls == {"fc": params, "fc#1": params}
    order = [node.path for node in back.nodes if node.is_layer]
    assert order == ["fc#1", "fc"]
    made = [param for node in back.nodes for param in node.params]
    assert sorted(made) == ["fc/bias", "fc/weight"]


def test_all_arrays_of_the_input_are_called_so():
    """An input that is a dict is one input, and what comes after it is none."""
    net = nn.compose(lambda net, x: net.fc(x["left"] - x["right"]), fc=nn.linear(2))
    x = {"left": X, "right": X}
    params = jax.eval_shape(net.init, jax.random.key(0), x)

    def loss(params, pair, target):
        return nn.losses.mse(net.apply(params, pair), target)

    graph = nn.graph(loss, params, x, jax.eval_shape(net.apply, params, x))
    assert [node.label for node in graph.nodes if not node.operations] == [
        "input/left",
        "input/right",
        "target",
        "loss",
    ]


def test_a_residual_goes_around():
    """The input is added to the body's output, and the way back forks there."""
    net = nn.residual(nn.serial(fc=nn.linear(3), act=jnp.tanh))

    graph = graph_of(net)

    assert {
        ("input", "body/fc"), ("body/fc", "body/act"), ("body/act", "add"),
        ("input", "add"),
    } <= arrows(graph)  # fmt: skip
    assert str(graph).splitlines()[:2] == [
        "input -> linear -> tanh -> add -> square -> reduce_sum -> add -> loss",
        "input -> add",
    ]
    assert ("loss", "body/act") not in arrows(graph.backward(1))
    assert "x" in {target for _, target in arrows(graph.backward(1))}


def test_branches_meet():
    """Each branch begins at the input and ends at what merges them."""
    net = nn.branch(nn.linear(2), nn.linear(4), merge=lambda ys: jnp.hstack(ys))

    graph = graph_of(net)

    assert {("input", "0"), ("input", "1"), ("0", "merge"), ("1", "merge")} <= arrows(
        graph
    )


WRAPPED = {
    "remat": (lambda net: nn.remat(net), 1),
    "repeat": (lambda net: nn.repeat(5, net), 5),
    "ensemble": (lambda net: nn.ensemble(2, net), 1),
    "mixed_precision": (lambda net: nn.mixed_precision(net), 1),
    "compiled": (
        lambda net: nn.compose(jax.jit(lambda n, x: n.a(x), static_argnums=0), a=net),
        1,
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_are_looked_through(name):
    """Layers inside of scans, remats and compiled functions are found, both ways."""
    wrap, repeats = WRAPPED[name]
    net = nn.serial(w=wrap(nn.serial(fc=nn.linear(3), act=jnp.tanh)), out=nn.linear(1))

    graph = graph_of(net)
    back = graph.backward()

    kinds = [(node.kind, node.repeats) for node in graph.nodes if node.is_layer]
    times = "" if repeats == 1 else f" x{repeats}"
    inside = [(f"linear{times}", repeats), (f"tanh{times}", repeats)]
    assert kinds == [*inside, ("linear", 1)]
    assert [(n.kind, n.repeats) for n in back.nodes if n.is_layer] == kinds[::-1]
    assert len([param for node in back.nodes for param in node.params]) == 4


def test_params_may_be_used_outside_of_layers():
    """A penalty on the params is a part of the loss, with "params" for its input."""
    net = nn.linear(2)

    def loss(params, x):
        return net.apply(params, x).sum() + 0.1 * jnp.square(params["weight"]).sum()

    graph = nn.graph(loss, net.init(jax.random.key(0), X), X)

    assert one_line(graph, 1) == "input -> linear -> reduce_sum -> add"
    assert ("params", "square") in arrows(graph)
    assert graph.backward().nodes[0].label == "loss"


def test_what_a_function_closes_over_is_shown():
    """The tutorial's loss takes params alone; its input is a constant."""
    net, x = nn.serial(fc=nn.linear(2), act=jnp.tanh), jnp.ones((4, 3))
    params = net.init(jax.random.key(0), x)
    target = jnp.ones((4, 2))

    graph = nn.graph(lambda params: nn.losses.mse(net.apply(params, x), target), params)
    other = nn.graph(lambda x: net.apply(params, x), x)

    lines = ["input -> linear -> tanh -> mse -> loss", "constant -> mse"]
    assert str(graph).splitlines() == lines
    assert str(graph.backward()) == "loss -> mse -> tanh -> linear"
    assert str(other) == "input -> linear -> tanh -> output"


def test_what_is_not_needed_is_left_out():
    """Results that nothing uses have no node."""

    def f(x):
        jnp.exp(x)
        return jnp.tanh(x)

    assert str(nn.graph(f, X)) == "input -> tanh -> output"


def test_what_is_saved_is_what_the_gradient_needs():
    """The way back through tanh keeps its output, and linear's its input."""
    net = nn.serial(fc=nn.linear(5), act=jnp.tanh)

    back = graph_of(net).backward()

    saved = {node.path: node.saved for node in back.nodes if node.is_layer}
    assert "float32[4,5]" in saved["act"]
    assert saved["fc"] == ["float32[4,3]"]


def test_dot_and_mermaid_have_all_nodes_and_edges():
    """Each node and edge on a line of its own, with quotes escaped."""
    net = nn.serial(**{'say "hi" <b>': nn.linear(2)}, act=jax.nn.relu)
    graph = graph_of(net)

    dot, mermaid = graph.dot(), graph.mermaid()

    quoted = r'"(?:[^"\\]|\\.)*"'
    for text, node, edge in (
        (dot, rf"n\d+ \[label={quoted}\]", rf"n\d+ -> n\d+ \[label={quoted}\]"),
        (mermaid, r'n\d+\["[^"]*"\]', r'n\d+ -->\|"[^"]*"\| n\d+'),
    ):
        lines = [line.strip() for line in text.splitlines()]
        assert sum(bool(re.fullmatch(node, line)) for line in lines) == len(graph.nodes)
        assert sum(bool(re.fullmatch(edge, line)) for line in lines) == len(graph.edges)
        assert "float32[4,2]" in text
    assert '\\"hi\\"' in dot
    assert "#quot;hi#quot; #lt;b>" in mermaid


PICTURES = {
    "lenet": lambda: nn.graph(*_flat(loss_of(nn.models.lenet()))),
    "lenet back": lambda: nn.graph(*_flat(loss_of(nn.models.lenet()))).backward(),
    "two inputs": lambda: nn.graph(lambda x, y: (x @ y.T, x), X, X),
    "one node": lambda: nn.graph(lambda x: x, X),
    "resnet": lambda: _resnet(),
    "shared": lambda: _shared(),
    "shared back": lambda: _shared().backward(),
}


def _flat(pair):
    function, args = pair
    return function, *args


def _resnet():
    net, x = nn.models.resnet20(), jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    params, state = jax.eval_shape(net.init_with_state, jax.random.key(0), x)
    return nn.graph(lambda p, s, x: net.apply(p, x, state=s), params, state, x)


def _shared():
    """A residual that is called twice: arrows go around, and meet others."""
    block = nn.residual(nn.serial(fc=nn.linear(3), relu=jax.nn.relu))
    net = nn.compose(lambda net, x: net.block(net.block(x)), block=block)
    return graph_of(net)


@pytest.mark.parametrize("name", PICTURES)
def test_the_shapes_in_a_picture_can_be_read(name):
    """Those on the arrows lie inside of the picture, and none upon another."""
    root = ElementTree.fromstring(PICTURES[name]().svg())  # noqa: S314 (our own)
    space = "{http://www.w3.org/2000/svg}"
    share = {"start": 0, "middle": 0.5, "end": 1}
    seen = []
    for text in root.iterfind(f"{space}text"):
        wide, high = 6.6 * len(text.text), 11  # in a monospaced font of this size
        left = float(text.get("x")) - wide * share[text.get("text-anchor")]
        top = float(text.get("y")) - high
        assert left >= 0
        assert left + wide <= float(root.get("width"))
        for other, a, b, c in seen:
            apart = left + wide <= a or b <= left or abs(top - c) >= high
            assert apart, (text.text, other)
        seen.append((text.text, left, left + wide, top))
    assert seen or len(PICTURES[name]().edges) == 0


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_shows_each_node_apart(name):
    """Boxes lie inside of the picture, none upon another, and arrows lead downwards."""
    graph = PICTURES[name]()

    root = ElementTree.fromstring(graph.svg())  # noqa: S314 (our own)

    width, height = float(root.get("width")), float(root.get("height"))
    space = "{http://www.w3.org/2000/svg}"
    boxes = [
        [float(rect.get(name)) for name in ("x", "y", "width", "height")]
        for rect in root.iterfind(f"{space}g/{space}rect")
    ]
    assert len(boxes) == len(graph.nodes)
    joined = {(source, target) for source, target, _ in graph.edges}
    assert len(root.findall(f"{space}path")) == len(joined)
    assert not root.findall(f".//{space}script")
    for i, (x, y, w, h) in enumerate(boxes):
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
        for a, b, c, d in boxes[:i]:
            assert x + w <= a or a + c <= x or y + h <= b or b + d <= y
    for source, target, _ in graph.edges:
        assert boxes[source][1] + boxes[source][3] < boxes[target][1]
    for text in root.iterfind(f".//{space}text"):
        assert 0 <= float(text.get("x")) <= width
    assert graph._repr_svg_() == graph.svg()


def test_errors_say_what_to_do():
    """Arguments that are not there or have no gradient, and inputs that do not fit."""
    loss, args = loss_of(nn.models.lenet())
    graph = nn.graph(lambda x, n: x * n, X, np.int32(3))

    with pytest.raises(ValueError, match=r"argnum must be from 0 to 2, got 3"):
        nn.graph(loss, *args).backward(3)
    with pytest.raises(ValueError, match=r"argument 1 has no floating arrays"):
        graph.backward(1)
    with pytest.raises(nn.LayerError, match="'conv1'"):
        nn.graph(nn.models.lenet(), args[0], X)
