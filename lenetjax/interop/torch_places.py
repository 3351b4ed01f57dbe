"""Which array of PyTorch's belongs to which of ours: names and copies."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lenetjax.core import Layer, LayerError
from lenetjax.interop.naming import check_names
from lenetjax.interop.torch_layers import Part, Specs, parts_of
from lenetjax.specs import shapes_text

TRANSPARENT = ("remat", "mixed_precision", "tapped")  # wrappers that add no names
WITHOUT = {
    "ensemble": "Take those of each copy, as of a net of its own, and stack them with "
    "jax.tree.map(lambda *copies: jnp.stack(copies), ...)"
}
WITHOUT_NORM = (
    "Take it off on both sides: in PyTorch with "
    "torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')"
)
COUNTER = "num_batches_tracked"  # of a batch norm; no number depends on it


@dataclass(frozen=True)
class Home:
    """A layer with params or state, and where PyTorch has them.

    Attributes:
      layer: the layer.
      path: our path of it.
      prefixes: the names of its modules, one for each copy.
      copies: how many copies each `repeat` around it makes.
      specs: its params and state for one copy, by "name/name".
    """

    layer: Layer
    path: str
    prefixes: tuple[str, ...]
    copies: tuple[int, ...] = ()
    specs: Specs = ()  # type: ignore[assignment]


@dataclass(frozen=True)
class Place:
    """One array of PyTorch's: its name, and what it is made of."""

    name: str
    home: Home
    copy: int
    part: Part

    @property
    def paths(self) -> list[str]:
        """The paths of our arrays."""
        path = self.home.path
        return [f"{path}/{ours}" if path else ours for ours in self.part.ours]


def homes_of(net: Layer, specs: Specs, names: Mapping[str, str]) -> list[Home]:
    """The layers of a net that have params or state.

    Raises:
      LayerError: PyTorch has no such layer, or `names` do not fit.
    """
    check_names(net, names)
    start = Home(net, "", (names.get("", ""),))
    return list(_homes(start, specs, names))


def places_of(homes: list[Home]) -> dict[str, Place]:
    """PyTorch's arrays by name.

    Raises:
      LayerError: two layers would have one name.
    """
    places: dict[str, Place] = {}
    for home in homes:
        for copy, prefix in enumerate(home.prefixes):
            for part in parts_of(home.layer, home.specs):
                name = joined(prefix, part.theirs)
                if name in places:
                    raise LayerError(
                        f"'{places[name].home.path}' and '{home.path}' would both have "
                        f"{name!r} in PyTorch; give each a name of its own"
                    )
                places[name] = Place(name, home, copy, part)
    return places


def counters_of(homes: list[Home]) -> list[str]:
    """The names of the counters that PyTorch's batch norms have."""
    return [
        joined(prefix, COUNTER)
        for home in homes
        if home.layer.kind == "batch_norm"
        for prefix in home.prefixes
    ]


def joined(prefix: str, name: str) -> str:
    """A name inside a module."""
    return f"{prefix}.{name}" if prefix else name


def _homes(home: Home, specs: Specs, names: Mapping[str, str]) -> Iterator[Home]:
    layer = home.layer
    if not specs:
        return
    if layer.kind == "repeat":
        n = layer.settings["n"]
        prefixes = tuple(joined(p, str(i)) for p in home.prefixes for i in range(n))
        home = replace(home, prefixes=prefixes, copies=(*home.copies, n))
    if layer.kind in (*TRANSPARENT, "repeat"):
        yield from _homes(replace(home, layer=layer.children[""]), specs, names)
        return
    if "" in layer.children:
        raise LayerError(
            f"'{home.path}' = {layer.text}: weights are not taken through "
            f"{layer.kind}. {WITHOUT.get(layer.kind, WITHOUT_NORM)}",
            path=home.path,
        )
    for name, child in layer.children.items():
        path = f"{home.path}/{name}" if home.path else name
        inside = {
            rest: spec
            for full, spec in specs.items()
            if (rest := full.removeprefix(f"{name}/")) != full
        }
        yield from _homes(_child(home, child, path, name, names), inside, names)
    if not layer.children:
        yield _described(home, specs)


def _child(
    home: Home, layer: Layer, path: str, name: str, names: Mapping[str, str]
) -> Home:
    prefixes = tuple(joined(prefix, name) for prefix in home.prefixes)
    if path in names:
        if home.copies:
            raise LayerError(
                f"names has '{path}', which is repeated; name the layer that is "
                "nn.repeat, whose copies are called '.0', '.1', ..."
            )
        prefixes = (names[path],)
    return replace(home, layer=layer, path=path, prefixes=prefixes)


def _described(home: Home, specs: Specs) -> Home:
    """The same with its specs, checked."""
    one = {
        name: type(spec)(spec.shape[len(home.copies) :], spec.dtype)
        for name, spec in specs.items()
    }
    try:
        parts = parts_of(home.layer, one)
    except LayerError as error:
        name = f"'{home.path}' = " if home.path else ""
        raise LayerError(f"{name}{home.layer.text}: {error}", path=home.path) from None
    if left := set(one) - {ours for part in parts for ours in part.ours}:
        raise LayerError(
            f"'{home.path}': PyTorch has nothing for {shapes_text(dict.fromkeys(left))}"
        )
    return replace(home, specs=one)
