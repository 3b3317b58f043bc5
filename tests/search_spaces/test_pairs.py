"""What a pair may say: its teacher in three ways, and values of its own."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from search_spaces.loader import parse_spec
from search_spaces.schema import Pair, Spec
from trainers.errors import SpecError
from trainers.storage.endings import WEIGHTS

BASE: dict[str, Any] = {
    "name": "pairs",
    "dataset": "digits",
    "recipe": "digits",
    "pairs": ["resnet20 -> resnet8"],
    "methods": ["kd", "dkd", {"dkd": {"beta": [1, 2]}}],
}


def spec_of(**changes: Any) -> Spec:
    return parse_spec(yaml.safe_dump(BASE | changes, sort_keys=False), "spec.yaml")


def the_mistake(**changes: Any) -> str:
    with pytest.raises(SpecError) as caught:
        spec_of(**changes)
    return str(caught.value)


def betas(pair: Pair) -> list[float]:
    return [variant.value["beta"] for grid in pair.methods if grid.name == "dkd" for variant in grid.variants]


def with_values(values: Any) -> dict[str, Any]:
    return {"pairs": ["resnet20 -> resnet8", {"resnet20 -> resnet14": values}]}


def test_a_pair_without_values_has_the_spec_s() -> None:
    spec = spec_of()
    assert spec.pairs[0].recipes == spec.recipes
    assert spec.pairs[0].methods == spec.methods
    assert spec_of(pairs=[{"resnet20 -> resnet8": None}]).pairs == spec.pairs


def test_a_pair_s_values_stand_in_for_defaults_and_yield_to_what_is_spelt_out() -> None:
    plain, own = spec_of(**with_values({"methods": {"dkd": {"beta": 6, "alpha": 3}}})).pairs
    assert betas(plain) == [8, 1, 2]
    assert betas(own) == [6, 1, 2]
    assert {variant.value["alpha"] for grid in own.methods if grid.name == "dkd" for variant in grid.variants} == {3}
    assert own.methods[0] == plain.methods[0]
    assert own.recipes == plain.recipes


def test_a_pair_s_recipe_stands_in_for_the_base_and_yields_to_what_is_spelt_out() -> None:
    values = with_values({"recipe": {"lr": 0.01, "batch_size": 16}})
    plain, own = spec_of(recipe={"base": "digits", "lr": [0.1, 0.2]}, **values).pairs
    assert [variant.value.lr for variant in own.recipes] == [0.1, 0.2]
    assert [variant.value.batch_size for variant in own.recipes] == [16, 16]
    assert [variant.value.batch_size for variant in plain.recipes] == [32, 32]
    assert spec_of(**values).pairs[1].recipes[0].value.lr == 0.01


def test_teachers_train_by_the_spec_s_recipe_not_by_the_pair_s() -> None:
    assert spec_of(**with_values({"recipe": {"lr": 0.01}})).teacher_recipe == spec_of().teacher_recipe


def test_a_method_of_a_pair_may_be_missing_from_the_spec() -> None:
    assert spec_of(**with_values({"methods": {"gdkd": {"w1": 2}}})).pairs[1].methods == spec_of().methods


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"methods": {"dkd": {"betta": 6}}}, "unknown key 'betta'; did you mean 'beta'?"),
        ({"methods": {"dkd": {"beta": -1}}}, "methods.dkd.beta: should be greater than or equal to 0, found -1"),
        ({"methods": {"dkd": {"beta": [1, 2]}}}, "methods.dkd.beta: should be a valid number"),
        ({"methods": {"dkdd": {"beta": 1}}}, "unknown method 'dkdd'; did you mean 'dkd'?"),
        ({"recipe": {"epoch": 6}}, "unknown key 'epoch'; did you mean 'epochs'?"),
        ({"recipe": {"lr": "fast"}}, 'recipe.lr: should be a valid number, found "fast"'),
        ({"method": {}}, "unknown key 'method'; did you mean 'methods'?"),
        ("dkd", 'must be a mapping, found "dkd"'),
    ],
    ids=str,
)
def test_a_mistake_in_a_pair_s_values_is_told_with_its_line(values: Any, message: str) -> None:
    found = the_mistake(**with_values(values))
    assert message in found
    assert re.search(r"spec.yaml:\d+: pairs\[1\].resnet20 -> resnet14", found)


def test_values_that_do_not_go_together_are_refused() -> None:
    assert "milestones must be rising" in the_mistake(**with_values({"recipe": {"milestones": [5, 2]}}))


def test_protocol_paper_holds_nothing_out_whatever_a_pair_says() -> None:
    assert "protocol 'paper'" in the_mistake(protocol="paper", **with_values({"recipe": {"val_fraction": 0.1}}))


def test_a_pair_with_values_is_the_same_pair() -> None:
    twice = ["resnet20 -> resnet8", {"resnet20 -> resnet8": {"recipe": {"lr": 0.1}}}]
    assert "the pair resnet20 -> resnet8 stands here twice" in the_mistake(pairs=twice)


def test_a_teacher_is_an_architecture_a_stored_one_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "teacher.pth"
    file.write_bytes(b"anything: it is read when the plan is made")
    pairs = spec_of(pairs=["resnet20 -> resnet8", "resnet20@0123abcd -> resnet8", f"{file} -> resnet8"]).pairs
    assert [pair.kind for pair in pairs] == ["architecture", "stored", "file"]
    assert "there is no file nowhere/t.pth" in the_mistake(pairs=["nowhere/t.pth -> resnet8"])
    assert "unknown model 'resnet21'" in the_mistake(pairs=["resnet21@0123abcd -> resnet8"])


def test_a_method_may_stand_inside_a_method() -> None:
    spec = spec_of(methods=[{"dhkd": {"main": ["kd", {"gdkd": {"w2": 4}}]}}])
    mains = [variant.value["main"] for variant in spec.methods[0].variants]
    assert [main["name"] for main in mains] == ["kd", "gdkd"]
    assert mains[1]["params"]["w2"] == 4
    mistake = the_mistake(methods=[{"dhkd": {"main": ["kd", "crd"]}}])
    assert "methods[0].dhkd.main[1]: unknown method for the main head 'crd'" in mistake
    assert "gdkd: w9" in the_mistake(methods=[{"dhkd": {"main": {"gdkd": {"w9": 4}}}}])


# -- teachers in files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [*WEIGHTS, ".pth.tar", ".TH", ".Ckpt", ".PTH.TAR"])
def test_every_usual_ending_names_a_file(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"resnet20{ending}"
    file.touch()
    (pair,) = spec_of(pairs=[f"{file} -> resnet8"]).pairs
    assert pair.kind == "file"
    assert f"there is no file nowhere/t{ending}" in the_mistake(pairs=[f"nowhere/t{ending} -> resnet8"])


@pytest.mark.parametrize("name", ["teacher", "teacher.pkl", "teachers.tar.gz", "resnet20 (best)"])
def test_a_file_that_is_there_is_one_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert spec_of(pairs=[f"{tmp_path / name} -> resnet8"]).pairs[0].kind == "file"
    assert "unknown model" in the_mistake(pairs=["nowhere/teacher -> resnet8"])


def test_a_model_s_name_is_no_file_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet20").touch()
    assert spec_of().pairs[0].kind == "architecture"


def test_the_home_folder_may_be_written_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "t.pth").touch()
    (pair,) = spec_of(pairs=["~/t.pth -> resnet8"]).pairs
    assert (pair.kind, pair.teacher) == ("file", "~/t.pth")
    assert "there is no file ~/u.pth" in the_mistake(pairs=["~/u.pth -> resnet8"])
    assert "there is no file ~nobody-here/u.pth" in the_mistake(pairs=["~nobody-here/u.pth -> resnet8"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "t.pth").touch()
    return tmp_path / "t.pth"


@pytest.mark.parametrize(
    ("said", "mean", "std"),
    [
        ({"mean": 0.5, "std": 0.25}, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        ({"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}, (0.1, 0.2, 0.3), (1, 1, 1)),
    ],
)
def test_a_pair_says_what_the_teacher_in_a_file_was_trained_with(
    file: Path, said: dict[str, Any], mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    plain, own = spec_of(pairs=["resnet20 -> resnet8", {f"{file} -> resnet8": {"teacher": said}}]).pairs
    assert plain.normalisation is None
    assert own.normalisation is not None
    assert (own.normalisation.mean, own.normalisation.std) == (mean, std)
    assert own.recipes == plain.recipes


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"mean": 123.7, "std": 58.4}, "less than or equal to 1"),
        ({"mean": 0.5}, "std"),
        ({"mean": 0.5, "std": 0}, "should be greater than"),
        ({"mean": [0.5, 0.5], "std": 1}, "mean"),
        ({"mean": 0.5, "std": 1, "size": 3}, "size"),
        (0.5, "teacher"),
    ],
)
def test_a_mistake_in_what_a_pair_says_of_its_teacher_is_told(file: Path, said: Any, message: str) -> None:
    found = the_mistake(pairs=[{f"{file} -> resnet8": {"teacher": said}}])
    assert message in found
    assert re.search(r"spec.yaml:\d+: pairs\[0\]", found)


def test_mean_and_std_are_said_of_files_alone() -> None:
    said = {"teacher": {"mean": 0.5, "std": 0.5}}
    assert "others have the data set's" in the_mistake(pairs=[{"resnet20 -> resnet8": said}])
    assert "its own in its passport" in the_mistake(pairs=[{"resnet20@0123abcd -> resnet8": said}])


def test_all_pairs_of_a_file_say_the_same(file: Path) -> None:
    one, other = ({"teacher": {"mean": mean, "std": 0.5}} for mean in (0.5, 0.4))
    same = spec_of(pairs=[{f"{file} -> resnet8": one}, {f"{file} -> resnet14": copy.deepcopy(one)}]).pairs
    assert same[0].normalisation == same[1].normalisation
    for second in (other, None):
        mistake = the_mistake(pairs=[{f"{file} -> resnet8": one}, {f"{file} -> resnet14": second}])
        assert "says another mean and std (`teacher:`), or none" in mistake
