"""The docs say what is so: their links, the commands they name, and the map from the paper's equations to the code."""

import ast
import functools
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import click
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from docs.site import results
from docs.site.built import asked_elsewhere
from docs.site.markdown import prose, written
from docs.site.pages import MARK, UNBUILT, filled_in
from jobs.cli.main import main
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EQUATIONS = ROOT / "docs" / "equations.md"
IN_THE_PAPER = {*range(1, 21)}
MUST_BE_MAPPED = {*range(1, 9), *range(10, 18)}


@functools.cache
def whole(page: Path) -> str:
    """A page with what is generated in it."""
    return filled_in(page.read_text())


def parse(text: str) -> list[Token]:
    """A page's block and inline tokens, flat."""
    blocks = MarkdownIt("commonmark").enable("table").parse(text)
    return [token for block in blocks for token in (block, *(block.children or ()))]


def targets(text: str) -> set[str]:
    """Where a page's links and pictures point."""
    found = set()
    for token in parse(text):
        found |= {str(token.attrs[name]) for name in ("href", "src") if name in token.attrs}
        if token.type in {"html_block", "html_inline"}:
            found |= set(re.findall(r"""(?:href|src)=["']([^"']+)""", token.content))
    return found


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings get on the forges."""
    headings = [after.content for token, after in pairwise(parse(text)) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_page_whose_tables_a_checkout_lacks_says_so():
    for page in PAGES:
        text = page.read_text()
        assert text.count(UNBUILT) == bool(MARK.search(text)), page
        assert UNBUILT not in filled_in(text)


def commands(text: str) -> Iterator[list[str]]:
    """The commands in a page's code, as words, without prompt and variables in front; [ ] and the like are dropped."""
    code = [token for token in parse(text) if token.type in {"code_inline", "fence", "code_block"}]
    for line in "\n".join(token.content.replace("\\\n", " ") for token in code).splitlines():
        for command in re.split(r"&&|\|\||[;|]", line):
            try:
                words = shlex.split(re.sub(r"^\s*[$>] ", "", command), comments=True)
            except ValueError:  # code that is no shell
                continue
            while words and re.fullmatch(r"\w+=.*", words[0]):
                words.pop(0)
            if bare_words := [bare for word in words if (bare := word.strip("[]…").rstrip("."))]:
                yield bare_words


