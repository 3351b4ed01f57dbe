"""How the library's docstrings are read: what Sphinx's napoleon does not know of them.

    Input: (batch, height, width, in), floating.
    Params: weight (kernel height, kernel width, in / groups, features);
      bias (features,); in x's dtype.

Such lines become entries of the list that the arguments are in. So does the text under
`Returns:`, in which napoleon would take what stands before a colon for a type. Markup
is code in backticks alone; a star is a star, and emphasizes nothing.
"""

import inspect
import re
from typing import Any

import optax
from numpy.typing import ArrayLike
from sphinx.util.typing import stringify_annotation

LONG_TYPES = {"ArrayLike": ArrayLike, "OptState": optax.OptState}
NAMED = re.compile(r"([A-Z][a-z]+(?:, [a-z]+)*): (\S.*)")
CODE_OR_MARK = re.compile(r"(``.+?``|`[^`]+`)(s?)|([*|]|(?<=\w)_(?!\w))")


def as_fields(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Turns the lines of a docstring into what napoleon reads."""
    found: list[str] = []
    in_field = in_program = False
    for line in lines:
        in_program = bool(line.strip()) and (in_program or line.lstrip()[:3] == ">>>")
        if not in_program:
            line = plain(line)
        match = NAMED.fullmatch(line)
        if match:
            line = f":{match[1]}: {match[2]}"
        elif line == "Returns:":
            line = ":returns:"
        elif in_field and line:
            line = f"  {line}"  # goes on at the margin
        in_field = bool(line) and (in_field or match is not None)
        found.append(line)
    lines[:] = found


def plain(line: str) -> str:
    """The line with all that would be markup, but code, as it stands."""

    def escaped(match: re.Match[str]) -> str:
        code, plural, mark = match.groups()
        return f"\\{mark}" if mark else code + (r"\ s" if plural else "")

    return CODE_OR_MARK.sub(escaped, line)


def is_bare_field(
    app: Any, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leaves out the fields of named tuples, which their classes tell about."""
    return (inspect.getdoc(obj) or "").startswith("Alias for field number") or None


def short_signature(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str, result: str
) -> tuple[str, str] | None:
    """Calls long types by their names, and hides what nobody calls by hand."""
    if not signature:
        return None
    if "<factory>" in signature:  # a dataclass that a function makes
        return "", ""
    for short, long in LONG_TYPES.items():
        signature = signature.replace(stringify_annotation(long, "smart"), short)
    return signature, result


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx; comes before napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", as_fields, priority=400)
    app.connect("autodoc-process-signature", short_signature)
    app.connect("autodoc-skip-member", is_bare_field)
    return {"parallel_read_safe": True}
