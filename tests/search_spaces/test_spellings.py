"""What people bring from other tools, answered with how a spec writes it; quotes; names in another case."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from search_spaces.spellings import NO_NORMAL, ours
from tests.support.spec_lines import mistakes_in, parsed

SECTIONS = {
    "name": "other",
    "dataset": "digits",
    "recipe": "digits",
    "pairs": "[resnet20 -> resnet8]",
    "methods": "[kd]",
}
A_GRID = "here a grid is written {0}, and a choice that is searched {{choice: {0}}}"
A_RANGE = "here a search is written {{range: [{}]{}}}"


def the_mistake(**sections: str) -> str:
    (found,) = mistakes_in(SECTIONS | sections)
    return found


def grid(values: str) -> str:
    return A_GRID.format(values)


def searched(ends: str, more: str = "") -> str:
    return A_RANGE.format(ends, more)


LOG = ", log: true"


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        # W&B
        ("{values: [0.1, 1]}", grid("[0.1, 1]")),
        ("{value: 0.5}", "here one value is written 0.5"),
        ("{min: 0.1, max: 1}", searched("0.1, 1")),
        ("{min: 0.1, max: 1, distribution: uniform}", searched("0.1, 1")),
        ("{min: 0.1, max: 1, distribution: log_uniform_values}", searched("0.1, 1", LOG)),
        ("{min: -2, max: 0, distribution: log_uniform}", searched("0.135335, 1", LOG)),
        ("{min: 0, max: 10, q: 2, distribution: q_uniform}", searched("0, 10", ", step: 2")),
        ("{distribution: categorical, values: [1, 2, 3]}", grid("[1, 2, 3]")),
        ("{distribution: normal, mu: 0, sigma: 1}", NO_NORMAL),
        ("{distribution: log_normal, mu: 0, sigma: 1}", NO_NORMAL),
        # NNI
        ("{_type: choice, _value: [1, 2]}", grid("[1, 2]")),
        ("{_type: loguniform, _value: [0.1, 1]}", searched("0.1, 1", LOG)),
        ("{_type: uniform, _value: [0.1, 1]}", searched("0.1, 1")),
        # Ax, Determined, Keras Tuner, Katib, Optuna's attributes, Ray's
        ("{type: range, bounds: [0.1, 1], log_scale: true}", searched("0.1, 1", LOG)),
        ("{type: log, minval: -4, maxval: -1, base: 10}", searched("0.0001, 0.1", LOG)),
        ("{type: categorical, vals: [1, 2]}", grid("[1, 2]")),
        ("{min_value: 1, max_value: 9, step: 2}", searched("1, 9", ", step: 2")),
        ("{min_value: 1, max_value: 9, sampling: log}", searched("1, 9", LOG)),
        ("{min: '0.01', max: '0.03'}", searched("0.01, 0.03")),
        ("{low: 0.1, high: 1, log: true}", searched("0.1, 1", LOG)),
        ("{lower: 0.1, upper: 1}", searched("0.1, 1")),
        ("{grid_search: [1, 2]}", grid("[1, 2]")),
        ("{loguniform: [0.1, 1]}", searched("0.1, 1", LOG)),
        ("{uniform: [0.1, 1]}", searched("0.1, 1")),
        ("{q_uniform: [0, 10, 2]}", searched("0, 10", ", step: 2")),
        # hydra
        ("'interval(0.1, 1)'", searched("0.1, 1")),
        ("'tag(log, interval(0.1, 1))'", searched("0.1, 1", LOG)),
        ("'int(interval(1, 8))'", searched("1, 8")),
        ("'choice(1, 2, 4)'", grid("[1, 2, 4]")),
        ("'range(1, 4)'", grid("[1, 2, 3]")),
        ("'range(3)'", grid("[0, 1, 2]")),
        ("'range(0, 100, 2)'", searched("0, 98", ", step: 2")),
        ("'0.1,0.2'", grid("[0.1, 0.2]")),
        # Ray, Optuna, Hyperopt, Orion, Guild
        ("'tune.loguniform(0.1, 1)'", searched("0.1, 1", LOG)),
        ("'tune.quniform(0, 10, 2)'", searched("0, 10", ", step: 2")),
        ("'tune.choice([1, 2])'", grid("[1, 2]")),
        ("'tune.randint(1, 9)'", searched("1, 8")),
        ("'trial.suggest_float(\"alpha\", 1e-3, 1, log=True)'", searched("1e-3, 1", LOG)),
        ("'suggest_int(\"k\", 1, 9, step=2)'", searched("1, 9", ", step: 2")),
        ("'suggest_categorical(\"k\", [1, 2])'", grid("[1, 2]")),
        ("\"hp.uniform('alpha', 0, 1)\"", searched("0, 1")),
        ("'loguniform[1e-3:1]'", searched("1e-3, 1", LOG)),
        ("'normal(0, 1)'", NO_NORMAL),
        ("'uniform(a, b)'", searched("LOWEST, HIGHEST")),
    ],
)
def test_another_tools_spelling_is_answered_with_ours(value: str, answer: str) -> None:
    found = the_mistake(methods=f"[kd: {{alpha: {value}}}]")
    assert found.startswith("5: methods[0].kd.alpha: should be a valid number, found ")
    assert found.endswith(f"; {answer}")
    assert the_mistake(recipe=f"{{base: digits, lr: {value}}}").endswith(f"; {answer}")


@pytest.mark.parametrize(
    "answer", [grid("[0.1, 1]"), searched("0.1, 1", LOG), searched("0.135335, 1", LOG), searched("0, 10", ", step: 2")]
)
def test_what_is_answered_is_read(answer: str) -> None:
    parts = answer.removeprefix("here a ").split(", and a choice that is searched ")
    for part in parts:
        value = part.partition("is written ")[2] or part
        assert parsed(SECTIONS | {"methods": f"[kd: {{alpha: {value}}}]"}).methods


@pytest.mark.parametrize(
    "value",
    ["fast", "{a: 1}", "{}", "[]", "{min: 1}", "true", "f(1, 2)", "(((", ")(", "log(", "a,", "','", "x" * 5_000],
)
def test_what_no_tool_writes_has_no_answer(value: str) -> None:
    assert ours(yaml.safe_load(value)) is None


def test_long_lists_are_cut() -> None:
    answer = ours({"values": list(range(1000))})
    assert answer is not None
    assert len(answer.answer) < 200
    assert "10, 11, …]" in answer.answer


NAME = "1: name: must be letters, digits, '.', '_' and '-', at most 64, found {}; put it in quotes: '{}'"
INTEGER = 'should be a valid integer, found "{}"; write '
LIST = 'must be a list with at least one entry, found "{0}"; write [{0}]'
PAIRS = "resnet20 -> resnet8, resnet14 -> resnet8"
BARE = "it without quotes: "
MILESTONES = "3: recipe.milestones: should be a valid array, found {0}; write [{1}]"
SEEDS = "a number of seeds from 1 on (at most 10,000), or a list of different ones"


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"name": "2024-01-01"}, NAME.format('"2024-01-01"', "2024-01-01")),
        ({"name": "123"}, NAME.format("123", "123")),
        ({"name": "no"}, NAME.format("false", "no")),
        ({"name": "1.50"}, NAME.format("1.5", "1.50")),
        ({"description": "12"}, "6: description: must be text, found 12; put it in quotes: '12'"),
        (
            {"compute": "{gpus: '0.5'}"},
            f'6: compute.gpus: must be 0 or more, or auto, found "0.5"; write {BARE}0.5',
        ),
        ({"compute": "{cpus: '2'}"}, f"6: compute.cpus: {INTEGER.format('2')}{BARE}2"),
        ({"compute": "{cpus: '02'}"}, f"6: compute.cpus: {INTEGER.format('02')}2"),
        ({"compute": "{cpus: 0o17}"}, f"6: compute.cpus: {INTEGER.format('0o17')}15"),
        ({"recipe": "{epochs: 08}"}, f"3: recipe.epochs: {INTEGER.format('08')}8"),
        ({"recipe": "{lr: '1e-3'}"}, f'3: recipe.lr: should be a valid number, found "1e-3"; write {BARE}1e-3'),
        (
            {"recipe": "{lr: '[0.1, 0.2]'}"},
            f'3: recipe.lr: should be a valid number, found "[0.1, 0.2]"; write {BARE}[0.1, 0.2]',
        ),
        (
            {"recipe": "{nesterov: 'true'}"},
            f'3: recipe.nesterov: should be a valid boolean, found "true"; write {BARE}true',
        ),
        *(
            ({"seeds": text}, f'6: seeds: must be {SEEDS}, found "{text}"; write {listed}')
            for text, listed in (("1,2", "[1, 2]"), ("range(3)", "[0, 1, 2]"), ("range(1, 7, 2)", "[1, 3, 5]"))
        ),
        ({"seeds": "{values: [4, 5]}"}, f'6: seeds: must be {SEEDS}, found {{"values": [4, 5]}}; write [4, 5]'),
        *(({"seeds": text}, f'6: seeds: must be {SEEDS}, found "{text}"') for text in ("range(99)", "a, b", "1, 1")),
        ({"recipe": "{milestones: '1, 2'}"}, MILESTONES.format('"1, 2"', "1, 2")),
        ({"recipe": "{milestones: 'range(1, 4)'}"}, MILESTONES.format('"range(1, 4)"', "1, 2, 3")),
        ({"recipe": "{milestones: {values: [3, 5]}}"}, MILESTONES.format('{"values": [3, 5]}', "3, 5")),
        ({"compute": "{cpus: '1,2'}"}, '6: compute.cpus: should be a valid integer, found "1,2"'),
        ({"seeds": "'3'"}, f'6: seeds: must be {SEEDS}, found "3"; write {BARE}3'),
        ({"dataset": "{digits: {image_size: '8'}}"}, f"2: dataset.digits.image_size: {INTEGER.format('8')}{BARE}8"),
        ({"methods": "kd"}, f"5: methods: {LIST.format('kd')}"),
        ({"pairs": PAIRS}, f"4: pairs: {LIST.format(PAIRS)}"),
    ],
    ids=str,
)
def test_where_only_the_quotes_are_wrong_the_message_says_so(sections: dict[str, str], message: str) -> None:
    assert the_mistake(**sections) == message


def test_a_call_that_yaml_has_cut_at_its_comma_is_known_too() -> None:
    found = mistakes_in(SECTIONS | {"methods": "[kd: {alpha: interval(0.1, 1)}]"})
    assert any(one.endswith(f"; {searched('LOWEST, HIGHEST')}") for one in found)


@pytest.mark.parametrize("value", ["fast", "'a b'", "-5", "[slow]", "{x: 1}"])
def test_quotes_are_not_the_advice_where_they_would_not_help(value: str) -> None:
    found = the_mistake(compute=f"{{cpus: {value}}}")
    assert "quotes" not in found
    assert "; write" not in found


@pytest.mark.parametrize(
    ("sections", "guess"),
    [
        ({"methods": "[KD]"}, "kd"),
        ({"methods": "[DHKD]"}, "dhkd"),
        ({"methods": "[Review-KD]"}, "reviewkd"),
        ({"methods": "[lr-revision]"}, "lr_revision"),
        ({"pairs": "[ResNet14 -> resnet8]"}, "resnet14"),
        ({"pairs": "[resnet20 -> RESNET8]"}, "resnet8"),
        ({"pairs": "[resnet-20 -> resnet8]"}, "resnet20"),
        ({"pairs": "[resnet20 -> WRN-16-2]"}, "wrn_16_2"),
        ({"pairs": "[resnet20 -> shufflev2]"}, "ShuffleV2"),
        ({"pairs": "[resnet20 -> resnet18]"}, "ResNet18"),
        ({"dataset": "CIFAR-100"}, "cifar100"),
        ({"dataset": "ImageNet"}, "imagenet"),
        ({"recipe": "Digits"}, "digits"),
        ({"recipe": "{batchSize: 8}"}, "batch_size"),
        ({"recipe": "{Epochs: 8}"}, "epochs"),
        ({"protocol": "Paper"}, "paper"),
        ({"baseline": "KD"}, "kd"),
    ],
)
def test_names_are_guessed_whatever_their_case(sections: dict[str, str], guess: Any) -> None:
    assert f"did you mean '{guess}'? valid: " in the_mistake(**sections)
