"""From a spec's text to a Spec, or to every mistake in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.files import find_spec, shipped_specs
from search_spaces.limits import MOST_BYTES
from search_spaces.loader import load_spec, parse_spec
from search_spaces.schema import Pair, Spec
from trainers.config import Recipe
from trainers.data import DATASETS
from trainers.distillers import METHODS
from trainers.errors import InputError, SpecError
from trainers.models import MODELS
from trainers.recipes import RECIPES

SECTIONS = {
    "name": "name: small",
    "dataset": "dataset: digits",
    "recipe": "recipe: digits",
    "pairs": "pairs: [resnet20 -> resnet8]",
    "methods": "methods: [scratch, kd]",
    "seeds": "seeds: 2",
}
"""A spec of one line per section, so a mistake's line is its section's place in this order."""
LINE = {section: line for line, section in enumerate(SECTIONS, start=1)}
LAST = len(SECTIONS) + 1


def text(**sections: str | None) -> str:
    """The small spec, with some sections written differently (None leaves one out, a new one comes last)."""
    lines: dict[str, str | None] = {**SECTIONS, **sections}
    return "\n".join(
        f"{key}: {value}" if key in sections else str(value) for key, value in lines.items() if value is not None
    )


def spec(**sections: str | None) -> Spec:
    return parse_spec(text(**sections), "f.yaml")


def mistakes(content: str) -> list[str]:
    """The mistakes as ``line: message``."""
    with pytest.raises(SpecError) as error:
        parse_spec(content, "f.yaml")
    assert all(mistake.file == "f.yaml" for mistake in error.value.mistakes)
    return [f"{mistake.line}: {mistake.message}" for mistake in error.value.mistakes]


def the_mistake(**sections: str | None) -> str:
    found = mistakes(text(**sections))
    assert len(found) == 1, found
    return found[0]


def valid(names: Any) -> str:
    return f"valid: {', '.join(sorted(names))}"


# -- the user's own code ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["mine.py", "[]", "{mine.py: 1}", "3"])
def test_code_that_is_no_list_is_the_one_mistake(value: str) -> None:
    """What it would have registered is not known, so that no other name can be judged."""
    assert "code: must be a list with at least one entry, found " in the_mistake(code=value, methods="[of_mine]")


# -- what is read ---------------------------------------------------------------------------------------------------


def test_a_small_spec_is_complete() -> None:
    found = spec()
    assert (found.name, found.dataset, found.dataset_options) == ("small", "digits", {"image_size": 16})
    assert found.pairs == (Pair("resnet20", "resnet8"),)
    assert [method.name for method in found.methods] == ["scratch", "kd"]
    assert found.methods[1].variants[0].value == {"ce_weight": 0.1, "alpha": 0.9, "temperature": 4.0}
    assert found.methods[1].variants[0].chosen == {}
    assert [variant.value for variant in found.recipes] == [RECIPES["digits"]]
    assert found.teacher_recipe == RECIPES["digits"]
    assert (found.seeds, found.teacher_seed, found.protocol, found.baseline) == ((0, 1), 0, "validation", "kd")
    assert (found.recipe_name, found.source, found.text) == ("digits", "f.yaml", text())


def test_what_may_be_left_out_has_defaults() -> None:
    found = spec(recipe=None, seeds=None)
    assert found.recipe_name == "cifar"
    assert found.recipes[0].value == Recipe()
    assert found.seeds == (0, 1, 2)
    assert found.description == ""
    assert (found.compute.cpus, found.compute.gpus, found.search.trials) == (1, 0, 20)
    assert found.tracking.models == "best"


def test_sections_are_read_as_written() -> None:
    found = spec(
        description="some words",
        compute="{cpus: 2, gpus: 0.25, retries: 0}",
        baseline="scratch",
        teachers="{seed: 7}",
        dataset="{digits: {image_size: 8}}",
        tracking="{models: none}",
    )
    assert found.description == "some words"
    assert found.tracking.models == "none"
    assert (found.compute.cpus, found.compute.gpus, found.compute.retries) == (2, 0.25, 0)
    assert (found.baseline, found.teacher_seed, found.dataset_options) == ("scratch", 7, {"image_size": 8})


@pytest.mark.parametrize("arrow", ["->", " -> ", "→", " →  "])
def test_pairs_are_written_with_either_arrow(arrow: str) -> None:
    assert spec(pairs=f"['resnet20{arrow}resnet8', resnet8{arrow}resnet8]").pairs == (
        Pair("resnet20", "resnet8"),
        Pair("resnet8", "resnet8"),
    )
    assert str(spec().pairs[0]) == "resnet20→resnet8"


@pytest.mark.parametrize(
    ("written", "seeds"), [("1", (0,)), ("4", (0, 1, 2, 3)), ("[5, 0, 9]", (5, 0, 9)), ("[3]", (3,))]
)
def test_seeds_are_a_number_or_a_list(written: str, seeds: tuple[int, ...]) -> None:
    assert spec(seeds=written).seeds == seeds


def test_1e_3_is_a_number() -> None:
    assert spec(recipe="{base: digits, lr: 1e-3}").recipes[0].value.lr == 0.001
    alphas = [v.value["alpha"] for v in spec(methods="[dhkd: {alpha: [1e-3, 2E2]}]").methods[0].variants]
    assert alphas == [0.001, 200.0]


# -- grids ----------------------------------------------------------------------------------------------------------


def test_a_list_is_a_grid_in_the_order_written() -> None:
    (method,) = spec(methods="[dhkd: {alpha: [5, 0.2, 1], head: nonlinear, temperature: [2, 4]}]").methods
    assert [variant.chosen for variant in method.variants] == [
        {"alpha": alpha, "head": "nonlinear", "temperature": temperature}
        for alpha in (5.0, 0.2, 1.0)
        for temperature in (2.0, 4.0)
    ]
    assert all(set(variant.value) == set(METHODS["dhkd"].Params.model_fields) for variant in method.variants)
    assert method.variants[0].value["hidden"] == 200


def test_equal_settings_are_equal_values_however_they_are_written() -> None:
    values = [
        spec(methods=f"[{written}]").methods[0].variants[0].value
        for written in ("dhkd", "dhkd: ", "dhkd: {}", "dhkd: {alpha: 1}", "dhkd: {alpha: 1.0}", "dhkd: {alpha: [1]}")
    ]
    assert all(value == values[0] and type(value["alpha"]) is float for value in values)


def test_a_method_may_stand_twice() -> None:
    found = spec(methods="[kd, {kd: {temperature: 2}}]").methods
    assert [(grid.name, grid.variants[0].value["temperature"]) for grid in found] == [("kd", 4.0), ("kd", 2.0)]


def test_recipe_fields_may_be_grids() -> None:
    found = spec(recipe="{base: digits, lr: [0.1, 0.01], epochs: [5, 6], pad: 0}").recipes
    assert [(v.value.lr, v.value.epochs, v.value.pad) for v in found] == [
        (0.1, 5, 0),
        (0.1, 6, 0),
        (0.01, 5, 0),
        (0.01, 6, 0),
    ]
    assert all(variant.value.batch_size == RECIPES["digits"].batch_size for variant in found)


def test_a_list_of_milestones_is_one_value_and_a_list_of_lists_a_grid() -> None:
    assert [v.value.milestones for v in spec(recipe="{milestones: [3, 5]}").recipes] == [(3, 5)]
    assert [v.value.milestones for v in spec(recipe="{milestones: []}").recipes] == [()]
    assert [v.value.milestones for v in spec(recipe="{milestones: [[3, 5], [4]]}").recipes] == [(3, 5), (4,)]


def test_teachers_take_the_first_point_of_their_students_recipe_and_then_their_own_fields() -> None:
    found = spec(
        recipe="{base: digits, lr: [0.1, 0.01], pad: 0, epochs: [9], milestones: [[3], [4]]}",
        teachers="{recipe: {samples_per_class: null, batch_size: 64}}",
    )
    first = {"lr": 0.1, "pad": 0, "epochs": 9, "milestones": (3,)}
    own = {"samples_per_class": None, "batch_size": 64}
    assert found.teacher_recipe == Recipe.model_validate(RECIPES["digits"].model_dump() | first | own)
    assert all(variant.value.samples_per_class == 10 for variant in found.recipes)


def test_protocol_paper_trains_on_everything() -> None:
    found = spec(protocol="paper")
    assert found.protocol == "paper"
    assert found.recipes[0].value == Recipe.model_validate(RECIPES["digits"].model_dump() | {"val_fraction": 0})
    assert found.teacher_recipe.val_fraction == 0
    assert spec(protocol="paper", recipe="{val_fraction: 0}").recipes[0].value.val_fraction == 0


# -- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        # keys
        ({"name": None}, "1: the key 'name' is missing"),
        ({"pairs": None}, "1: the key 'pairs' is missing"),
        ({"methods": ""}, f"{LINE['methods']}: methods: is empty"),
        ({"sedes": "3"}, f"{LAST}: sedes: unknown key 'sedes'; did you mean 'seeds'? valid: baseline, budget, "),
        ({"description": "[a]"}, f'{LAST}: description: must be text, found ["a"]'),
        ({"description": "2026-01-01"}, f'{LAST}: description: must be text, found "2026-01-01"'),
        # name
        ({"name": "../up"}, "1: name: must be letters, digits, '.', '_' and '-', at most 64, found \"../up\""),
        ({"name": ".hidden"}, "1: name: must be letters"),
        ({"name": '"line\\n"'}, "1: name: must be letters"),
        ({"name": "a" * 65}, "1: name: must be letters"),
        ({"name": "5"}, "1: name: must be letters, digits, '.', '_' and '-', at most 64, found 5"),
        (
            {"name": "2026-01-01"},
            "1: name: must be letters, digits, '.', '_' and '-', at most 64, found \"2026-01-01\"",
        ),
        # dataset
        ({"dataset": "digit"}, f"2: dataset: unknown data set 'digit'; did you mean 'digits'? {valid(DATASETS)}"),
        (
            {"dataset": "{digits: {image_size: 4}}"},
            "2: dataset.digits.image_size: should be greater than or equal to 8, found 4",
        ),
        (
            {"dataset": "{digits: {image_size: [8, 16]}}"},
            "2: dataset.digits.image_size: an option of a data set has one value, since a sweep has one data set; write"
            " a spec for each, found [8, 16]",
        ),
        (
            {"dataset": "{digits: {image_size: {range: [8, 16]}}}"},
            "2: dataset.digits.image_size: an option of a data set has one value, since a sweep has one data set; write"
            ' a spec for each, found {"range": [8, 16]}',
        ),
        ({"dataset": "{digits: {size: 4}}"}, "2: dataset.digits.size: unknown key 'size'; "),
        ({"dataset": "{digits: 8}"}, "2: dataset.digits: must be a mapping of options, found 8"),
        ({"dataset": "{digits: {}, cifar: {}}"}, "2: dataset: must be a name, or one name with its options"),
        ({"dataset": "[digits]"}, "2: dataset: must be a name, or one name with its options"),
        # recipe
        ({"recipe": "cifra"}, f"3: recipe.base: unknown recipe 'cifra'; did you mean 'cifar'? {valid(RECIPES)}"),
        ({"recipe": "{base: cifra}"}, "3: recipe.base: unknown recipe 'cifra'"),
        ({"recipe": "[digits]"}, "3: recipe.base: unknown recipe '['digits']'"),
        (
            {"recipe": "{learning_rate: 1}"},
            f"3: recipe.learning_rate: unknown key 'learning_rate'; {valid(Recipe.model_fields)}",
        ),
        ({"recipe": "{epoch: 1}"}, "3: recipe.epoch: unknown key 'epoch'; did you mean 'epochs'?"),
        ({"recipe": "{lr: 0}"}, "3: recipe.lr: should be greater than 0, found 0"),
        ({"recipe": "{lr: '0.1'}"}, '3: recipe.lr: should be a valid number, found "0.1"'),
        ({"recipe": "{lr: .5e3}"}, '3: recipe.lr: should be a valid number, found ".5e3"'),
        ({"recipe": "{lr: true}"}, "3: recipe.lr: should be a valid number, found true"),
        ({"recipe": "{epochs: yes}"}, "3: recipe.epochs: should be a valid integer, found true"),
        ({"recipe": "{epochs: 2.5}"}, "3: recipe.epochs: should be a valid integer"),
        ({"recipe": "{epochs: 2026-01-01}"}, '3: recipe.epochs: should be a valid integer, found "2026-01-01"'),
        ({"recipe": "{nesterov: 1}"}, "3: recipe.nesterov: should be a valid boolean, found 1"),
        ({"recipe": "{compile: often}"}, '3: recipe.compile: must be true, false or auto, found "often"'),
        ({"recipe": "{compile: [auto, 1]}"}, "3: recipe.compile[1]: must be true, false or auto, found 1"),
        ({"recipe": "{lr: .nan}"}, "3: recipe.lr: should be a finite number, found NaN"),
        ({"recipe": "{lr: .inf}"}, "3: recipe.lr: should be a finite number, found Infinity"),
        ({"recipe": "{lr: 1e400}"}, "3: recipe.lr: should be a finite number, found Infinity"),
        ({"recipe": "{lr: }"}, "3: recipe.lr: should be a valid number, found nothing"),
        ({"recipe": "{lr: []}"}, "3: recipe.lr: an empty grid; give at least one value"),
        ({"recipe": "{lr: [0.1, -1]}"}, "3: recipe.lr[1]: should be greater than 0, found -1"),
        ({"recipe": "{lr: [0.1, 0.2, 0.1]}"}, "3: recipe.lr: the value 0.1 stands twice in this grid"),
        (
            {"recipe": "{schedule: linear}"},
            "3: recipe.schedule: should be 'step', 'cosine' or 'constant', found \"linear\"",
        ),
        ({"recipe": "{milestones: [5, 3]}"}, "3: recipe: milestones must be rising epochs from 1 on, found [5, 3]"),
        ({"recipe": "{milestones: [[5], 3]}"}, "3: recipe.milestones[1]: should be a valid array, found 3"),
        ({"recipe": "{epochs: 5, warmup_epochs: 5}"}, "3: recipe: warmup_epochs (5) must be fewer than epochs (5)"),
        # teachers
        ({"teachers": "5"}, f"{LAST}: teachers: must be a mapping, found 5"),
        ({"teachers": "{recipes: {}}"}, f"{LAST}: teachers.recipes: unknown key 'recipes'; did you mean 'recipe'?"),
        ({"teachers": "{seed: -1}"}, f"{LAST}: teachers.seed: should be greater than or equal to 0, found -1"),
        (
            {"teachers": "{recipe: {lr: [0.1, 0.2]}}"},
            f"{LAST}: teachers.recipe.lr: should be a valid number, found [0.1, 0.2]",
        ),
        ({"teachers": "{recipe: {lrr: 1}}"}, f"{LAST}: teachers.recipe.lrr: unknown key 'lrr'; did you mean 'lr'?"),
        (
            {"teachers": "{recipe: {epochs: 1}}"},
            f"{LAST}: teachers.recipe: warmup_epochs (2) must be fewer than epochs (1)",
        ),
        # pairs
        (
            {"pairs": "resnet20 -> resnet8"},
            '4: pairs: must be a list with at least one entry, found "resnet20 -> resnet8"',
        ),
        ({"pairs": "[]"}, "4: pairs: must be a list with at least one entry, found []"),
        ({"pairs": "[resnet20]"}, "4: pairs[0]: a pair is written 'teacher -> student', found \"resnet20\""),
        ({"pairs": "[resnet20 ->]"}, "4: pairs[0]: a pair is written 'teacher -> student'"),
        ({"pairs": "[a -> b -> c]"}, "4: pairs[0]: a pair is written 'teacher -> student'"),
        ({"pairs": "[{resnet20: resnet8}]"}, "4: pairs[0]: a pair is written 'teacher -> student'"),
        ({"pairs": "[resnet20 -> resnt8]"}, "4: pairs[0]: unknown model 'resnt8'; did you mean 'resnet8'? "),
        ({"pairs": "[resnet20 -> xyz]"}, f"4: pairs[0]: unknown model 'xyz'; {valid(MODELS)}"),
        (
            {"pairs": "[resnet20 -> resnet8, resnet20→resnet8]"},
            "4: pairs[1]: the pair resnet20→resnet8 stands here twice",
        ),
        # methods
        ({"methods": "kd"}, '5: methods: must be a list with at least one entry, found "kd"'),
        ({"methods": "{kd: {}}"}, '5: methods: must be a list with at least one entry, found {"kd": {}}'),
        ({"methods": "[dhdk]"}, f"5: methods[0].dhdk: unknown method 'dhdk'; did you mean 'dhkd'? {valid(METHODS)}"),
        (
            {"methods": "[kd, 5]"},
            "5: methods[1]: must be a name, or one name with its options ('name: {key: value}'), found 5",
        ),
        ({"methods": "[{kd: {}, dhkd: {}}]"}, "5: methods[0]: must be a name, or one name with its options"),
        ({"methods": "[kd: 5]"}, "5: methods[0].kd: must be a mapping of options, found 5"),
        (
            {"methods": "[kd: {temprature: 3}]"},
            "5: methods[0].kd.temprature: unknown key 'temprature'; did you mean 'temperature'?"
            " valid: alpha, ce_weight, temperature",
        ),
        ({"methods": "[kd: {alpha: '1'}]"}, '5: methods[0].kd.alpha: should be a valid number, found "1"'),
        ({"methods": "[kd: {alpha: false}]"}, "5: methods[0].kd.alpha: should be a valid number, found false"),
        ({"methods": "[kd: {alpha: {a: 1}}]"}, '5: methods[0].kd.alpha: should be a valid number, found {"a": 1}'),
        (
            {"methods": "[dhkd: {head: both}]"},
            "5: methods[0].dhkd.head: should be 'linear', 'nonlinear' or 'shared', found \"both\"",
        ),
        ({"methods": "[dhkd: {align: [false, 2]}]"}, "5: methods[0].dhkd.align[1]: should be a valid boolean, found 2"),
        ({"methods": "[scratch: {alpha: 1}]"}, "5: methods[0].scratch.alpha: unknown key 'alpha'; valid: "),
        # seeds
        (
            {"seeds": "0"},
            "6: seeds: must be a number of seeds from 1 on (at most 10,000), or a list of different ones, found 0",
        ),
        ({"seeds": "-3"}, "6: seeds: must be a number of seeds"),
        ({"seeds": "10001"}, "6: seeds: must be a number of seeds"),
        ({"seeds": "2.5"}, "6: seeds: must be a number of seeds"),
        (
            {"seeds": "true"},
            "6: seeds: must be a number of seeds from 1 on (at most 10,000), or a list of different ones, found t",
        ),
        ({"seeds": "'3'"}, "6: seeds: must be a number of seeds"),
        (
            {"seeds": ""},
            "6: seeds: must be a number of seeds from 1 on (at most 10,000), or a list of different ones, found n",
        ),
        ({"seeds": "[]"}, "6: seeds: must be a number of seeds"),
        ({"seeds": "[1, 1]"}, "6: seeds: must be a number of seeds"),
        ({"seeds": "[1, -1]"}, "6: seeds: must be a number of seeds"),
        ({"seeds": "[1, true]"}, "6: seeds: must be a number of seeds"),
        # the rest
        (
            {"protocol": "papers"},
            f"{LAST}: protocol: unknown value 'papers'; did you mean 'paper'? valid: paper, validation",
        ),
        ({"protocol": "[paper]"}, f"{LAST}: protocol: unknown value '['paper']'; "),
        (
            {"protocol": "paper", "recipe": "{val_fraction: 0.1}"},
            "3: recipe.val_fraction: protocol 'paper' trains on the full training set; leave this out",
        ),
        ({"protocol": "paper", "recipe": "{val_fraction: [0, 0.1]}"}, "3: recipe.val_fraction: protocol 'paper'"),
        ({"baseline": "dhkd"}, f"{LAST}: baseline: unknown baseline (one of this spec's methods) 'dhkd'; "),
        ({"baseline": "[kd]"}, f"{LAST}: baseline: unknown baseline (one of this spec's methods) '['kd']'; "),
        ({"baseline": ""}, f"{LAST}: baseline: unknown baseline (one of this spec's methods) 'None'; "),
        (
            {"compute": "{cpu: 1}"},
            f"{LAST}: compute.cpu: unknown key 'cpu'; did you mean 'cpus'? valid: bank_gb, cohort, cpus, gpus, max",
        ),
        ({"compute": "{cpus: 0}"}, f"{LAST}: compute.cpus: should be greater than or equal to 1, found 0"),
        ({"compute": "{gpus: -0.5}"}, f"{LAST}: compute.gpus: must be 0 or more, or auto, found -0.5"),
        ({"compute": "{cohort: 0}"}, f"{LAST}: compute.cohort: should be greater than or equal to 1, found 0"),
        (
            {"compute": "{cohort: 5, workers: 2}"},
            f"{LAST}: compute: cohort is of trials with one worker each: leave cohort out, or workers",
        ),
        ({"compute": "{cohort: 5, gpus: auto}"}, f"{LAST}: compute: gpus must be a number with a cohort, found auto"),
        ({"compute": "4"}, f"{LAST}: compute: must be a mapping, found 4"),
        ({"search": "{trials: 5}"}, f"{LAST}: search: nothing in this spec is searched; give a method or the recipe"),
        ({"tracking": "{models: some}"}, f"{LAST}: tracking.models: should be 'best', 'all' or 'none', found "),
        ({"tracking": "{model: all}"}, f"{LAST}: tracking.model: unknown key 'model'; did you mean 'models'?"),
        ({"compute": "{gpus: 1.5}"}, f"{LAST}: compute: gpus must be at most 1, or a whole number, found 1.5"),
        ({"search": "{trials: 0}"}, f"{LAST}: search.trials: should be greater than or equal to 1, found 0"),
        ({"search": "{sampler: tpa}"}, f"{LAST}: search.sampler: should be 'tpe', "),
        ({"search": "{metric: val_acc}"}, f"{LAST}: search.metric: unknown key 'metric'; did you mean 'metrics'?"),
    ],
    ids=lambda value: ", ".join(f"{key}: {item}" for key, item in value.items()) if isinstance(value, dict) else "",
)
def test_a_mistake_is_told_with_its_line_and_the_remedy(sections: dict[str, str | None], message: str) -> None:
    assert the_mistake(**sections).startswith(message)


def test_a_mistake_between_two_fields_names_these_alone() -> None:
    expected = "3: recipe: warmup_epochs (5) must be fewer than epochs (5)"
    assert the_mistake(recipe="{epochs: 5, warmup_epochs: 5}") == expected
    assert the_mistake(recipe="{epochs: [5, 9], warmup_epochs: 5}") == expected


@pytest.mark.parametrize("value", ["{range: [0.5, 16], log: true}", "{choice: [0.5, 2]}"])
def test_a_range_or_a_choice_is_no_grid(value: str) -> None:
    method, recipe = spec(methods=f"[dhkd: {{alpha: {value}}}]").methods[0], spec(recipe=f"{{lr: {value}}}").recipes
    assert [(v.value["alpha"], list(v.space), v.chosen) for v in method.variants] == [(0.5, ["alpha"], {})]
    assert [(v.value.lr, list(v.space), v.chosen) for v in recipe] == [(0.5, ["lr"], {})]


def test_a_malformed_search_is_told_as_well() -> None:
    assert "unknown key 'choice'" in the_mistake(methods="[dhkd: {alpha: {range: [1, 2], choice: [1]}}]")
    assert "alpha.log: should be a valid boolean" in the_mistake(methods="[dhkd: {alpha: {range: [1, 2], log: 3}}]")
    assert "alpha.choice: " in the_mistake(methods="[dhkd: {alpha: {choice: []}}]")


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines() -> None:
    found = mistakes(
        """\
