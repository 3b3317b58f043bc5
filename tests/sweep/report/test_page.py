"""The page: whole, closed in itself, and the same again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sweep import report
from sweep.cli.app import main
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.report import style
from sweep.report.history import read
from sweep.report.markup import EMPTY_ELEMENTS, Markup, element, joined, slug, table
from sweep.report.page import page
from sweep.results.board import leaderboard
from sweep.results.headline import headline
from tests.support.examples import begin, play, record
from tests.support.examples_report import EVIL, accuracy, tell_all

pytestmark = pytest.mark.slow(1)

SECTIONS = [
    "Leaderboard",
    "Sensitivity",
    "Gain over kd",
    "Learning curves",
    "Searches",
    "Fidelity to the teacher",
    "Head conflict and neural collapse",
    "Cost",
    "Failures",
    "Spec and plan",
    "Appendix",
]


class Balance(HTMLParser):
    """Whether every element ends where it should; ids, links, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.used: list[str] = []
        self.headings: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(attrs)
        if tag not in EMPTY_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(attrs)

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            self.ids += [value or ""] if name == "id" else []
            self.used += [value or ""] if name == "href" else re.findall(r"url\((#[^)]*)\)", value or "")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data.strip())


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with everything that the page can show."""
    path = tmp_path_factory.mktemp("told") / "ledger.db"
    with Ledger(path) as ledger:
        tell_all(ledger)
    return path


@pytest.fixture(scope="module")
def text(told: Path) -> str:
    with Ledger(told) as ledger:
        return page(read(ledger))[0]


@pytest.fixture(scope="module")
def parsed(text: str) -> Balance:
    return Balance(text)


def test_every_element_ends_and_every_link_leads_somewhere(parsed: Balance) -> None:
    assert (parsed.wrong, parsed.open) == ([], [])
    assert len(parsed.ids) == len(set(parsed.ids)) > 100
    assert len(parsed.used) > 100
    assert [link for link in parsed.used if link.removeprefix("#") not in parsed.ids or not link.startswith("#")] == []


def test_the_page_asks_for_nothing_from_elsewhere(text: str) -> None:
    assert "://" not in text
    for forbidden in ("<script", "<link", "<iframe", "<img", "<object", "@import", " src=", "javascript:"):
        assert forbidden not in text
    assert set(re.findall(r"url\(.", text)) == {"url(#"}


def test_the_page_begins_with_what_came_out(told: Path, text: str) -> None:
    with Ledger(told) as ledger:
        board = leaderboard(ledger)
    assert str(element("h1", board.plan.name)) + str(element("p", headline(board), class_="lead")) in text


def test_every_section_is_there_with_its_entry_in_the_contents(parsed: Balance, text: str) -> None:
    assert parsed.headings == SECTIONS
    contents = text.partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r">([^<]+)</a>", contents) == SECTIONS


def test_what_users_write_stays_text(parsed: Balance, text: str) -> None:
    assert EVIL in parsed.words  # the description
    assert any(
        EVIL.replace('"', "") in word.replace('"', "") for word in parsed.words if "methods:" in word
    )  # the spec
    assert "alert(&quot;1&quot;)" in text


def test_figures_hold_text_and_no_formulas_by_mistake(parsed: Balance) -> None:
    assert {"epoch", "α", "NC1", "dhkd α=5", "resnet20→resnet8"} <= set(parsed.words)
    assert not [word for word in parsed.words if "\\math" in word]


def test_bad_ends_are_told_with_their_reasons(parsed: Balance) -> None:
    words = " ".join(parsed.words)
    assert "1 failed, 1 diverged of " in words
    assert "ValueError: no" in parsed.words
    assert "loss term 'kd' became nan at epoch 2, step 1" in parsed.words


def test_the_same_ledger_makes_the_same_bytes(told: Path, text: str) -> None:
    """In another process too, where sets and hashes have another order."""
    code = (
        "import sys; from pathlib import Path; from sweep.ledger.store import Ledger\n"
        "from sweep.report.history import read; from sweep.report.page import page\n"
        "with Ledger(Path(sys.argv[1])) as ledger: sys.stdout.buffer.write(page(read(ledger))[0].encode())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    again = subprocess.run([sys.executable, "-c", code, str(told)], env=environment, capture_output=True, check=True)
    assert again.stdout.decode() == text


def test_a_sweep_without_results_has_a_page_too(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    text, pictures = page(read(ledger))
    parsed = Balance(text)
    assert (parsed.wrong, parsed.open, pictures) == ([], [], [])
    assert parsed.headings == ["Leaderboard", "Failures", "Spec and plan", "Appendix"]


def test_a_ledger_from_before_diagnostics_has_no_such_sections(ledger: Ledger, small_plan: Plan) -> None:
    play(ledger, small_plan, accuracy)
    headings = Balance(page(read(ledger))[0]).headings
    assert headings == [
        "Leaderboard",
        "Sensitivity",
        "Learning curves",
        "Cost",
        "Failures",
        "Spec and plan",
        "Appendix",
    ]


def test_the_command_writes_the_page_and_its_figures(
    root: Root, ledger: Ledger, small_plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = root.sweep("small")
    begin(ledger, small_plan)
    for slot in small_plan.slots:
        record(ledger, small_plan, slot, [80.0 + slot.seed, 90.0 - slot.seed])
    paths.figures.mkdir()
    for name in ("old.png", "notes.txt"):
        (paths.figures / name).write_text("from before")
    output = tmp_path / "out" / "page.html"
    with pytest.raises(SystemExit) as ended:
        main(["report", "small", "--root", str(root.path), "--output", str(output)])
    assert ended.value.code == 0
    assert capsys.readouterr().out.split() == ["report", str(output), "figures", str(paths.figures)]
    names = ["curves-test-resnet20-resnet8", "curves-train-resnet20-resnet8", "sensitivity-alpha-resnet20-resnet8"]
    found = {file.name: file.read_bytes() for file in paths.figures.iterdir()}
    assert sorted(found) == sorted(["notes.txt", *(f"{name}.{kind}" for name in names for kind in ("png", "pdf"))])
    assert all(found[f"{name}.png"].startswith(b"\x89PNG") for name in names)
    assert all(found[f"{name}.pdf"].startswith(b"%PDF") for name in names)
    report.write(ledger, tmp_path / "again.html", paths.figures)
    assert {file.name: file.read_bytes() for file in paths.figures.iterdir()} == found
    assert (tmp_path / "again.html").read_bytes() == output.read_bytes()


def test_a_sweep_that_is_not_there_is_refused(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", "nothing", "--root", str(root.path)])
    assert ended.value.code == 2
    assert "no sweep 'nothing'" in capsys.readouterr().err


# -- the parts of a page ----------------------------------------------------------------------------------------------


def test_only_markup_is_taken_as_it_is() -> None:
    assert element("p", "a < b", Markup("<i>c</i>")) == "<p>a &lt; b<i>c</i></p>"
    assert (
        element("a", "x", href='"><b', class_="y", aria_label="z")
        == '<a href="&quot;&gt;&lt;b" class="y" aria-label="z">x</a>'
    )
    assert joined(["<", Markup("<br>")], " & ") == "&lt; &amp; <br>"
    assert ElementTree.fromstring(table(["<", "b"], [["&", "1"]], right=[1])).tag == "div"


@pytest.mark.parametrize(
    ("name", "part"),
    [("resnet20→resnet8", "resnet20-resnet8"), ("dhkd α=0.5 head=linear", "dhkd-alpha-0.5-head-linear"), ("../..", "")],
)
def test_names_become_parts_of_file_names(name: str, part: str) -> None:
    assert slug(name) == part


@pytest.mark.parametrize(
    ("drawn", "shorter"),
    [
        ("M 1.23456 2  L 3 4.5678  L 5 6  z ", "M 1.23 2 3 4.56 5 6 z "),
        ("M 1 2  L 3 4  M 5 6  L 7 8 ", "M 1 2 3 4 M 5 6 7 8 "),
        ("M 0 1  C 0.125 1 2 3 4 5  L 6 7 ", "M 0 1 C 0.12 1 2 3 4 5 L 6 7 "),
        ("M 0 1  L 2 3  z  L 4 5 ", "M 0 1 L 2 3 z L 4 5 "),
    ],
    ids=["lines", "several lines", "a curve", "on from where it began"],
)
def test_a_path_is_written_without_what_goes_without_saying(drawn: str, shorter: str) -> None:
    """Coordinates after a letter repeat it, and those after M are of lines (SVG 2, 9.3)."""
    figure = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="{drawn}"/></svg>'
    assert f' d="{shorter}"' in style._inline(figure.encode(), "name", "title")
