"""`sweep list`: every name that a spec can use."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from search_spaces.files import shipped_specs
from sweep.cli.catalogue import LISTINGS, printed, rows
from sweep.formats import Format, listing
from sweep.layout import Root
from sweep.ledger import lock
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from tests.support.examples import begin, record, slot_of
from tests.support.own import MYKD
from tests.support.site import PACKAGE, Site, site
from trainers.config import Recipe
from trainers.data import DATASETS
from trainers.distillers import METHODS
from trainers.errors import InputError
from trainers.models import MODELS, TIMM, build
from trainers.recipes import RECIPES

__all__ = ["site"]


@pytest.fixture(scope="module")
def models() -> list[dict[str, Any]]:
    """The rows of models; making them builds each one's outline."""
    return rows("models", Root(Path("nowhere")))


@pytest.mark.parametrize(
    ("what", "column", "names"),
    [
        ("methods", "method", list(METHODS)),
        ("models", "model", list(MODELS)),
        ("datasets", "dataset", list(DATASETS)),
        ("recipes", "recipe", list(RECIPES)),
        ("specs", "spec", list(shipped_specs())),
    ],
)
def test_every_registered_name_is_listed_and_described(
    root: Root, models: list[dict[str, Any]], what: str, column: str, names: list[str]
) -> None:
    listed = models if what == "models" else rows(what, root)
    found = [row for row in listed if not row.get("model", "").startswith(TIMM)]
    assert [row[column] for row in found] == names
    assert names
    assert len({tuple(row) for row in found}) == 1
    assert all(row.get("what", "…") for row in found)
    assert "Undefined" not in str(found)


@pytest.mark.parametrize("what", ["methods", "datasets"])
def test_options_are_listed_with_their_defaults(root: Root, what: str) -> None:
    text = {next(iter(row.values())): row.get("hyperparameters", row.get("options")) for row in rows(what, root)}
    if what == "methods":
        assert text["kd"] == "ce_weight=0.1, alpha=0.9, temperature=4"
        assert text["scratch"] == ""
    else:
        assert text["digits"] == "image_size=16"


def test_a_recipe_is_listed_with_all_its_fields(root: Root) -> None:
    for row in rows("recipes", root):
        recipe = RECIPES[row.pop("recipe")]
        assert row == recipe.model_dump(mode="json")


def test_recipes_stand_side_by_side_in_a_table(root: Root) -> None:
    lines = printed("recipes", root, Format.TABLE).splitlines()
    assert lines[0].split() == ["field", *RECIPES]
    assert [line.split()[0] for line in lines[1:]] == list(Recipe.model_fields)
    assert max(map(len, lines)) <= 125
    written = {line.split()[0]: re.split(" {2,}", line)[1:] for line in lines[1:]}
    assert written["lr"] == ["0.05", "0.01", "0.2", "0.001", "0.008", "0.05"]
    assert written["samples_per_class"] == [*["null"] * 5, "10"]
    assert written["flip"] == [*["true"] * 5, "false"]
    assert written["milestones"][2] == "[30, 60, 90]"
    assert written["randaugment"][3] == "(magnitude=9, …"


def test_programs_get_a_row_for_each_recipe(root: Root) -> None:
    assert json.loads(printed("recipes", root, Format.JSON)) == rows("recipes", root)
    assert printed("recipes", root, Format.CSV).splitlines()[0] == ",".join(["recipe", *Recipe.model_fields])


@pytest.mark.parametrize("name", ["resnet8", "resnet20"])
def test_parameters_are_counted_for_a_hundred_classes(models: list[dict[str, Any]], name: str) -> None:
    (row,) = [row for row in models if row["model"] == name]
    assert row["parameters"] == sum(p.numel() for p in build(name, num_classes=100).parameters())


def test_timm_s_models_are_mentioned(models: list[dict[str, Any]]) -> None:
    assert models[-1] == {"model": "timm:NAME, any of timm.list_models() (pip install timm)", "parameters": None}


def test_sweeps_are_listed_with_what_is_done(root: Root, ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    record(ledger, small_plan, slot_of(small_plan, "kd"), [90.0])
    record(ledger, small_plan, slot_of(small_plan, "kd", 1), [90.0], state="failed")
    expected = {"sweep": "small", "trials": 9, "finished": 1, "running": ""}
    assert rows("sweeps", root) == [expected]
    with lock.exclusive(root.sweep("small").lock, "sweep 'small'"):
        assert rows("sweeps", root) == [expected | {"running": "yes"}]


def test_a_sweep_that_died_before_its_plan_does_not_hide_the_others(
    root: Root, ledger: Ledger, small_plan: Plan
) -> None:
    begin(ledger, small_plan)
    Ledger(root.sweep("young").ledger).close()
    found = {row["sweep"]: row for row in rows("sweeps", root)}
    assert set(found) == {"small", "young"}
    assert (found["young"]["trials"], found["young"]["finished"]) == (0, 0)


def test_without_sweeps_the_list_is_empty(root: Root) -> None:
    assert rows("sweeps", root) == []
    assert not root.path.exists()


def test_an_unknown_listing_is_refused_with_those_there_are(root: Root) -> None:
    with pytest.raises(InputError, match=r"unknown listing 'method'; did you mean 'methods'\? valid: datasets, "):
        rows("method", root)


@pytest.mark.parametrize("what", LISTINGS)
def test_listings_print_in_every_format(
    root: Root, ledger: Ledger, small_plan: Plan, models: list[dict[str, Any]], what: str
) -> None:
    with closing(ledger):
        begin(ledger, small_plan)
    found = models if what == "models" else rows(what, root)
    for how in Format:
        text = listing(found, how)
        assert all(re.search(r"\w", line) or set(line) & set("[]{}|\\ ") for line in text.splitlines())
        assert text.count("\n") > len(found)


@pytest.mark.parametrize(("what", "name"), [("methods", "mykd"), ("recipes", "brief")])
def test_what_installed_packages_register_is_listed(site: Site, tmp_path: Path, what: str, name: str) -> None:
    brief = "from trainers import recipe\nrecipe('brief', base='digits', epochs=5)"
    site.install(f"{PACKAGE}.losses", __init__="", losses=f"{MYKD}\n{brief}")
    assert name in [next(iter(row.values())) for row in rows(what, Root(tmp_path))]
