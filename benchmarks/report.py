"""Results in words: a plain table for the terminal, Markdown for RESULTS.md.

``python -m benchmarks.report results/cpu.json`` writes RESULTS.md anew.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.sections import Section, sections

HERE = Path(__file__).parent
Results = Mapping[str, Any]


def plain(results: Results) -> str:
    """All tables, for a terminal."""
    blocks = [header(results)]
    for section in sections(results):
        blocks.append("\n".join([section.title, section.about, *_columns(section)]))
    blocks += ["\n".join(block) for block in _remarks(results) if block]
    return "\n\n".join(blocks)


def markdown(all_results: Sequence[Results], pictures: Mapping[str, str]) -> str:
    """RESULTS.md: a chapter for each platform.

    Args:
      all_results: the results of a run each.
      pictures: the path of the picture, by platform.
    """
    lines = [
        "# Results",
        "",
        "Written by `python -m benchmarks.report` from the files in `results/`, which",
        "`make bench` writes. All figures are medians.",
    ]
    for results in all_results:
        platform = results["platform"]
        lines += ["", f"## {platform.upper()}", "", *header(results).split("\n")]
        if platform in pictures:
            alt = "Time per image of a training step, by batch and peer"
            lines += ["", f"![{alt}]({pictures[platform]})"]
        for section in sections(results):
            lines += ["", f"### {section.title}", "", section.about, ""]
            lines += _markdown_table(section)
        for title, *remarks in (block for block in _remarks(results) if block):
            lines += ["", f"### {title}", "", *(f"- {line}" for line in remarks)]
    if "gpu" not in [results["platform"] for results in all_results]:
        lines += ["", "## GPU", "", "Not measured."]
    return "\n".join(lines) + "\n"


def header(results: Results) -> str:
    """Where, when and how, on four lines."""
    machine = results["machine"]
    versions = ", ".join(
        f"{name} {number}" for name, number in machine["versions"].items()
    )
    device = machine["device"] if results["platform"] == "gpu" else machine["cpu"]
    return (
        f"{device}, {machine['cores']} cores, "
        f"{machine['memory_bytes'] / 1e9:.0f} GB of memory; {machine['system']}.\n"
        f"{results['threads']} threads; {results['precision']} precision; "
        f"{results['rounds']} rounds of {results['seconds']:g} s.\n"
        f"{versions}.\n"
        f"{machine['date']}: `{machine['command']}`."
    )


def _remarks(results: Results) -> Iterator[list[str]]:
    """Each a title and lines, or nothing."""
    left_out = [f"{e['what']} ({e['where']}): {e['why']}" for e in results["left_out"]]
    yield ["Left out", *left_out] if left_out else []
    yield ["Errors", *results["errors"]] if results["errors"] else []


def _columns(section: Section) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*section.rows, strict=True)]
    for row in section.rows:
        first, *rest = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1])]
        put = str.ljust if section.of_words else str.rjust
        cells += [put(cell, width) for cell, width in rest]
        yield "  ".join(cells).rstrip()


def _markdown_table(section: Section) -> Iterator[str]:
    head, *body = section.rows
    align = "---" if section.of_words else "---:"
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'|'.join([align] * (len(head) - 1))}|"
    for row in body:
        yield f"| {' | '.join(row)} |"


def write(paths: Sequence[Path], out: Path) -> None:
    """Writes RESULTS.md from files of results."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    pictures = {
        results["platform"]: path.with_suffix(".png").relative_to(out.parent).as_posix()
        for results, path in zip(found, paths, strict=True)
        if path.with_suffix(".png").exists() and path.is_relative_to(out.parent)
    }
    out.write_text(markdown(found, pictures), encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        print("usage: python -m benchmarks.report RESULTS.json ...", file=sys.stderr)
        return 2
    try:
        write([Path(name).resolve() for name in arguments], HERE / "RESULTS.md")
    except (OSError, ValueError, KeyError) as error:
        why = getattr(error, "strerror", None) or f"no results: {error}"
        print(f"benchmarks.report: {', '.join(arguments)}: {why}", file=sys.stderr)
        return 2
    print(f"wrote {HERE / 'RESULTS.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
