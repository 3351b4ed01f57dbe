"""The manual in docs/: its programs, its names, and the site that is built of it."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jax
import pytest
from documents import options, options_in, printed, programs, read, same
from test_architecture import PUBLIC

import lenetjax as nn

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
MODULES = (*PUBLIC, "lenetjax.metrics", "lenetjax.testing")
LOADED = {  # what a browser fetches by itself
    "link": "href",
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
}

every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


@every_page
@pytest.mark.compiled
def test_programs_print_what_is_shown(path, tmp_path, monkeypatch):
    """The programs of a page run in order, and print the text that follows them."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    with jax.numpy_rank_promotion("allow"), jax.enable_x64(False):
        for program in programs(read(path)):
            got = printed(program, path, names)
            assert same(got, program.output), f"{path.name}:{program.line}: {got}"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "1\n"),
        ("```python\nprint(1)\n```\n", "1\n"),
        ("```python\nprint(1)\n1 / 0\n```\n\n```text\n1\n```\n", "1\nZeroDivision"),
    ],
)
def test_another_output_is_noticed(text, wrong):
    """Other text, text that is not shown, and an error that is not shown."""
    (program,) = programs(text)
    got = printed(program, "page.md", {})
    assert got.startswith(wrong)
    assert not same(got, program.output)


def test_an_error_without_output_is_raised():
    """A program that shows nothing must not fail, and says in which line it did."""
    (program,) = programs("# Page\n\n```python\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as error:
        printed(program, "page.md", {})
    assert error.traceback[-1].lineno + 1 == 4


@every_page
def test_names_exist(path):
    """Each `nn.name` in a page's text is one."""
    for name in re.findall(r"`nn((?:\.[a-z]\w*)+)", read(path)):
        assert eval(f"nn{name}", {"nn": nn}) is not None  # noqa: S307


@every_page
def test_options_exist(path):
    """Each command that a page names is there, with each option that it is given."""
    for command, option in options(read(path)):
        done = in_python("-m", "lenetjax", command, "--help")
        assert option in options_in(done.stdout)


def in_python(*arguments):
    done = subprocess.run(  # noqa: S603  # our own interpreter and arguments
        [sys.executable, *arguments],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


class Page(HTMLParser):
    """What a page of the site has, and where it leads."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.shown, self.loads, self.links = set(), set(), [], []
        self.feed(read(path))

    def handle_starttag(self, tag, attributes):
        """Notes anchors, addresses, and the objects that the page describes."""
        found = dict(attributes)
        if "id" in found:
            self.anchors.add(found["id"])
            if tag == "dt" and "sig-object" in found.get("class", ""):
                self.shown.add(found["id"])
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if found.get(LOADED.get(tag)):
            self.loads.append(found[LOADED[tag]])


@pytest.mark.variant
def test_the_site(tmp_path):
    """It is built without a warning, has each name once, and its links lead somewhere.

    One test, as the site is built for it.
    """
    for name in ("sphinx", "myst_nb", "furo"):
        pytest.importorskip(name)
    site = tmp_path / "html"
    sphinx = ("-m", "sphinx", "-W", "--keep-going", "-q", "-E")
    done = in_python(*sphinx, str(DOCS), str(site))
    assert not done.stderr.strip()

    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    assert {"index.html", "coming_from_torch.html"} <= {path.name for path in pages}
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert (site / "notebooks" / f"{notebook.stem}.html").resolve() in pages
    assert not broken_links(pages)
    assert not names_not_shown_once(pages)


def broken_links(pages):
    """Addresses in the site that are not there, and what would come from a network."""
    return [
        (path.name, address)
        for path, page in pages.items()
        for address in page.loads + page.links
        if not there(address, path, pages, fetched=address in page.loads)
    ]


def there(address, path, pages, fetched):
    """Whether an address on a page leads to a file, and to an anchor in it."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:  # elsewhere is for the reader to go to
        return parts.scheme == "data" or not fetched
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    anchor = unquote(parts.fragment)
    if not anchor or target not in pages:
        return target.is_file()
    return anchor in pages[target].anchors


def names_not_shown_once(pages):
    """The public objects that no page, or more than one, describes."""
    aliases = defaultdict(set)
    for module in MODULES:
        home = importlib.import_module(module)
        for name in public_names(home):
            aliases[id(getattr(home, name))].add(f"{module}.{name}")
    return [
        names
        for names in aliases.values()
        if sum(len(names & page.shown) for page in pages.values()) != 1
    ]


def public_names(module):
    """The names of a module's `__all__`, or what it defines, but for modules."""
    own = [
        name
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", "") == module.__name__ and name[0] != "_"
    ]
    names = getattr(module, "__all__", own)
    return [name for name in names if not inspect.ismodule(getattr(module, name))]