def broken_links(page: Path) -> list[str]:
    broken = []
    for target in targets(whole(page)):
        if re.match(r"[a-z][a-z+.-]*:|//", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        there = file.is_relative_to(ROOT) and file.exists()
        if not there or (anchor and file.suffix == ".md" and anchor not in anchors(whole(file))):
            broken.append(target)
    return broken


def unknown_words(words: list[str], program: click.Command) -> list[str]:
    """The verb or options of an `oplstm ...` command that the command line does not have."""
    command, rest = program, words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        verb, *rest = rest
        found = command.get_command(click.Context(command), verb)
        if found is None:
            return [verb]
        command = found
    known = {option for param in (*program.params, *command.params) for option in (*param.opts, *param.secondary_opts)}
    options = [word.partition("=")[0] for word in rest if word.startswith("--")]
    return [option for option in options if option not in known | {"--help"}]


def numbers(text: str) -> set[int]:
    """The equation numbers in such as `1-6`, `Eqs. 13, 14` and `(5) and (6)`."""
    spans = re.findall(r"(\d+)(?:\s*(?:-|–|to)\s*(\d+))?", text)
    return {number for first, last in spans for number in range(int(first), int(last or first) + 1)}


def cited(source: str) -> set[int]:
    """The equations that a piece of code cites as `Eq. 14` or `Eqs. 1-6, 8`."""
    citation = r"\bEqs?\.\s*\(?(\d+\)?(?:(?:\s*(?:,|-|–|to|and)\s*)+\(?\d+\)?)*)"
    return {number for numerals in re.findall(citation, source) for number in numbers(numerals)}


def equation_rows(text: str) -> list[tuple[set[int], list[str]]]:
    """The rows of the table Equation | What | Where: the numbers, and the places `path.py::qualified.name`."""
    rows, cells = [], []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "tr_open":
            cells = []
        elif token.type == "inline":
            cells.append(token.content)
        elif token.type == "tr_close" and len(cells) == 3 and cells != ["Equation", "What", "Where"]:
            rows.append((numbers(cells[0]), re.findall(r"`([^`]*::[^`]*)`", cells[2])))
    return rows


def source_of(place: str, root: Path) -> str:
    """The lines that define `path.py::qualified.name` in that file itself; LookupError when there are none."""
    path, name = place.split("::")
    if not (root / path).is_file():
        raise LookupError(f"{place}: there is no {path}")
    source = (root / path).read_text()
    node: ast.AST = ast.parse(source)
    for part in name.split("."):
        named = [child for child in node.body if part in defined_names(child)]
        if not named:
            raise LookupError(f"{place}: {path} defines no {name}")
        node = named[-1]
    return "\n".join(source.splitlines()[node.lineno - 1 : node.end_lineno])


def defined_names(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    assigned = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return {target.id for target in assigned if isinstance(target, ast.Name)}


def wrong_rows(text: str, root: Path) -> list[str]:
    """What an equation map has wrong: numbers that the paper lacks, places that are not there or do not cite them."""
    wrong = []
    for equations, places in equation_rows(text):
        if not equations or equations - IN_THE_PAPER or not places:
            wrong.append(f"a row needs equations of the paper and places, got {sorted(equations)} and {places}")
        for place in places:
            try:
                missing = equations - cited(source_of(place, root))
            except LookupError as error:
                wrong.append(str(error))
            else:
                wrong += [f"{place} does not cite Eq. {number}" for number in sorted(missing)]
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
class TestPage:
    def test_links_resolve(self, page):
        assert broken_links(page) == []

    def test_make_targets_exist(self, page):
        there = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        named = {
            word
            for words in commands(whole(page))
            if words[0] == "make"
            for word in words[1:]
            if re.fullmatch(r"[a-z][a-z-]*", word)
        }
        assert named - there == set()

    def test_oplstm_commands_exist(self, page):
        named = [words for words in commands(whole(page)) if Path(words[0]).name == "oplstm"]
        assert {" ".join(words): unknown for words in named if (unknown := unknown_words(words, main))} == {}


def test_the_equation_map_is_true_and_whole():
    text = EQUATIONS.read_text()
    assert wrong_rows(text, ROOT) == []
    mapped = set().union(*(equations for equations, places in equation_rows(text) if places))
    assert MUST_BE_MAPPED - mapped == set()


# The checks themselves: each must see what is wrong.


def test_a_broken_link_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.test_docs.ROOT", tmp_path)
    (tmp_path / "there.md").write_text("# Two words, *here*\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#two-words-here) [c](https://example.org/x) ![d](gone.png) [e](there.md#gone)\n"
        "[f](../outside.md) [g][ref] `[code](ignored.md)`\n\n[ref]: also-gone.md\n"
    )
    assert sorted(broken_links(page)) == ["../outside.md", "also-gone.md", "gone.png", "there.md#gone"]


def test_commands_are_found_in_code_only():
    text = "make sure; `make test`\n\n```sh\n$ X=1 make demo ui && .venv/bin/oplstm sweep JOB [--name N]  # note\n```\n"
    assert list(commands(text)) == [
        ["make", "test"],
        ["make", "demo", "ui"],
        [".venv/bin/oplstm", "sweep", "JOB", "--name", "N"],
    ]


def test_an_unknown_verb_or_option_is_seen():
    sweep = click.Command("sweep", params=[click.Option(["--name"])])
    program = click.Group("oplstm", commands=[sweep, click.Group("data", commands=[click.Command("status")])])
    assert unknown_words("oplstm sweep demo --name N --nam=N".split(), program) == ["--nam"]
    assert unknown_words("oplstm sweeep demo".split(), program) == ["sweeep"]
    assert unknown_words("oplstm data import".split(), program) == ["import"]
    assert unknown_words("oplstm data status --help".split(), program) == []


def test_equations_are_found_in_citations():
    assert cited("x = y  # Eq. 14") == {14}
    assert cited('"""Eqs. 1-3, 5 and (8); 12 runs."""') == {1, 2, 3, 5, 8}
    assert cited("14  # equal to 14") == set()


def test_an_untrue_equation_map_is_seen(tmp_path):
    (tmp_path / "a.py").write_text("class Cell:\n    def step(self):\n        return 1  # Eqs. 1-6\n\n\ng = 2  # Eq. 7")
    table = "| Equation | What | Where |\n|---|---|---|\n"
    true = "| 1-6 | gates | `a.py::Cell.step` |\n| 7 | g | `a.py::g` and `a.py::Cell` |\n"
    assert wrong_rows(table + true, tmp_path) == ["a.py::Cell does not cite Eq. 7"]
    assert wrong_rows(table + "| 8 | m | `a.py::Cell.go` |\n", tmp_path) == ["a.py::Cell.go: a.py defines no Cell.go"]
    assert wrong_rows(table + "| 8 | m | `b.py::m` |\n", tmp_path) == ["b.py::m: there is no b.py"]
    assert len(wrong_rows(table + "| 21 | m | `a.py::g` |\n| 8 | m | somewhere |\n", tmp_path)) == 3


def test_a_docstring_keeps_its_code_and_makes_no_link():
    assert (
        prose("Clamp to [-clip, clip],\n    as ``a_b`` does; f_i*")
        == r"Clamp to \[-clip, clip\], as `a_b` does; f\_i\*"
    )


@pytest.mark.parametrize(
    ("value", "text"), [(None, "null"), (True, "true"), ((5, 5, 1), "[5, 5, 1]"), (2.5e-4, "0.00025"), ("none", "none")]
)
def test_values_are_written_as_job_files_have_them(value, text):
    assert written(value) == text


def test_what_a_page_would_fetch_from_another_host_is_seen(tmp_path):
    (tmp_path / "index.html").write_text(
        '<a href="https://a.org">a</a><script src="https://b.org/x.js"></script>'
        '<img src="c.png"><img src="//d.org/e.png">'
    )
    (tmp_path / "style.css").write_text("@import 'https://f.org/g.css'; a { background: url(h.png) }")
    found = list(asked_elsewhere(tmp_path))
    assert found == ["index.html: https://b.org/x.js", "index.html: //d.org/e.png", "style.css: https://f.org/g.css"]


def test_the_headline_of_the_readme_is_what_the_records_of_tracked_runs_give():
    shown = (ROOT / "README.md").read_text().partition("docs/results/runs -->\n")[2].partition("\n<!-- end of")[0]
    assert shown == results.headline(), "python -c 'from docs.site import results; print(results.headline())'"
