"""The appendix says what the trainers, the plan and the ledger know."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweep.ledger import store
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.report import appendix
from sweep.report.history import History, read
from tests.support.examples import begin, record, small_spec, teacher_of
from trainers.config import Recipe
from trainers.data import DATASETS, TrainingData
from trainers.models.cost import size

SMALL = {"base": "digits", "epochs": 3, "samples_per_class": 8}


def told(ledger: Ledger, **changes: object) -> History:
    spec = small_spec(**changes)
    plan = build_plan(spec)
    begin(ledger, plan, spec)
    for slot in plan.slots:
        record(ledger, plan, slot, [80.0], made_with={"torch": "2.11.0"})
    return read(ledger)


def lines_of(text: str) -> dict[str, list[str]]:
    """A table's cells by the first of each line."""
    rows = re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return {re.sub("<[^>]+>", "", row[0]): [re.sub("<[^>]+>", "", cell) for cell in row[1:]] for row in cells}


def test_networks_are_what_the_trainers_count(ledger: Ledger) -> None:
    history = told(ledger)
    found = lines_of(appendix.networks(history))
    for name, role in (("resnet20", "teacher"), ("resnet8", "student")):
        counted = size(name, 10, (8, 8))
        assert found[name] == [role, f"{counted.parameters:,}", f"{counted.macs:,}"]
    assert list(found)[1:] == ["resnet20", "resnet8"]  # the largest first


@pytest.mark.parametrize("fraction", [0.1, 0.0])
def test_images_are_counted_as_they_are_cut_for_training(ledger: Ledger, fraction: float) -> None:
    protocol = "validation" if fraction else "paper"
    history = told(ledger, recipe=SMALL | {"val_fraction": fraction}, protocol=protocol)
    slot = history.plan.students[0]
    data = DATASETS["digits"].model_validate(history.plan.source).load()
    cut = TrainingData.cut(data, Recipe.model_validate(slot.config["recipe"]))
    counts = [f"{len(part):,}" if part is not None else "0" for part in (cut.train, cut.val, cut.test)]
    assert lines_of(appendix.images(history))["digits"] == counts


def test_recipes_that_cut_the_images_differently_have_a_line_each(ledger: Ledger) -> None:
    history = told(ledger, recipe=SMALL | {"samples_per_class": [8, 4]})
    found = lines_of(appendix.images(history))
    assert found["samples_per_class=8"][0] == "80"
    assert found["samples_per_class=4"][0] == "40"


def test_where_images_have_no_label_the_others_are_counted(ledger: Ledger) -> None:
    history = told(ledger, recipe=SMALL | {"samples_per_class": 8, "labelled_fraction": [1, 0.25]})
    found = lines_of(appendix.images(history))
    assert (found["labelled_fraction=1"][0], found["labelled_fraction=1"][-1]) == ("80", "80")
    assert (found["labelled_fraction=0.25"][0], found["labelled_fraction=0.25"][-1]) == ("80", "20")


def test_parts_of_an_earlier_release_tell_of_no_labels(ledger: Ledger, small_plan: Plan) -> None:
    body = deepcopy(small_plan.to_json())
    for part in body["parts"]:
        del part["labelled"], part["labelled_fraction"]
    ledger.append("sweep", body={"spec": "name: small\n", "host": "here", "pid": 1})
    ledger.append("plan", body=body)
    (counts,) = [cells for name, cells in lines_of(appendix.images(read(ledger))).items() if name == "digits"]
    assert len(counts) == 3


def test_the_recipe_has_every_field_and_says_where_rows_differ(ledger: Ledger) -> None:
    history = told(ledger, recipe=SMALL | {"lr": [0.05, 0.1]}, methods=["kd", "scratch"])
    found = lines_of(appendix.recipe(history))
    assert found.keys() - {"field"} == set(Recipe.model_fields)
    assert found["epochs"] == ["3", "3"]
    names = [config.name for config in history.configurations]
    slow, fast = ([name for name in names if f"lr={lr} " in name] for lr in ("0.05", "0.1"))
    assert found["lr"] == [f"0.05: {', '.join(slow)}; 0.1: {', '.join(fast)}", "0.05"]


