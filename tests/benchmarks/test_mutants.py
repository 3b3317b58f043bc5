"""The mutation runs: which faults are put in, and that each is put before the tests that could see it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.mutants.__main__ import Mutant, meeting, survivors
from benchmarks.mutants.reach import Reached
from benchmarks.mutants.sites import mutated, sites


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("a < b", ["a <= b"]),
        ("a is not None and b", ["a is not None or b", "a is None"]),
        ("a < b < c", []),  # two in one: no small fault
        ("a * 2", ["a / 2", "3"]),
        ("a += -b", ["a -= -b", "b"]),
        ("[a] + b\na / 'name'", []),  # would only be a TypeError
        ("x = True", ["False"]),
        ("a if b else c", ["c if b else a"]),
        ("max(a, b)", ["pass", "min(a, b)"]),
        ("if a: b()", ["if not a:\n    b()", "pass"]),
        ("if a in b: c = d", ["a not in b"]),
        ("[a for a in b if c]", [" for a in b"]),
        ("__all__ = [1]\nx: Literal[1]\ndef f(a: Field(1)) -> Field(2): ...", []),
        ("raise Wrong(f'{a + 1}')", []),
        ("@dataclass(order=True)\nclass A: x = zip(a, b, strict=True)", []),
        ("if TYPE_CHECKING: import a\nif not TYPE_CHECKING: a = 1", ["TYPE_CHECKING", "2"]),
    ],
)
def test_the_faults_of_a_line(source: str, wanted: list[str]) -> None:
    assert [site.after for site in sites(source)] == wanted


SOURCE = """
BOUND = 3


def f(a, b=1):
    if a > (
        BOUND
    ):
        return a + b
    return lambda: 0
"""


def test_a_fault_is_the_only_difference() -> None:
    whole = ast.unparse(ast.parse(SOURCE))
    for site in sites(SOURCE):
        assert mutated(SOURCE, site.number) == whole.replace(site.before, site.after, 1), site


def test_a_fault_knows_the_lines_of_its_statement_and_whether_a_call_runs_it() -> None:
    found = {site.before: (site.line, site.first, site.last, site.called) for site in sites(SOURCE)}
    assert found == {
        "3": (2, 2, 2, False),
        "1": (5, 5, 5, False),
        "a > BOUND": (6, 6, 8, True),
        "a + b": (9, 9, 9, True),
        "0": (10, 10, 10, True),
    }


def test_a_mutant_meets_the_tests_that_run_its_line_its_own_first_and_quick_ones_first() -> None:
    tests = {
        "far.py::quick": Reached(0.1, lines={"m.py": [9]}),
        "own.py::slow": Reached(2.0, lines={"m.py": [6, 9]}),
        "own.py::quick": Reached(1.0, lines={"m.py": [9]}),
        "own.py::elsewhere": Reached(0.2, lines={"other.py": [9]}),
        "far.py::elsewhere": Reached(0.2, lines={"m.py": [6]}),
        "none.py::quick": Reached(0.2, lines={"other.py": [9]}),
    }
    own = {"own.py": True, "far.py": False, "none.py": False}
    by_before = {site.before: Mutant("m.py", site) for site in sites(SOURCE)}
    assert meeting(by_before["a + b"], tests, own) == ["own.py::quick", "own.py::slow", "far.py::quick"]
    of_its_own = ["own.py::elsewhere", "own.py::quick", "own.py::slow"]
    assert meeting(by_before["3"], tests, own) == [
        *of_its_own,
        *("far.py::quick", "far.py::elsewhere", "none.py::quick"),
    ]


def test_what_survived_is_found_again_on_another_line() -> None:
    mutants = [Mutant("m.py", site) for site in sites(SOURCE)]
    log = "survived m.py:2 3 => 4\nown m.py:9 a + b => a - b [t.py::t]\nsurvived n.py:5 1 => 2\n{'survived': 2}\n"
    assert [str(one) for one in survivors(log.replace(":2 ", ":70 "), mutants)] == ["m.py:2 3 => 4"]


MODULE = """
def more(a, b):
    return a > b


def twice(a):
    return a + a


def both(a, b):
    return a and b
"""
OWN = """
from pack.much import more, twice


def test_more():
    assert more(2, 1) and not more(1, 2)


def test_twice():
    assert twice(3) == 6
"""
OTHER = """
import pytest
from pack import much


@pytest.fixture(scope="session")
def both():
    return much.both(0, 1)


def test_both(both):
    assert both == 0


def test_that_fails_by_itself():
    assert much.more(1, 1)
"""
COMMAND = """
import sys
from pathlib import Path
from benchmarks.mutants import __main__ as command

command.ROOT, command.LOADED = Path.cwd(), ("hypothesis", "xdist.plugin")
sys.argv[1:] = ["--package", "pack"]
command.main()
"""


def said_by(script: str, folder: Path) -> str:
    """What a script prints that runs there, apart from the processes that test here."""
    words = [sys.executable, "-c", script]
    env = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow(5)
def test_the_command_tells_what_became_of_each_mutant(tmp_path: Path) -> None:
    files = {"pack/much.py": MODULE, "tests/pack/test_much.py": OWN, "tests/pack/test_other.py": OTHER}
    files |= {
        "pack/__init__.py": "from pack import much\n",
        "pyproject.toml": "[tool.pytest.ini_options]\nmarkers=['slow']",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    head, *lines, counts = said_by(COMMAND, tmp_path).splitlines()
    assert head == "3 mutants; unchanged, 3 tests pass, others: ['tests/pack/test_other.py::test_that_fails_by_itself']"
    assert sorted(lines) == [
        "folder pack/much.py:11 a and b => a or b [tests/pack/test_other.py::test_both]",
        "own pack/much.py:7 a + a => a - a [tests/pack/test_much.py::test_twice]",
        "survived pack/much.py:3 a > b => a >= b",
    ]
    assert ast.literal_eval(counts) == {"folder": 1, "own": 1, "survived": 1}
    assert (tmp_path / "pack/much.py").read_text() == MODULE


ENDLESS = """
from pathlib import Path
from benchmarks.mutants.forked import failing

print(failing(Path.cwd() / "checkout", ["test_endless.py::test_endless"], within=1))
"""


@pytest.mark.slow(1)
def test_tests_that_do_not_come_to_their_end_are_ended(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "test_endless.py").write_text("def test_endless():\n    while True: pass")
    assert said_by(ENDLESS, tmp_path) == "limit\n"


MARKED = """
import pytest

@pytest.mark.slow
def test_without_a_number(): assert False

@pytest.mark.slow(60)
def test_long(): assert False

@pytest.mark.slow(5)
def test_short(): assert False
"""
FIRST = """
from pathlib import Path
from benchmarks.mutants.forked import failing

tests = [f"test_marked.py::test_{name}" for name in ("without_a_number", "long", "short")]
print(failing(Path.cwd() / "checkout", tests, within=60))
"""


@pytest.mark.slow(1)
def test_of_slow_tests_the_short_ones_see_faults_too(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "test_marked.py").write_text(MARKED)
    (tmp_path / "checkout" / "pyproject.toml").write_text("[tool.pytest.ini_options]\nmarkers=['slow']")
    assert said_by(FIRST, tmp_path) == "test_marked.py::test_short\n"
