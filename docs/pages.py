"""The pages that are made for each build, so that nothing has to be listed by hand.

- `reference/`: each public name of lenetjax on one page, that of the file or folder
  that it is written in. A new name in an `__all__` is there with the next build.
- `notebooks/`: copies of the repository's notebooks, with links to the pages here.

Code such as `nn.conv2d` in a page or a notebook becomes a link to the reference.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from docstrings import plain
from docutils import nodes
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).parents[1]
PACKAGE = "lenetjax"
# Written in a file of its own, and shown with another.
SHOWN_WITH = {"checks": "core", "members": "sweeping"} | dict.fromkeys(
    ("fitting", "keeping", "scaling"), "training"
)


def public_names(module: ModuleType, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Each public object under its shortest name, and each public module."""
    yield module.__name__, module
    names = getattr(module, "__all__", None) or own_names(module)
    things = [(name, getattr(module, name)) for name in names]
    for name, thing in things:
        if not inspect.ismodule(thing) and id(thing) not in seen:
            seen.add(id(thing))
            yield f"{module.__name__}.{name}", thing
    for _, thing in things:
        if inspect.ismodule(thing):
            yield from public_names(thing, seen)


def own_names(module: ModuleType) -> list[str]:
    """What a module without `__all__` defines itself."""
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and getattr(thing, "__module__", None) == module.__name__
    ]


def reference() -> dict[str, str]:
    """The text of each page of the reference, by its name."""
    found: dict[str, dict[str, list[str]]] = {}
    modules = {}
    package = importlib.import_module(PACKAGE)
    for name, thing in public_names(package, set()):
        if thing is package:
            continue
        if inspect.ismodule(thing):
            modules[thing.__name__] = thing
            found.setdefault(page_of(name), {}).setdefault(name, [])
            continue
        home = getattr(thing, "__module__", "")
        if not home.startswith(PACKAGE):  # a type, such as a Literal
            home = name.rpartition(".")[0]
        found.setdefault(page_of(home), {}).setdefault(home, []).append(name)
    return {page: text_of(page, homes) for page, homes in found.items()}


def page_of(home: str) -> str:
    """The page of what is written in a module."""
    _, unit, *rest = home.split(".")
    if unit == "layers" and rest:
        return f"layers/{rest[0]}"
    return SHOWN_WITH.get(unit, unit)


def text_of(page: str, homes: dict[str, list[str]]) -> str:
    """A page in reStructuredText: its module's text, and each name under its file."""
    own = f"{PACKAGE}.{page.replace('/', '.')}"
    lines = heading(page.rpartition("/")[2], "=", own)
    if own in homes:
        lines += [f".. module:: {own}", ""]
    for home in sorted(homes, key=lambda home: (home != own, home)):
        if home != own and len(homes) > 1:
            lines += heading(home.rpartition(".")[2], "-", home)
        for name in homes[home]:
            module, _, last = name.rpartition(".")
            lines += [f".. currentmodule:: {module}", ""]
            lines += directive(last, getattr(importlib.import_module(module), last))
    return "\n".join(lines)


def directive(name: str, thing: Any) -> list[str]:
    """Tells Sphinx to show one object."""
    if inspect.isclass(thing):
        return [f".. autoclass:: {name}", "   :members:", ""]
    kind = "autofunction" if inspect.isroutine(thing) else "autodata"
    return [f".. {kind}:: {name}", ""]


def heading(name: str, line: str, module: str) -> list[str]:
    """A title, and under it what the module says of itself."""
    title = name.replace("_", " ").capitalize()
    text = inspect.getdoc(importlib.import_module(module)) or ""
    return [title, line * len(title), "", *map(plain, text.splitlines()), ""]


def write_pages(app: Any) -> None:
    """Writes what has changed, and removes what is no longer made."""
    source = Path(app.srcdir)
    made = {
        source / "reference" / f"{page}.rst": text.encode()
        for page, text in reference().items()
    }
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        text = path.read_bytes().replace(b"](../docs/", b"](../")
        made[source / "notebooks" / path.name] = text
    for folder in ("reference", "notebooks"):
        for path in (source / folder).rglob("*.*"):
            if path not in made:
                path.unlink()
    for path, content in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


def link_code(app: Any, tree: nodes.document, page: str) -> None:
    """Makes links of names such as `nn.conv2d(6, 3)` in running text."""
    objects = app.env.get_domain("py").objects
    for code in list(tree.findall(nodes.literal)):
        match = re.match(r"(?:nn|lenetjax)\.([\w.]+)", code.astext())
        target = f"{PACKAGE}.{match[1]}" if match else ""
        if target in objects and not isinstance(code.parent, nodes.reference):
            there = objects[target]
            link = make_refnode(
                app.builder, page, there.docname, there.node_id, code.deepcopy()
            )
            code.replace_self(link)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("doctree-resolved", link_code)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