def test_a_field_that_a_pair_brings_names_the_pairs(ledger: Ledger) -> None:
    own: dict[str, object] = {"resnet14 -> resnet8": {"recipe": {"lr": 0.02}}}
    found = lines_of(appendix.recipe(told(ledger, pairs=["resnet20 -> resnet8", own])))
    assert found["lr"][0] == "0.05: resnet20→resnet8; 0.02: resnet14→resnet8"
    assert found["momentum"][0] == "0.9"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0.5, "0.5"),
        ((1, 2.0), "[1, 2]"),
        ({"name": "scratch", "params": {}}, "scratch"),
        ({"name": "kd", "params": {"alpha": 0.9, "temperature": 4.0}}, "kd(alpha=0.9, temperature=4)"),
    ],
)
def test_values_are_written_as_in_a_spec(value: object, text: str) -> None:
    assert appendix.written(value) == text


def test_every_hyperparameter_of_a_row_is_there(ledger: Ledger) -> None:
    history = told(ledger, methods=["scratch", "kd", {"dhkd": {"alpha": [0.5, 1], "main": "gdkd"}}])
    found = lines_of(appendix.hyperparameters(history))
    for config in history.configurations:
        params = config.row.config["method"]["params"]
        (text,) = found[config.name]
        assert all(f"{name}={appendix.written(value)}" in text for name, value in params.items())
    assert found["scratch"] == ["none"]
    assert "main=gdkd(" in found["dhkd α=1"][0]
    assert "w2=" in found["dhkd α=1"][0]


def test_of_very_many_rows_the_first_are_listed(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appendix, "LISTED", 2)
    text = appendix.hyperparameters(told(ledger))
    assert len(lines_of(text)) == 2 + 1
    assert "The first 2 of 4 are listed." in text


def test_teachers_have_the_hash_that_their_trial_made(ledger: Ledger) -> None:
    history = told(ledger)
    made = teacher_of(history.plan.teachers[0])
    assert lines_of(appendix.teachers(history))["resnet20"] == [
        made.hash,
        "trained here, 3 epochs, seed 0",
        "80.00",
    ]


def test_dates_are_those_of_the_first_start_and_the_last_end(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = small_spec()
    plan = build_plan(spec)
    times = iter([1000.0, 1000.0, 86_400.0, 86_450.0, 172_800.0, 200_000.0, 200_001.0, 200_002.0])
    monkeypatch.setattr(store, "time", SimpleNamespace(time=times.__next__))
    begin(ledger, plan, spec)
    record(ledger, plan, plan.students[0], [80.0])
    record(ledger, plan, plan.students[1], [80.0], "interrupted")
    found = appendix.versions(read(ledger))
    assert "<dd>1970-01-02 00:00 UTC</dd>" in found
    assert "<dd>1970-01-03 00:00 UTC</dd>" in found


def test_releases_are_counted_by_trial(ledger: Ledger) -> None:
    history = told(ledger)
    assert f"torch 2.11.0 ({len(history.trials)} trials)" in appendix.versions(history)


def test_a_plan_of_an_earlier_release_has_neither_networks_nor_images(ledger: Ledger, small_plan: Plan) -> None:
    body = small_plan.to_json()
    del body["networks"], body["parts"]
    ledger.append("sweep", body={"spec": "name: small\n", "host": "here", "pid": 1})
    ledger.append("plan", body=body)
    history = read(ledger)
    assert (appendix.networks(history), appendix.images(history)) == ("", "")
    found = appendix.section(history)
    assert "Networks" not in found.content
    assert "Effective recipe" in found.content


def test_parts_are_folded_and_open_in_print(ledger: Ledger) -> None:
    text = appendix.section(told(ledger)).content
    assert text.count("<details>") == text.count("</details>") == 6
    rules = (Path(appendix.__file__).parent / "page.css").read_text().partition("@media print")[2]
    assert "details::details-content" in rules
