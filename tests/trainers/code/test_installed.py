"""Distributions that register something of their own, as pip lays them down."""

from __future__ import annotations

import pytest

from tests.support.own import METHOD, MYKD
from tests.support.site import PACKAGE, Site, site
from trainers import registry
from trainers.code import fingerprint, load_installed
from trainers.config import MethodConfig
from trainers.distillers import METHODS
from trainers.errors import InputError
from trainers.own import code_of

__all__ = ["site"]

KD = MethodConfig(name="mykd", params={})


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
