"""A net written down: its layers by name, each with its settings."""

from collections.abc import Mapping
from html import escape
from typing import Protocol

STYLE = "margin:0;padding-left:1.5em;list-style:none;border-left:1px solid #8884"


class Listed(Protocol):
    """What is needed of a layer."""

    @property
    def text(self) -> str:
        """The layer on one line."""

    @property
    def children(self) -> Mapping[str, "Listed"]:
        """The layers inside, by name."""


def text(layer: Listed) -> str:
    """A line for each layer, those inside of others indented."""
    if not layer.children:
        return layer.text
    lines = [
        f"({name}): {text(child)}" if name else text(child)
        for name, child in layer.children.items()
    ]
    inside = "\n".join(lines).replace("\n", "\n  ")
    return f"{start(layer)}\n  {inside}\n)"


def html(layer: Listed) -> str:
    """The same for notebooks: nested lists that fold."""
    return f'<div style="font-family:monospace">{_html("", layer)}</div>'


def start(layer: Listed) -> str:
    """The first line of a layer that has others inside: "repeat(3," or "serial("."""
    return layer.text.removesuffix("...)").rstrip()


def _html(name: str, layer: Listed) -> str:
    named = f"<b>{escape(name)}</b>: " if name else ""
    if not layer.children:
        return f"{named}{escape(layer.text)}"
    items = "".join(
        f"<li>{_html(name, child)}</li>" for name, child in layer.children.items()
    )
    head = f"<summary>{named}{escape(start(layer))}</summary>"
    return f'<details open>{head}<ul style="{STYLE}">{items}</ul>)</details>'
