"""Distributions that register something of their own, as pip lays them down."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.own import METHOD, MYKD
from trainers import registry
from trainers.code import fingerprint, installed, load_installed
from trainers.config import MethodConfig
from trainers.distillers import METHODS
from trainers.errors import InputError
from trainers.own import code_of

PACKAGE = "kd_sweep_plugin_of_a_test"
KD = MethodConfig(name="mykd", params={})


class Site:
    """A folder of installed distributions."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def install(self, module: str, **files: str) -> None:
        """A distribution whose entry point names `module`; a file ``__init__`` is that of the package."""
        for name, text in files.items():
            file = self.path / PACKAGE / f"{name}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        about = self.path / "paper-1.0.dist-info"
        about.mkdir(exist_ok=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: paper\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[kd_sweep]\nmypaper = {module}\n")

    def forget(self) -> None:
        """As a new process begins."""
        for cached in (installed.load_installed, installed.fingerprint, installed._code):
            cached.cache_clear()
        installed._forget(PACKAGE)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    place = Site(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    place.forget()
    yield place
    place.forget()
    installed.load_installed.cache_clear()


def test_an_entry_point_registers_what_its_module_does(site: Site) -> None:
    site.install(f"{PACKAGE}.losses", __init__="", losses=MYKD)
    assert load_installed() == (f"{PACKAGE}.losses",)
    assert METHODS.module("mykd") == f"{PACKAGE}.losses"
    assert code_of("digits", ["resnet8"], KD) == {"method mykd": fingerprint(f"{PACKAGE}.losses")}


def test_its_content_and_what_it_imports_of_its_package_is_its_fingerprint(site: Site) -> None:
    files = {"__init__": "", "losses": f"from . import helpers\n{MYKD}", "helpers": "x = 1", "other": "y = 1"}

    def now(**edit: str) -> str:
        site.forget()
        site.install(f"{PACKAGE}.losses", **(files | edit))
        load_installed()
        return fingerprint(f"{PACKAGE}.losses")

    before = now()
    assert len(before) == 16
    assert now(helpers="x = 1  # one", other="y = 2") == before
    assert now(helpers="x = 2") != before


def test_files_that_no_python_reads_do_not_matter(site: Site) -> None:
    site.install(f"{PACKAGE}.losses", __init__="", losses=MYKD, template="{{ no python }}")
    (site.path / PACKAGE / "old.py").write_bytes(b"\xff\xfe")
    load_installed()
    assert fingerprint(f"{PACKAGE}.losses")


def test_a_namespace_s_package_has_a_fingerprint(site: Site) -> None:
    site.install(f"{PACKAGE}.losses", losses=MYKD)
    load_installed()
    assert len(fingerprint(f"{PACKAGE}.losses")) == 16


def test_a_single_module_has_a_fingerprint(site: Site) -> None:
    site.install(PACKAGE)
    (site.path / f"{PACKAGE}.py").write_text(MYKD)
    load_installed()
    assert len(fingerprint(PACKAGE)) == 16


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import not_installed_anywhere", "ModuleNotFoundError: No module named 'not_installed_anywhere'"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        (METHOD.format(name="kd"), "method 'kd' is registered already; give yours another name"),
        (f"{MYKD}\n1 / 0", "ZeroDivisionError"),
    ],
)
def test_one_that_cannot_be_used_is_named_each_time(site: Site, text: str, told: str) -> None:
    site.install(f"{PACKAGE}.losses", __init__="", losses=text)
    for _ in range(2):  # a notebook asks again
        with pytest.raises(InputError, match="the installed package paper cannot be used: ") as error:
            load_installed()
        assert told in str(error.value)
        assert registry.modules() == set()


def test_what_is_neither_under_code_nor_a_plug_in_is_known_to_nobody_else() -> None:
    METHODS.add("mine", METHODS["kd"], "typed_into_a_shell")
    try:
        with pytest.raises(InputError, match="the module typed_into_a_shell, which workers do not have; name it under"):
            code_of("digits", ["resnet8"], MethodConfig(name="mine"))
    finally:
        registry.forget({"typed_into_a_shell"})
