"""The command: ``uv run python -m benchmarks.mutants``."""

from __future__ import annotations

import argparse
import compileall
import importlib
import py_compile
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import benchmarks.mutants
from benchmarks.mutants.forked import failing, reached
from benchmarks.mutants.reach import Reached
from benchmarks.mutants.sites import Site, mutated, sites

ROOT = Path(__file__).resolve().parents[2]
LOADED = ("torch", "hypothesis", "matplotlib.pyplot", "optuna", "pandas", "pydantic", "rich", "scipy.stats", "yaml")
"""What takes long to load and is not ours."""
WITHIN = 1800.0
"""Seconds that the unchanged package's tests may take."""
AT_LEAST, TIMES = 60.0, 3.0
"""Those of a mutant may take so many seconds, and so many times what they took before."""


@dataclass(frozen=True)
class Mutant:
    """One fault at one place."""

    file: str
    site: Site

    @property
    def what(self) -> str:
        """It without its line, which an edit elsewhere moves."""
        before, after = (" ".join(text.split()) for text in (self.site.before, self.site.after))
        return f"{before} => {after}"

    def __str__(self) -> str:
        return f"{self.file}:{self.site.line} {self.what}"


def copied(folder: Path) -> Path:
    """A copy of the checkout, compiled such that a changed source is always noticed."""
    checkout = folder / "checkout"
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(git, capture_output=True, text=True, check=True).stdout.split("\0"):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name)
    compileall.compile_dir(checkout, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    return checkout


def of_package(checkout: Path, package: str) -> Iterator[Mutant]:
    """All mutants of its modules; an ``__init__.py`` is taken to hold imports alone."""
    for path in sorted((checkout / package).rglob("*.py")):
        if path.name != "__init__.py":
            yield from (Mutant(path.relative_to(checkout).as_posix(), site) for site in sites(path.read_text("utf-8")))


def survivors(log: str, mutants: Sequence[Mutant]) -> list[Mutant]:
    """Those of which an earlier run's output says that they survived, wherever their lines are now."""
    found = re.findall(r"^survived ([^:]+):\d+ (.*)$", log, flags=re.MULTILINE)
    return [mutant for mutant in mutants if (mutant.file, mutant.what) in found]


def is_own(file: str, test: Path) -> bool:
    """Whether a file of tests has a module's name, or imports the module."""
    module = re.escape(file.removesuffix(".py").replace("/", "."))
    return test.stem == f"test_{Path(file).stem}" or re.search(rf"\b{module}\b", test.read_text("utf-8")) is not None


def meeting(mutant: Mutant, tests: Mapping[str, Reached], own: Mapping[str, bool]) -> list[str]:
    """The tests that a mutant meets, in their order: those that run its line; all, of what an import runs.

    Args:
        mutant: one of a module's.
        tests: by name, those that the unchanged package passes.
        own: by file of tests, whether it is one of the module's own.
    """
    site, file = mutant.site, mutant.file
    met = [name for name, test in tests.items() if not site.called or test.runs(file, site.first, site.last)]
    return sorted(met, key=lambda name: (not own[_file(name)], tests[name].seconds))


def _file(test: str) -> str:
    return test.partition("::")[0]


def seen(mutant: Mutant, checkout: Path, met: Sequence[str], within: float) -> str:
    """What sees a mutant: a test, or the limit of time; empty where nothing does."""
    path = checkout / mutant.file
    source = path.read_text("utf-8")
    path.write_text(mutated(source, mutant.site.number), "utf-8")
    try:
        return failing(checkout, met, within)
    finally:
        path.write_text(source, "utf-8")


def judged(mutant: Mutant, checkout: Path, tests: Mapping[str, Reached]) -> str:
    """Print what became of a mutant; the verdict."""
    own = {path: is_own(mutant.file, checkout / path) for path in set(map(_file, tests))}
    met = meeting(mutant, tests, own)
    by = seen(mutant, checkout, met, AT_LEAST + TIMES * sum(tests[name].seconds for name in met))
    verdict = by if "::" not in by else "own" if own[_file(by)] else "folder"
    print(verdict or "survived", mutant, *([f"[{by}]"] if "::" in by else []), flush=True)
    return verdict or "survived"


def main() -> int:
    """Print what became of each mutant, and how many of each there are."""
    options = argparse.ArgumentParser(description=(benchmarks.mutants.__doc__ or "").partition("\n")[0])
    options.add_argument("--package", required=True, help="a folder of modules, such as sweep/results")
    options.add_argument("--count", type=int, default=40, help="mutants in the sample (40)")
    options.add_argument("--seed", type=int, default=0, help="of the sample")
    options.add_argument("--tests", nargs="+", help="files and folders of tests; else the folder of the package's name")
    options.add_argument("--again", type=Path, help="an earlier run's output: try what survived there, and no sample")
    chosen = options.parse_args()
    for name in LOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        checkout = copied(Path(folder))
        mutants = list(of_package(checkout, chosen.package))
        sample = random.Random(chosen.seed).sample(mutants, min(chosen.count, len(mutants)))
        if chosen.again:
            sample = survivors(chosen.again.read_text("utf-8"), mutants)
        tests = reached(checkout, chosen.package, chosen.tests or [f"tests/{chosen.package}"], WITHIN)
        passing = {name: test for name, test in tests.items() if test.passed}
        print(f"{len(mutants)} mutants; unchanged, {len(passing)} tests pass, others: {[*(tests.keys() - passing)]}")
        counts = Counter(judged(mutant, checkout, passing) for mutant in sample)
    print(dict(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
