"""A trial has the same key in every release: what came later is in it only where it changes what is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model

from trainers import config
from trainers.config import DatasetConfig, MethodConfig, Recipe, TeacherConfig, TrialConfig
from trainers.data import DATASETS
from trainers.distillers import METHODS
from trainers.storage.content import content_key

GOLDEN = json.loads((Path(__file__).with_name("keys.json")).read_text())
"""Keys of the first release that kept results. They stay, and new ones are added: `python -m tests.trainers.test_keys`
prints them all."""
LATER = dict.fromkeys(GOLDEN["later"]["TrialConfig"], True) | {"recipe": set(GOLDEN["later"]["Recipe"])}
"""Fields that the examples have at the value at which they are no part of a key."""
ADVICE = (
    "results that exist would be trained again. A field that came later belongs into config.LATER_PARAMS or"
    " LATER_OPTIONS, with the value that trains as before; a recipe's needs such a value as its default"
)


def trial(method: str = "scratch", params: dict[str, Any] | None = None, **changes: Any) -> TrialConfig:
    fields: dict[str, Any] = {
        "dataset": DatasetConfig(name="digits", options={"image_size": 16}, content="00112233aabbccdd"),
        "model": "resnet8",
        "teacher": None if method == "scratch" else TeacherConfig(architecture="resnet20", hash="0123456789abcdef"),
        "method": MethodConfig(name=method, params=params or {}),
        "recipe": Recipe(),
        "seed": 0,
    }
    return TrialConfig(**(fields | changes))


def dhkd(**changes: Any) -> TrialConfig:
    main = {"name": "kd", "params": {"temperature": 4.0, "kd_weight": 0.9, "ce_weight": 0.1}}
    return trial("dhkd", {"alpha": 0.5, "head": "linear", "alpha_epochs": None, "main": main} | changes)


TRIALS: dict[str, TrialConfig] = {
    "scratch": trial(),
    "teacher": trial(model="resnet20", recipe=Recipe(epochs=60, lr=0.1, milestones=(30, 45)), seed=7),
    "kd": trial("kd", {"temperature": 4.0, "kd_weight": 0.9, "ce_weight": 0.1}),
    "dhkd": dhkd(),
}


def method_key(name: str) -> str:
    return trial(name, METHODS[name].Params().model_dump(mode="json")).key


def dataset_key(name: str) -> str:
    options = DATASETS[name].model_construct().identity
    return trial(dataset=DatasetConfig(name=name, options=options, content="00112233aabbccdd")).key


@pytest.mark.parametrize("name", TRIALS)
def test_trials_have_the_keys_that_they_had(name: str) -> None:
    assert TRIALS[name].key == GOLDEN["trials"][name], ADVICE


@pytest.mark.parametrize("name", sorted(METHODS))
def test_methods_have_the_keys_that_they_had(name: str) -> None:
    assert name in GOLDEN["methods"], f"new: add {method_key(name)} to tests/trainers/keys.json"
    assert method_key(name) == GOLDEN["methods"][name], ADVICE


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_data_sets_have_the_keys_that_they_had(name: str) -> None:
    assert name in GOLDEN["datasets"], f"new: add {dataset_key(name)} to tests/trainers/keys.json"
    assert dataset_key(name) == GOLDEN["datasets"][name], ADVICE


def test_the_fields_of_every_key_are_those_that_they_were() -> None:
    parts = (Recipe, DatasetConfig, TeacherConfig, MethodConfig, TrialConfig)
    assert {part.__name__: sorted(part.always) for part in parts} == GOLDEN["always"]


def test_what_a_later_field_is_left_out_at_never_changes() -> None:
    """A default that became another one would give two different trials one key."""
    parts = (Recipe, DatasetConfig, TeacherConfig, MethodConfig, TrialConfig)
    later = {
        part.__name__: {
            name: field.get_default(call_default_factory=True)
            for name, field in part.model_fields.items()
            if name not in part.always
        }
        for part in parts
    }
    assert {name: fields for name, fields in later.items() if fields} == GOLDEN["later"]
    assert GOLDEN["later_params"] == config.LATER_PARAMS
    assert GOLDEN["later_options"] == config.LATER_OPTIONS


def test_a_later_field_of_the_recipe_is_in_the_key_where_it_changes_something() -> None:
    later = create_model("Later", __base__=Recipe, smoothing=(float, 0.0), layers=(tuple[int, ...], (1, 2)))
    release = create_model("Release", __base__=TrialConfig, recipe=(later, ...))

    def key(**fields: Any) -> str:
        return release(**(trial().model_dump() | {"recipe": later(**fields)})).key

    assert key() == key(smoothing=0.0, layers=(1, 2)) == trial().key
    assert key(lr=0.1) == trial(recipe=Recipe(lr=0.1)).key
    assert len({key(), key(smoothing=0.1), key(layers=(1,)), key(lr=0.1)}) == 4


@pytest.mark.parametrize("name", TRIALS)
def test_a_later_field_of_the_trial_is_in_the_key_where_it_changes_something(name: str) -> None:
    later = create_model("Later", __base__=TrialConfig, ensemble=(int, 1))
    content = TRIALS[name].model_dump()
    assert later(**content).key == TRIALS[name].key
    assert later(**content, ensemble=2).key != TRIALS[name].key


def test_a_later_hyperparameter_is_in_the_key_where_it_changes_something(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dhkd().key
    assert dhkd(margin=0.0).key != before
    monkeypatch.setitem(config.LATER_PARAMS, "dhkd", {"margin": 0.0})
    assert dhkd(margin=0.0).key == dhkd().key == before
    assert dhkd(margin=0.5).key != before
    assert trial("kd", {"margin": 0.0}).key != trial("kd").key


def test_a_later_hyperparameter_of_the_main_head_s_method_is_as_one_of_the_method_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, main = dhkd().key, dhkd().method.params["main"]
    longer = main | {"params": main["params"] | {"margin": 0.0}}
    monkeypatch.setitem(config.LATER_PARAMS, "kd", {"margin": 0.0})
    assert dhkd(main=longer).key == before
    assert dhkd(main=main | {"params": main["params"] | {"margin": 0.5}}).key != before


def test_a_later_option_of_a_data_set_is_in_the_key_where_it_changes_something(monkeypatch: pytest.MonkeyPatch) -> None:
    def grey(value: bool) -> TrialConfig:
        options = {"image_size": 16, "grey": value}
        return trial(dataset=DatasetConfig(name="digits", options=options, content="00112233aabbccdd"))

    monkeypatch.setitem(config.LATER_OPTIONS, "digits", {"grey": False})
    assert grey(False).key == trial().key
    assert grey(True).key != trial().key


def test_a_key_is_the_hash_of_its_content() -> None:
    for config_of in TRIALS.values():
        assert config_of.key == content_key(config_of.key_content())
        assert config_of.key_content() == config_of.model_dump(mode="json", exclude=LATER)


@pytest.mark.parametrize("name", TRIALS)
def test_a_user_s_code_is_in_the_key_of_the_trials_that_use_it(name: str) -> None:
    own = TRIALS[name].model_copy(update={"code": {"method mykd": "0123456789abcdef"}})
    other = own.model_copy(update={"code": {"method mykd": "fedcba9876543210"}})
    assert len({TrialConfig(**config_of.model_dump()).key for config_of in (TRIALS[name], own, other)}) == 3


if __name__ == "__main__":
    found = {
        "trials": {name: of.key for name, of in TRIALS.items()},
        "methods": {name: method_key(name) for name in sorted(METHODS)},
        "datasets": {name: dataset_key(name) for name in sorted(DATASETS)},
    }
    print(json.dumps(found, indent=2))
