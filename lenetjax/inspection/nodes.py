"""Operations gathered into nodes: one for each call of a layer or of a named function.

What is left, such as an addition in a forward function, is a node by itself.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from lenetjax.inner_outputs import first_call
from lenetjax.inspection.operations import Operation


@dataclass
class Node:
    """One step of a graph.

    Attributes:
      label: a layer on one line ("conv2d(6, kernel_size=3)"), or the name of a
        function, a primitive, an input or an output.
      path: the layer's path, or the scopes around a function; "" for others.
      operations: the primitives inside, in order.
      params: the params that it uses; on the way back, those whose gradients it makes.
      saved: on the way back, shapes of what it takes from the way there.
      repeats: how often it runs, inside of a scan.
    """

    label: str
    path: str = ""
    operations: list[str] = field(default_factory=list)
    params: list[str] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)
    repeats: int = 1
    is_layer: bool = False

    @property
    def kind(self) -> str:
        """The label without settings: "conv2d"."""
        kind = self.label.partition("(")[0].rpartition(".")[2]
        return kind if self.repeats == 1 else f"{kind} x{self.repeats}"


@dataclass
class Group:
    """A node with the numbers of the values that it takes and makes."""

    node: Node
    takes: set[int] = field(default_factory=set)
    makes: set[int] = field(default_factory=set)


def gathered(operations: Sequence[Operation], wanted: Sequence[int]) -> list[Group]:
    """The nodes, in order; without what none of the wanted values needs."""
    needed = _needed(operations, wanted)
    holders = {prefix for op in needed for prefix in _holders(op.place.scopes)}
    groups: list[Group] = []
    last: object = None
    for op in needed:
        node, alone = _node(op, holders)
        mark = (node.path, node.label)
        if alone or mark != last:
            groups.append(Group(node))
        last = None if alone else mark
        group = groups[-1]
        group.node.operations.append(op.name)
        group.takes |= set(op.inputs) - group.makes
        group.makes |= set(op.outputs)
    return groups


def without_preparations(
    groups: Sequence[Group],
    data: Collection[int],
    results: Collection[int],
    *,
    there: bool,
) -> list[Group]:
    """The nodes without those that only prepare a layer's params, such as a cast.

    They become a part of the layers that use them. So does what no input decides, as a
    part of whatever uses it; on the way back (not `there`) that may be a layer that is
    computed once more. `data` are the values that come from outside and are no params;
    `results` those that go there.
    """
    moving = set(data)
    for group in groups:
        if group.takes & moving:
            moving |= group.makes
    kept: list[Group] = []
    for group in reversed(groups):
        users = [other for other in kept if other.takes & group.makes]
        simple = not group.takes or all(user.node.is_layer for user in users)
        if there and group.node.is_layer:
            simple = False
        if group.makes & (moving | set(results)) or not simple:
            kept.insert(0, group)
            continue
        for user in users:
            user.takes = (user.takes - group.makes) | group.takes
            user.node.operations[:0] = group.node.operations
    return kept


def without_finishings(
    groups: Sequence[Group], gradients: Collection[int]
) -> list[Group]:
    """The nodes without those that only finish the gradients of layers' params.

    They are what undoes a preparation, and they become a part of the layer before them.
    """
    last: set[int] = set()  # groups that lead to gradients alone
    for i, group in reversed(list(enumerate(groups))):
        users = [j for j, other in enumerate(groups) if other.takes & group.makes]
        leads = users or group.makes & set(gradients)
        if not group.node.is_layer and leads and all(j in last for j in users):
            last.add(i)
    kept: list[Group] = []
    makers: dict[int, Group] = {}
    for i, group in enumerate(groups):
        before = [makers[number] for number in group.takes if number in makers]
        if i in last and before and all(maker.node.is_layer for maker in before):
            layer = max(before, key=kept.index)
            layer.takes |= group.takes - layer.makes
            layer.makes |= group.makes
            layer.node.operations += group.node.operations
        else:
            kept.append(group)
            layer = group
        makers |= dict.fromkeys(group.makes, layer)
    return kept


def _needed(operations: Sequence[Operation], wanted: Sequence[int]) -> list[Operation]:
    needed, values = [], set(wanted)
    for op in reversed(operations):
        if values & set(op.outputs):
            needed.append(op)
            values |= set(op.inputs)
    return needed[::-1]


def _holders(scopes: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The scopes around a layer: those of nets."""
    for i, scope in enumerate(scopes):
        if "/" in scope:  # "conv1/conv2d(6, kernel_size=3)"
            yield from (scopes[:end] for end in range(1, i + 1))
            return


def _node(op: Operation, holders: set[tuple[str, ...]]) -> tuple[Node, bool]:
    """The node that an operation belongs to, and whether it is one by itself."""
    scopes, repeats = op.place.scopes, op.place.repeats
    for i, scope in enumerate(scopes):
        if "/" in scope:
            name, _, label = scope.partition("/")
            path = "/".join(filter(None, [*scopes[:i], name]))
            return Node(label, path, repeats=repeats, is_layer=True), False
        if scopes[: i + 1] not in holders:
            return Node(scope, "/".join(scopes[: i + 1]), repeats=repeats), False
    return Node(op.name, "/".join(scopes), repeats=repeats), True


def belongs(param: str, node: Node) -> bool:
    """Whether a param is the node's own, by their paths."""
    path = first_call(node.path)
    return node.is_layer and bool(param) and (not path or param.startswith(f"{path}/"))
