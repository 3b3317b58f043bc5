"""What a spec may search, for what, and at what cost; and every mistake with its line."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from search_spaces.schema import Budget, Pair, Search, Spec, Variant
from search_spaces.space import all_points, corners
from tests.support.spec_lines import mistakes_in, parsed
from trainers.distillers import METHODS
from trainers.errors import SpecError
from trainers.recipes import RECIPES

SECTIONS = {
    "name": "small",
    "dataset": "digits",
    "recipe": "digits",
    "pairs": "[resnet20 -> resnet8]",
    "methods": "[kd, gdkd: {w2: {range: [1, 16]}}]",
}
"""A spec of one line per section; what a test adds comes after them."""
LAST = len(SECTIONS) + 1


def spec(**sections: str) -> Spec:
    return parsed(SECTIONS | sections)


def mistakes(**sections: str) -> list[str]:
    return mistakes_in(SECTIONS | sections)


def the_mistake(**sections: str) -> str:
    found = mistakes(**sections)
    assert len(found) == 1, found
    return found[0]


def searched(method: str, **sections: str) -> Variant:
    """The only variant of the only method."""
    (grid,) = spec(methods=f"[{method}]", **sections).methods
    (variant,) = grid.variants
    return variant


# -- ranges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "dimension"),
    [
        ("w2: {range: [1, 16]}", {"range": [1, 16], "log": False, "step": None, "integer": False}),
        ("w2: {range: [0.5, 16.0], log: true}", {"range": [0.5, 16], "log": True, "step": None, "integer": False}),
        ("w2: {range: [1e-3, 1e2], log: true}", {"range": [1e-3, 100], "log": True, "step": None, "integer": False}),
        ("w2: {range: [0, 1], step: 0.25}", {"range": [0, 1], "log": False, "step": 0.25, "integer": False}),
        ("k: {range: [2, 9]}", {"range": [2, 9], "log": False, "step": None, "integer": True}),
        ("k: {range: [2, 9], log: true}", {"range": [2, 9], "log": True, "step": None, "integer": True}),
        ("k: {range: [1, 9], step: 2.0}", {"range": [1, 9], "log": False, "step": 2, "integer": True}),
        ("k: {range: [2, 9], step: 3}", {"range": [2, 8], "log": False, "step": 3, "integer": True}),
        ("w2: {range: [0.1, 0.45], step: 0.1}", {"range": [0.1, 0.4], "log": False, "step": 0.1, "integer": False}),
        ("w2: {range: [0.1, 0.3], step: 0.1}", {"range": [0.1, 0.3], "log": False, "step": 0.1, "integer": False}),
    ],
)
def test_a_range_holds_what_its_field_holds(written: str, dimension: dict[str, Any]) -> None:
    variant = searched(f"gdkd: {{{written}}}")
    name = written.partition(":")[0]
    assert variant.space == {name: dimension}
    assert variant.chosen == {}
    assert set(variant.value) == set(METHODS["gdkd"].Params.model_fields)
    assert variant.value[name] == dimension["range"][0]
    assert isinstance(variant.value[name], int if dimension["integer"] else float)


def test_a_field_that_may_be_null_has_a_range_of_its_numbers() -> None:
    space = searched("dhkd: {alpha_epochs: {range: [1, 50]}}").space
    assert space == {"alpha_epochs": {"range": [1, 50], "log": False, "step": None, "integer": True}}


def test_a_space_is_the_same_however_its_numbers_are_written() -> None:
    spaces = [
        searched(f"gdkd: {{w2: {written}}}").space
        for written in ("{range: [1, 4]}", "{range: [1.0, 4.0], log: false}", "{range: [1, 4e+0], step: null}")
    ]
    assert all(repr(sorted(space["w2"].items())) == repr(sorted(spaces[0]["w2"].items())) for space in spaces)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("w2: {range: [16, 1]}", "w2: range must rise, found [16, 1]"),
        ("w2: {range: [2, 2]}", "w2: range must rise, found [2, 2]"),
        ("w2: {range: [0, 2], log: true}", "w2: a logarithmic range must be above 0, found [0, 2]"),
        ("w2: {range: [1, 2], log: true, step: 0.5}", "w2: a logarithmic range has no step"),
        ("w2: {range: [1, 2], step: 0}", "w2.step: should be greater than 0, found 0"),
        ("w2: {range: [1, 2], step: -1}", "w2.step: should be greater than 0, found -1"),
        ("w2: {range: [1, 2], step: 5}", "w2: step 5 is longer than the range, found [1, 2]"),
        ("w2: {range: [-1, 2]}", "w2.range[0]: should be greater than or equal to 0, found -1"),
        ("w2: {range: [1, two]}", 'w2.range[1]: should be a valid number, found "two"'),
        ("w2: {range: [null, 2]}", "w2.range[0]: should be a valid number, found nothing"),
        ("w2: {range: [true, 2]}", "w2.range[0]: should be a valid number, found true"),
        ("w2: {range: [1, .inf]}", "w2.range[1]: should be a finite number, found Infinity"),
        ("w2: {range: [1]}", "w2.range: must be [lowest, highest], found [1]"),
        ("w2: {range: [1, 2, 3]}", "w2.range: must be [lowest, highest], found [1, 2, 3]"),
        ("w2: {range: 5}", "w2.range: must be [lowest, highest], found 5"),
        ("w2: {range: }", "w2.range: must be [lowest, highest], found nothing"),
        ("w2: {range: [1, 2], log: 3}", "w2.log: should be a valid boolean, found 3"),
        ("w2: {range: [1, 2], lgo: true}", "w2.lgo: unknown key 'lgo'; did you mean 'log'? valid: log, range, step"),
        ("w2: {range: [1, 2], choice: [1]}", "w2.choice: unknown key 'choice'; valid: log, range, step"),
        ("k: {range: [0, 9]}", "k.range[0]: should be greater than or equal to 1, found 0"),
        ("k: {range: [2, 8.5]}", "k.range[1]: should be a valid integer, found 8.5"),
        ("k: {range: [2, 9], step: 1.5}", "k.step: must be a whole number, as the field's values are, found 1.5"),
        ("k: {range: [2, 9], step: 0.5}", "k.step: must be a whole number"),
        ("k: [{range: [1, 2]}]", 'k[0]: should be a valid integer, found {"range": [1, 2]}'),
        ("kk: {range: [2, 9]}", "kk: unknown key 'kk'; did you mean 'k'? valid: "),
    ],
)
def test_a_range_that_cannot_be_is_told_with_its_line(written: str, message: str) -> None:
    assert the_mistake(methods=f"[gdkd: {{{written}}}]").startswith(f"5: methods[0].gdkd.{message}")


@pytest.mark.parametrize("written", ["kl: {range: [1, 2]}", "standardize: {range: [0, 1]}"])
def test_what_holds_no_numbers_has_no_range(written: str) -> None:
    found = mistakes(methods=f"[gdkd: {{{written}}}]")
    assert [line.split(": ")[1].rpartition(".")[2] for line in found] == ["range[0]", "range[1]"]


# -- choices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("gdkd: {k: {choice: [7, 3, 5]}}", [7, 3, 5]),
        ("gdkd: {w2: {choice: [1, 2.5]}}", [1.0, 2.5]),
        ("gdkd: {w2: {choice: [4]}}", [4.0]),
        ("gdkd: {kl: {choice: [reverse, both]}}", ["reverse", "both"]),
        ("dhkd: {align: {choice: [true, false]}}", [True, False]),
        ("dhkd: {alpha_epochs: {choice: [null, 50]}}", [None, 50]),
        ("mlkd: {temperatures: {choice: [[2, 4], [3]]}}", [[2.0, 4.0], [3.0]]),
    ],
)
def test_a_choice_takes_whatever_its_field_takes(method: str, values: list[Any]) -> None:
    variant = searched(method)
    ((name, dimension),) = variant.space.items()
    assert repr(dimension) == repr({"choice": values})
    assert variant.value[name] == values[0]


def test_methods_inside_a_method_may_be_chosen_among() -> None:
    variant = searched("dhkd: {main: {choice: [kd, {gdkd: {w2: 4}}, scratch]}}")
    names = [value["name"] for value in variant.space["main"]["choice"]]
    assert names == ["kd", "gdkd", "scratch"]
    assert variant.space["main"]["choice"][1]["params"]["w2"] == 4.0
    assert set(variant.space["main"]["choice"][1]["params"]) == set(METHODS["gdkd"].Params.model_fields)
    assert variant.value["main"] == variant.space["main"]["choice"][0]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("dhkd: {alpha: {choice: []}}", "alpha.choice: list should have at least 1 item"),
        ("dhkd: {alpha: {choice: 3}}", "alpha.choice: should be a valid array, found 3"),
        ("dhkd: {alpha: {choice: [1, -1]}}", "alpha.choice[1]: should be greater than or equal to 0, found -1"),
        ("dhkd: {alpha: {choice: [1, null]}}", "alpha.choice[1]: should be a valid number, found nothing"),
        ("dhkd: {alpha: {choice: [1, 2, 1.0]}}", "alpha: the value 1.0 stands twice in this choice"),
        ("dhkd: {main: {choice: [kd, scratch, {kd: {}}]}}", 'main: the value {"kd": {}} stands twice in this choice'),
        ("dhkd: {alpha: {choice: [1, 2], log: true}}", "alpha.log: unknown key 'log'; valid: choice"),
        ("dhkd: {main: {choice: [kd, {gdkdd: {}}]}}", "main.choice[1]: unknown method for the main head 'gdkdd'"),
        ("dhkd: {main: {gdkd: {w2: {range: [1, 4]}}}}", "main: gdkd: w2: "),
    ],
)
def test_a_choice_that_cannot_be_is_told_with_its_line(method: str, message: str) -> None:
    assert the_mistake(methods=f"[{method}]").startswith(f"5: methods[0].dhkd.{message}")


# -- grids, recipes and pairs ----------------------------------------------------------------------------------------


def test_grids_fixed_values_and_searches_mix() -> None:
    (grid,) = spec(methods="[gdkd: {w1: 2, w2: [1, 4], k: {choice: [3, 5]}, w0: {range: [1, 2]}}]").methods
    assert [variant.chosen for variant in grid.variants] == [{"w1": 2.0, "w2": 1.0}, {"w1": 2.0, "w2": 4.0}]
    assert all(list(variant.space) == ["k", "w0"] for variant in grid.variants)


def test_recipe_fields_are_searched_too() -> None:
    found = spec(recipe="{base: digits, lr: {range: [0.01, 0.1], log: true}, epochs: {choice: [5, 9]}, pad: [0, 1]}")
    assert [variant.value.pad for variant in found.recipes] == [0, 1]
    assert [(variant.value.lr, variant.value.epochs) for variant in found.recipes] == [(0.01, 5)] * 2
    assert found.recipes[0].space == {
        "lr": {"range": [0.01, 0.1], "log": True, "step": None, "integer": False},
        "epochs": {"choice": [5, 9]},
    }
    assert found.pairs[0].recipes == found.recipes


def test_teachers_are_not_searched() -> None:
    found = spec(recipe="{base: digits, lr: {range: [0.01, 0.1]}, epochs: {choice: [5, 9]}, pad: 0}").teacher_recipe
    digits = RECIPES["digits"]
    assert (found.lr, found.epochs, found.pad) == (digits.lr, digits.epochs, 0)
    message = f"{LAST}: teachers.recipe.lr: should be a valid number, found {{"
    assert the_mistake(teachers="{recipe: {lr: {range: [0.1, 0.2]}}}").startswith(message)


def pair_of(values: str, **sections: str) -> Pair:
    (pair,) = spec(pairs=f"[{{resnet20 -> resnet8: {values}}}]", **sections).pairs
    return pair


def test_a_searched_value_wins_over_the_pairs_own() -> None:
    pair = pair_of("{recipe: {lr: 0.02}, methods: {gdkd: {w1: 2, w2: 3}}}", recipe="{lr: {range: [0.1, 0.2]}}")
    (gdkd,) = pair.methods[1].variants
    assert gdkd.space["w2"]["range"] == [1, 16]
    assert (gdkd.value["w1"], gdkd.value["w2"]) == (2.0, 1.0)
    assert pair.recipes[0].space["lr"]["range"] == [0.1, 0.2]


def test_a_pairs_own_values_are_fixed_ones() -> None:
    for values in ("{methods: {gdkd: {w1: {range: [1, 3]}}}}", "{recipe: {lr: {range: [0.1, 0.2]}}}"):
        found = the_mistake(pairs=f"[{{resnet20 -> resnet8: {values}}}]")
        assert found.startswith("4: pairs[0].resnet20 -> resnet8.")
        assert "should be a valid number, found" in found


def test_a_pairs_own_values_must_go_with_every_searched_one() -> None:
    recipe = "{base: digits, epochs: {range: [3, 9]}}"
    assert pair_of("{recipe: {warmup_epochs: 1}}", recipe=recipe).recipes[0].value.warmup_epochs == 1
    found = the_mistake(pairs="[{resnet20 -> resnet8: {recipe: {warmup_epochs: 3}}}]", recipe=recipe)
    assert found.startswith("3: recipe: warmup_epochs (3) must be fewer than epochs (3)")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("epochs: {range: [1, 9]}", "warmup_epochs (2) must be fewer than epochs (1)"),
        ("warmup_epochs: {range: [0, 60]}", "warmup_epochs (60) must be fewer than epochs (60)"),
        ("epochs: {range: [3, 9]}, warmup_epochs: {range: [0, 5]}", "warmup_epochs (5) must be fewer than epochs (3)"),
        ("epochs: [9, 5], warmup_epochs: {range: [0, 6]}", "warmup_epochs (6) must be fewer than epochs (5)"),
        ("milestones: {choice: [[3], [5, 3], [4]]}", "milestones must be rising epochs from 1 on, found [5, 3]"),
    ],
)
def test_no_searched_values_may_contradict_each_other(fields: str, message: str) -> None:
    assert the_mistake(recipe=f"{{base: digits, {fields}}}").startswith(f"3: recipe: {message}")


def test_corners_hold_every_pair_of_outermost_values() -> None:
    space = {"a": {"range": [0, 1]}, "b": {"choice": ["x", "y", "z"]}, "c": {"range": [5, 9]}}
    found = corners(space)
    assert found[0] == {"a": 0, "b": "x", "c": 5}
    assert {(point["a"], point["b"]) for point in found} == {(a, b) for a in (0, 1) for b in "xyz"}
    assert {(point["b"], point["c"]) for point in found} == {(b, c) for b in "xyz" for c in (5, 9)}
    assert {(point["a"], point["c"]) for point in found} == {(a, c) for a in (0, 1) for c in (5, 9)}
    assert found[-1] == {"a": 1, "b": "z", "c": 9}
    assert corners({}) == []


# -- the section `search` --------------------------------------------------------------------------------------------


def test_a_search_has_defaults() -> None:
    expected = Search(metrics=("val_acc",))
    assert spec().search == spec(search="{}").search == expected
    assert (expected.trials, expected.sampler, expected.pruner, expected.confirm) == (20, "tpe", "asha", 1)
    assert not expected.deterministic


def test_a_search_is_read_as_written() -> None:
    written = (
        "{trials: 5, sampler: qmc, pruner: median, grace: 3, reduction: 4, confirm: 2, seed: 7, deterministic: true}"
    )
    assert spec(search=written).search == Search(
        trials=5,
        sampler="qmc",
        metrics=("val_acc",),
        pruner="median",
        grace=3,
        reduction=4,
        confirm=2,
        seed=7,
        deterministic=True,
    )


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{trials: 0}", "search.trials: should be greater than or equal to 1, found 0"),
        ("{trials: 10001}", "search.trials: should be less than or equal to 10000, found 10001"),
        ("{trials: true}", "search.trials: should be a valid integer, found true"),
        ("{confirm: 4, race: 2}", "search.race: should be greater than or equal to 3, found 2"),
        ("{race: 5}", "search: race needs several configurations: say with confirm how many race, 4 for example"),
        (
            "{confirm: 4, race: 5, metrics: [val_acc, student_macs]}",
            "search: a race is about one accuracy: give one of val_acc and test_acc as metrics, or none",
        ),
        ("{confirm: 0}", "search.confirm: should be greater than or equal to 1, found 0"),
        ("{reduction: 1}", "search.reduction: should be greater than or equal to 2, found 1"),
        ("{grace: 0}", "search.grace: should be greater than or equal to 1, found 0"),
        ("{seed: -1}", "search.seed: should be greater than or equal to 0, found -1"),
        ("{pruner: ahsa}", "search.pruner: should be 'asha', 'median', 'curves' or 'none', found \"ahsa\""),
        (
            "{sampler: tpa}",
            "search.sampler: should be 'tpe', 'gp', 'curves', 'random', 'qmc', 'grid' or 'brute_force', found",
        ),
        ("{first: [{w3: 2}]}", 'search.first[0]: must give all fields of a search, which are w2; found {"w3": 2}'),
        ("{first: [{w2: 2}, {w2: 17}]}", "search.first[1]: w2 must be one of the values that are searched, found 17"),
        ("{first: [{w2: true}]}", "search.first[0]: w2 must be one of the values that are searched, found true"),
        ("{first: {w2: 2}}", "search.first: "),
        (
            "{warm_start: ../other}",
            'search.warm_start: must be the name of a sweep below the same root, found "../other"',
        ),
        ("{warm_start: 3}", "search.warm_start: should be a valid string, found 3"),
        ("{transfer: 2}", "search.transfer: should be a valid boolean, "),
        (
            "{warm_start: other, transfer: true}",
            "search: a search begins with the points of one other: give one of warm_start and transfer",
        ),
        ("{pauses: 2, sampler: curves}", "search.pauses: should be a valid boolean, "),
        (
            "{pauses: true}",
            "search: pauses is of searches by curves: give sampler: curves and no other pruner, not asha",
        ),
        ("{metric: val_acc}", "search.metric: unknown key 'metric'; did you mean 'metrics'? valid: "),
        ("5", "search: must be a mapping, found 5"),
        ("", "search: must be a mapping, found nothing"),
    ],
)
def test_a_wrong_search_is_told_with_its_line(written: str, message: str) -> None:
    assert the_mistake(search=written).startswith(f"{LAST}: {message}")


def test_a_race_needs_seeds_that_neither_it_nor_the_search_has_seen() -> None:
    assert spec(search="{confirm: 4, race: 5}").search.race == 5
    needs = "needs two seeds or more: the first is the search's, and what has won is run with the others"
    assert the_mistake(search="{confirm: 4, race: 5}", seeds="1") == f"{LAST}: search.race: {needs}"
    own = "has seeds of its own, 1000000 to 1000004; seeds must be others"
    assert the_mistake(search="{confirm: 4, race: 5}", seeds="[0, 1000004]") == f"{LAST}: search.race: {own}"
    assert spec(search="{confirm: 4, race: 5}", seeds="[0, 1000005]").seeds == (0, 1000005)


@pytest.mark.parametrize("written", ["{}", "{trials: 5}"])
def test_a_search_needs_something_to_search(written: str) -> None:
    message = f"{LAST}: search: nothing in this spec is searched; give a method or the recipe a range or a choice"
    assert the_mistake(search=written, methods="[kd, gdkd: {w2: [1, 2]}]") == message
    assert spec(search=written, methods="[kd]", recipe="{base: digits, lr: {choice: [0.1, 0.2]}}").search


# -- samplers of finitely many points --------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["grid", "brute_force"])
def test_samplers_that_try_everything_need_steps(sampler: str) -> None:
    search = f"{{sampler: {sampler}}}"
    for finite in ("k: {range: [2, 9]}", "w2: {range: [1, 4], step: 0.5}", "k: {range: [2, 9], log: true}"):
        assert spec(search=search, methods=f"[gdkd: {{{finite}, kl: {{choice: [forward, both]}}}}]").search
    message = f"{LAST}: search.sampler: '{sampler}' needs a step (or choice) for "
    assert the_mistake(search=search) == message + "w2"
    two = "[gdkd: {w2: {range: [1, 4], log: true}, k: {range: [2, 3]}, w1: {range: [1, 2]}}]"
    assert the_mistake(search=search, methods=two) == message + "w1, w2"
    assert the_mistake(search=search, recipe="{lr: {range: [0.1, 0.2]}}") == message + "recipe.lr, w2"


@pytest.mark.parametrize("sampler", ["grid", "brute_force"])
def test_samplers_that_try_everything_refuse_what_has_no_end(sampler: str) -> None:
    wide = "{w0: {range: [0, 100], step: 1}, w1: {range: [0, 9.9], step: 0.1}, k: {choice: [3, 5]}}"
    message = f"{LAST}: search.sampler: '{sampler}' has 20,200 points to try; at most 10,000"
    assert the_mistake(search=f"{{sampler: {sampler}}}", methods=f"[gdkd: {wide}]") == message
    joint = {"methods": "[dhkd: {hidden: {range: [1, 9999]}}]", "recipe": "{batch_size: {choice: [32, 64]}}"}
    assert "has 19,998 points" in the_mistake(search=f"{{sampler: {sampler}}}", **joint)
    assert spec(search="{sampler: random}", methods=f"[gdkd: {wide}]").search


@pytest.mark.parametrize("low", [1000, 1100])  # binary fractions make 10,001 points of one and 10,000 of the other
def test_the_points_that_are_counted_are_those_that_a_search_tries(low: int) -> None:
    method = f"gdkd: {{w2: {{range: [{low}, {low}.1], step: 0.00001}}}}"
    tried = len(list(all_points(searched(method).space)))
    try:
        spec(search="{sampler: grid}", methods=f"[{method}]")
    except SpecError as error:
        assert tried > 10_000
        assert f"has {tried:,} points" in str(error)
    else:
        assert tried <= 10_000


# -- what is searched for --------------------------------------------------------------------------------------------


def test_one_searches_for_validation_accuracy_and_the_papers_for_test_accuracy() -> None:
    assert spec().search.metrics == ("val_acc",)
    assert spec(protocol="paper").search.metrics == ("test_acc",)
    assert spec(search="{metrics: [val_acc]}").search.metrics == ("val_acc",)
    assert spec(search="{metrics: [test_acc]}", protocol="paper").search.metrics == ("test_acc",)


def test_several_metrics_are_not_given_up_early() -> None:
    found = spec(search="{metrics: [val_acc, student_macs, device_seconds]}").search
    assert found.metrics == ("val_acc", "student_macs", "device_seconds")
    assert found.pruner == "none"
    assert spec(search="{metrics: [val_acc, student_macs], pruner: none}").search.pruner == "none"
    message = f"{LAST}: search.pruner: with several metrics nothing is given up early; leave this out"
    assert the_mistake(search="{metrics: [val_acc, student_macs], pruner: asha}") == message


@pytest.mark.parametrize(
    ("metrics", "protocol", "message"),
    [
        ("[test_acc]", "validation", "protocol 'validation' chooses nothing on test accuracy, so test_acc cannot be"),
        ("[val_acc, test_acc]", "validation", "protocol 'validation' chooses nothing on test accuracy"),
        ("[val_acc]", "paper", "protocol 'paper' holds nothing out, so val_acc cannot be searched for"),
        ("[student_macs]", "validation", "must be different ones, accuracy first, found ['student_macs']"),
        ("[student_macs, val_acc]", "validation", "must be different ones, accuracy first"),
        ("[val_acc, val_acc]", "validation", "must be different ones, accuracy first"),
    ],
)
def test_metrics_that_do_not_fit_are_told_with_their_line(metrics: str, protocol: str, message: str) -> None:
    found = the_mistake(search=f"{{metrics: {metrics}}}", protocol=protocol)
    assert found.startswith(f"{LAST}: search.metrics: {message}")


def test_metrics_are_a_list_of_known_ones() -> None:
    assert the_mistake(search="{metrics: val_acc}").startswith(f"{LAST}: search.metrics: should be a valid array")
    assert the_mistake(search="{metrics: [accuracy]}").startswith(f"{LAST}: search.metrics[0]: should be 'val_acc', ")


@pytest.mark.parametrize("fraction", ["0", "[0.1, 0]", "{range: [0, 0.5]}", "{choice: [0.2, 0]}"])
def test_a_search_by_validation_accuracy_needs_images_held_out(fraction: str) -> None:
    recipe = f"{{base: digits, val_fraction: {fraction}}}"
    message = "3: recipe.val_fraction: a search by val_acc needs a share of the training set held out"
    assert the_mistake(recipe=recipe).startswith(message)


def test_only_what_is_searched_needs_images_held_out() -> None:
    assert spec(recipe="{base: digits, val_fraction: 0}", methods="[kd]").recipes[0].value.val_fraction == 0
    assert spec(protocol="paper").recipes[0].value.val_fraction == 0
    own = "[{resnet20 -> resnet8: {recipe: {val_fraction: 0}}}]"
    assert "needs a share of the training set held out" in the_mistake(pairs=own)
    assert spec(pairs=own, methods="[kd]").pairs[0].recipes[0].value.val_fraction == 0


# -- the budget ------------------------------------------------------------------------------------------------------

EIGHT = datetime(2026, 12, 1, 8, 0)


@pytest.mark.parametrize(
    ("written", "budget"),
    [
        ("{}", Budget()),
        ("{max_trials: 5, max_device_hours: 0.5}", Budget(max_trials=5, max_device_hours=0.5)),
        ("{max_device_hours: 1e-3}", Budget(max_device_hours=0.001)),
        ("{deadline: 2026-12-01 08:00}", Budget(deadline=EIGHT)),
        ('{deadline: "2026-12-01 08:00"}', Budget(deadline=EIGHT)),
        ("{deadline: 2026-12-01 08:00:00}", Budget(deadline=EIGHT)),
        ("{deadline: 2026-12-01T08:00:00}", Budget(deadline=EIGHT)),
        ("{deadline: 2026-12-01T08:00:00Z}", Budget(deadline=EIGHT.replace(tzinfo=timezone.utc))),  # noqa: UP017
        (
            "{deadline: 2026-12-01 08:00:00+02:00}",
            Budget(deadline=EIGHT.replace(tzinfo=timezone(timedelta(hours=2)))),
        ),
        ("{deadline: null}", Budget()),
    ],
)
def test_a_budget_is_read_as_written(written: str, budget: Budget) -> None:
    found = spec(budget=written).budget
    assert found == budget
    assert (found.deadline is None or found.deadline.tzinfo is None) == (
        budget.deadline is None or budget.deadline.tzinfo is None
    )


def test_without_a_budget_there_is_no_limit_and_a_budget_needs_no_search() -> None:
    assert spec().budget == Budget()
    assert spec(budget="{max_trials: 5}", methods="[kd]").budget.max_trials == 5


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{max_trials: 0}", "budget.max_trials: should be greater than or equal to 1, found 0"),
        ("{max_trials: 1.5}", "budget.max_trials: should be a valid integer, found 1.5"),
        ("{max_trials: many}", 'budget.max_trials: should be a valid integer, found "many"'),
        ("{max_device_hours: 0}", "budget.max_device_hours: should be greater than 0, found 0"),
        ("{max_device_hours: .inf}", "budget.max_device_hours: should be a finite number, found Infinity"),
        ("{max_hours: 3}", "budget.max_hours: unknown key 'max_hours'; "),
        ("{deadline: 2026-12-01}", "budget.deadline: should be a valid datetime, "),
        ("{deadline: tomorrow}", "budget.deadline: should be a valid datetime, "),
        ("{deadline: 2026-13-01 08:00}", "budget.deadline: should be a valid datetime, month value is outside"),
        ("{deadline: 08:00}", "budget.deadline: should be a valid datetime, "),
        ("{deadline: 5}", "budget.deadline: should be a valid datetime, found 5"),
        ("5", "budget: must be a mapping, found 5"),
        ("", "budget: must be a mapping, found nothing"),
    ],
)
def test_a_wrong_budget_is_told_with_its_line(written: str, message: str) -> None:
    assert the_mistake(budget=written).startswith(f"{LAST}: {message}")


# -- everything at once ----------------------------------------------------------------------------------------------


def test_all_mistakes_of_a_search_are_told_at_once() -> None:
    found = mistakes(
        recipe="{base: digits, lr: {range: [0.2, 0.1]}, epochs: {choice: [0, 5]}}",
        methods="\n  - gdkd: {w2: {range: [a, 2]}}\n  - dhkd: {alpha: {choice: []}}",
        search="{trials: 0, sampler: tpa}",
        budget="{max_trials: 0}",
    )
    places = ["3: recipe.epochs.choice[0]", "3: recipe.lr", "6: methods[0].gdkd.w2.range[0]"]
    places += ["7: methods[1].dhkd.alpha.choice", "8: search.sampler", "8: search.trials", "9: budget.max_trials"]
    assert [line[: len(place)] for line, place in zip(found, places, strict=True)] == places