name: bad name
dataset: digit
recipe:
  base: digits
  lr: fast
  epochs: [0, 5]
teachers: {recipe: {lr: slow}}
pairs:
  - resnet20 -> resnet8
  - resnet21 -> resnet9
methods:
  - kd: {alpha: '1', temprature: 4}
  - dkhd
seeds: none
protocol: paperr
compute: {cpus: 0, gpu: 1}
extra: 1
"""
    )
    expected = [
        (1, "name: must be"),
        (2, "dataset: unknown data set 'digit'"),
        (5, "recipe.lr: should be"),
        (6, "recipe.epochs[0]: should be"),
        (7, "teachers.recipe.lr: should be"),
        (10, "pairs[1]: unknown model 'resnet21'"),
        (10, "pairs[1]: unknown model 'resnet9'"),
        (12, "methods[0].kd.alpha: should be"),
        (12, "methods[0].kd.temprature: unknown key"),
        (13, "methods[1].dkhd: unknown method"),
        (14, "seeds: must be"),
        (15, "protocol: unknown value"),
        (16, "compute.cpus: should be"),
        (16, "compute.gpu: unknown key"),
        (17, "extra: unknown key"),
    ]
    assert len(found) == len(expected), found
    for one, (line, start) in zip(found, expected, strict=True):
        assert one.startswith(f"{line}: {start}")


def test_the_message_counts_and_places_every_mistake() -> None:
    with pytest.raises(SpecError) as error:
        spec(seeds="0", name="a b")
    assert str(error.value).splitlines()[0] == "2 mistakes in the spec; nothing was started"
    assert [line.split(":")[:2] for line in str(error.value).splitlines()[1:]] == [["  f.yaml", "1"], ["  f.yaml", "6"]]


@pytest.mark.parametrize(
    ("content", "found"),
    [("", "nothing"), ("# only a comment\n", "nothing"), ("- a\n", '["a"]'), ("text", '"text"'), ("5", "5")],
)
def test_a_document_that_is_no_mapping_is_told_what_a_spec_is(content: str, found: str) -> None:
    message = "1: a spec is a mapping with the keys name, dataset, pairs, methods, …; found " + found
    assert mistakes(content) == [message]


def test_a_grid_beyond_measure_is_refused_at_once() -> None:
    values = ", ".join(str(number) for number in range(1, 200))
    found = the_mistake(methods=f"[dhkd: {{alpha: [{values}], ce_weight: [{values}], hidden: [{values}]}}]")
    assert found == "5: methods[0].dhkd: a grid of 7,880,599 points; at most 2,000"


def test_anchors_and_merge_keys_save_writing_twice() -> None:
    found = spec(
        recipe="{base: digits, weight_decay: &slow 0.01}",
        pairs="[resnet20 -> resnet8, resnet14 -> resnet8: {recipe: {lr: *slow}}]",
        methods="[dhkd: &d {alpha: [1, 2], head: nonlinear}, dhkd: {<<: *d, head: linear}]",
    )
    assert [pair.recipes[0].value.lr for pair in found.pairs] == [RECIPES["digits"].lr, 0.01]
    assert [[v.chosen for v in grid.variants] for grid in found.methods] == [
        [{"alpha": 1.0, "head": "nonlinear"}, {"alpha": 2.0, "head": "nonlinear"}],
        [{"head": "linear", "alpha": 1.0}, {"head": "linear", "alpha": 2.0}],
    ]


def test_duplicate_keys_endless_aliases_and_tags_stop_the_reading() -> None:
    assert the_mistake(seeds="2\nseeds: 3") == "7: seeds: this key stands here twice"
    assert mistakes(text(methods="&m [kd, *m]")) == [
        "5: methods[1]: an alias (*) that stands inside of its own anchor (&) has no end"
    ]
    assert "tags such as !!python/object:os.system are not read" in the_mistake(
        compute="!!python/object:os.system {cpus: 1}"
    )


# -- files ----------------------------------------------------------------------------------------------------------


def test_a_spec_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text(description="Größe → α"), encoding="utf-8")
    found = load_spec(str(path))
    assert found.description == "Größe → α"
    assert found.source == str(path)
    path.write_text("name: 5")
    with pytest.raises(SpecError, match=f"{path}:1: name: must be"):
        load_spec(str(path))


def test_a_shipped_spec_is_found_by_its_name_even_beside_a_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits-alpha").write_text(text())
    assert find_spec("digits-alpha") == shipped_specs()["digits-alpha"]
    assert load_spec("digits-alpha").source == "digits-alpha.yaml"
    assert load_spec("./digits-alpha").name == "small"


def test_what_is_not_there_is_told_by_its_kind(tmp_path: Path) -> None:
    shipped = ", ".join(sorted(shipped_specs()))
    with pytest.raises(InputError) as error:
        load_spec("digits-alfa")
    assert str(error.value) == (
        f"unknown spec 'digits-alfa'; did you mean 'digits-alpha'? valid: {shipped}; or the path of a YAML file"
    )
    with pytest.raises(InputError, match=f"there is no file nowhere.yaml; shipped specs: {shipped}"):
        load_spec("nowhere.yaml")
    with pytest.raises(InputError, match="there is no file some/where"):
        load_spec("some/where")
    with pytest.raises(InputError, match="is a folder; a spec is a YAML file, or the name of a shipped spec"):
        load_spec(str(tmp_path))
    with pytest.raises(InputError, match=r"cannot read aaa.*: File name too long"):
        load_spec("a" * 300)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.yaml"
    path.write_bytes(b"name: a\n\xff\xfe\x00")
    with pytest.raises(InputError, match=r"weights.yaml is not a text file \(byte 8 is not UTF-8\): not a spec"):
        load_spec(str(path))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_a_spec_in_any_form_of_unicode_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "windows.yaml"
    path.write_bytes(text(description="Größe → α").replace("\n", "\r\n").encode(encoding))
    assert load_spec(str(path)).description == "Größe → α"


def test_a_spec_in_a_regional_encoding_is_one_message_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_bytes(text(description="Größe").encode("latin-1"))
    with pytest.raises(InputError) as error:
        load_spec(str(path))
    assert str(error.value) == (
        f"{path}, line 7: a spec is text in UTF-8, which the byte F6, 'ö' in Latin-1, is not; save the file as UTF-8"
    )
    path.write_bytes(text(description="α").encode("utf-16")[:-1])
    with pytest.raises(InputError, match=r"is not a text file \(byte \d+ is not UTF-16\): not a spec"):
        load_spec(str(path))


def test_a_file_that_is_too_long_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_text(text() + "\n#" + "x" * MOST_BYTES)
    with pytest.raises(InputError, match="is longer than 100,000 bytes: not a spec"):
        load_spec(str(path))
    with pytest.raises(InputError, match="is longer than 100,000 bytes: not a spec"):
        load_spec("/dev/zero")


def test_an_empty_file_is_a_spec_without_anything(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.touch()
    with pytest.raises(SpecError, match=r"empty.yaml:1: a spec is a mapping .* found nothing"):
        load_spec(str(path))


# -- anything at all ------------------------------------------------------------------------------------------------

SEED_TEXTS = [text(), text(methods="\n  - dhkd: {alpha: [0.5, 1], head: nonlinear}\n  - kd: {alpha: {range: [0, 1]}}")]
TOKENS = [
    *("*a", "&a ", "!!python/name:os.system ", "!!float x", "!!binary /", "<<: ", "---\n", "...\n", "%YAML 9.9\n"),
    *("[", "]", "{", "}", ": ", ", ", "- ", "\n", "\t", "\r", "#", "'", '"', "|\n", ">\n", "\x00", "\ufeff", "\ud7ff"),
    *("null", "true", "1e999", ".nan", "-.inf", "0x1F", "0o7", "1:60", "9" * 5000, "2026-99-99", "2026-01-01"),
    *('"\\ud800"', '"\\U0011FFFF"', "resnet8", "->", "→", "name", "methods", "seeds", "range", "choice", "base", "0"),
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A spec after some cuts, doublings, insertions and broken bytes."""
    found = draw(st.sampled_from(SEED_TEXTS))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(found)))
        end = draw(st.integers(start, min(len(found), start + 30)))
        kind = draw(st.sampled_from(["cut", "double", "insert", "replace", "move"]))
        token = draw(st.sampled_from(TOKENS))
        part = found[start:end]
        middle = {"cut": "", "double": part * 2, "insert": token + part, "replace": token, "move": ""}[kind]
        found = found[:start] + middle + found[end:] + (part if kind == "move" else "")
    data = found.encode("utf-8", "surrogatepass")
    position = draw(st.integers(0, 10 * len(data)))
    return data[:position] + b"\xff" + data[position:] if position < len(data) else data


@settings(max_examples=200)
@given(mutated())
def test_any_file_is_a_spec_or_a_list_of_mistakes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.yaml"
    path.write_bytes(content)
    try:
        found = load_spec(str(path))
    except SpecError as error:
        assert error.mistakes
        assert all(1 <= mistake.line <= content.count(b"\n") + content.count(b"\r") + 2 for mistake in error.mistakes)
        str(error).encode()
    except InputError as error:
        assert "not a text file" in str(error) or "a spec is text in UTF-8" in str(error)
    else:
        assert isinstance(found, Spec)
        assert found.methods
        assert all(grid.variants for grid in found.methods)
        assert found.recipes
