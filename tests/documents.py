"""Programs in Markdown pages: found, run, and compared with what they print."""

import contextlib
import doctest
import io
import re
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:`|\$ )lenetjax ([a-z]+)\b([^`\n]*)")


class Program(NamedTuple):
    """A block of Python, the line that it begins in, and what is said to come out."""

    source: str
    line: int
    output: str


def programs(text):
    """The Python of a page; a block of text after it, and nothing else, is its output.

    Prose between the two makes no difference: each block of text belongs to the
    program before it.
    """
    found = []
    for match in BLOCK.finditer(text):
        kind, content = match.groups()
        line = text.count("\n", 0, match.start()) + 2
        if kind == "python":
            found.append(Program(content, line, ""))
        elif kind == "text":
            assert found, f"line {line}: a block of text without a program before it"
            found[-1] = found[-1]._replace(output=content)
    return found


def printed(program, path, names):
    """What a program prints, with its error, if any, as Python's last lines say it."""
    code = compile("\n" * (program.line - 1) + program.source, str(path), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            exec(code, names)  # noqa: S102  # our own pages
        except Exception as error:
            if not program.output:
                raise
            print(f"{type(error).__name__}: {error}")
    return out.getvalue()


def same(got, want):
    """Whether output is as shown; "..." in what is shown stands for anything."""
    return doctest.OutputChecker().check_output(want, got, doctest.ELLIPSIS)


def options(text):
    """Each command of the program in a text, with each option that the text gives it.

    Every command has --help, so that one without options is there too.
    """
    calls = [(name, f"--help {rest}") for name, rest in COMMAND.findall(text)]
    found = {(name, option) for name, rest in calls for option in options_in(rest)}
    alone = re.findall(r"`(--[a-z-]+)[ `]", text)  # named in prose: options of train
    alone += options_in(" ".join(re.findall(r'make train ARGS="([^"]*)"', text)))
    return sorted(found | {("train", option) for option in alone})


def options_in(text):
    return re.findall(r"--[a-z][a-z-]*", text)


def read(path):
    return Path(path).read_text(encoding="utf-8")
