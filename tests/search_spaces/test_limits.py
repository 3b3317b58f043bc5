"""How large a spec may be: what is larger is refused with its limit and its line, before it is expanded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from search_spaces import fields, loader, yaml_lines
from search_spaces.fields import FieldReader
from search_spaces.limits import MOST_CONFIGURATIONS, MOST_KEYS, MOST_MISTAKES, MOST_POINTS, MOST_SEEDS
from search_spaces.schema import Differing, MethodGrid, Spec, Variant
from search_spaces.space import corner_count, corners
from tests.support.spec_lines import mistakes_in, parsed
from trainers.config import Recipe
from trainers.distillers import METHODS

SECTIONS = {
    "name": "large",
    "dataset": "digits",
    "recipe": "digits",
    "pairs": "[resnet20 -> resnet8]",
    "methods": "[kd]",
}
"""A spec of one line per section; what a test adds comes after them."""
LINE = {section: line for line, section in enumerate(SECTIONS, start=1)}
LAST = len(SECTIONS) + 1


def spec(**sections: str) -> Spec:
    return parsed(SECTIONS | sections)


def mistakes(**sections: str) -> list[str]:
    return mistakes_in(SECTIONS | sections)


def the_mistake(**sections: str) -> str:
    found = mistakes(**sections)
    assert len(found) == 1, found
    return found[0]


def numbers(count: int) -> str:
    return ", ".join(f"{number / 1000:g}" for number in range(1, count + 1))


@pytest.fixture
def nothing_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No point of the recipe's grid is made a whole recipe."""
    original = FieldReader._in_all_corners

    def expanded(reader: FieldReader, path: Any, model: Any, *others: Any) -> Any:
        assert model is not Recipe, "a point was expanded"
        return original(reader, path, model, *others)

    monkeypatch.setattr(FieldReader, "_in_all_corners", expanded)


# -- grids and choices -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_expanded")
@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"recipe": f"{{lr: [{numbers(2_001)}]}}"}, "3: recipe: a grid of 2,001 points; at most 2,000"),
        (
            {"recipe": f"{{lr: [{numbers(300)}], weight_decay: [{numbers(300)}]}}"},
            "3: recipe: a grid of 90,000 points; at most 2,000",
        ),
        (
            {"recipe": f"{{milestones: [{', '.join(f'[{n + 1}]' for n in range(2_001))}]}}"},
            "3: recipe: a grid of 2,001 points; at most 2,000",
        ),
        (
            {"recipe": f"{{lr: {{choice: [{numbers(300)}]}}, weight_decay: {{choice: [{numbers(300)}]}}}}"},
            "3: recipe: 90,002 combinations of two searched values, under 1 grid points; at most 2,000 together",
        ),
        (
            {"recipe": f"{{lr: {{choice: [{numbers(200)}]}}, weight_decay: [{numbers(200)}]}}"},
            "3: recipe: 201 combinations of two searched values, under 200 grid points; at most 2,000 together",
        ),
    ],
    ids=["one", "two", "of lists", "choices", "choice in grid"],
)
def test_a_grid_or_a_choice_that_is_too_large_is_refused_unexpanded(sections: dict[str, str], message: str) -> None:
    assert the_mistake(**sections).startswith(message)


def test_the_largest_grid_is_read() -> None:
    found = spec(methods=f"[kd: {{alpha: [{numbers(MOST_POINTS)}]}}]").methods[0].variants
    assert len(found) == MOST_POINTS
    assert found[-1].value["alpha"] == MOST_POINTS / 1000


def test_what_checks_a_field_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    adapter = fields.TypeAdapter

    def counted(*args: Any, **options: Any) -> Any:
        made.append(args)
        return adapter(*args, **options)

    monkeypatch.setattr(fields, "_adapters", {})
    monkeypatch.setattr(fields, "TypeAdapter", counted)
    spec(methods=f"[kd: {{alpha: [{numbers(40)}], temperature: {{choice: [{numbers(40)}]}}}}]")
    assert len(made) == 2


def test_a_value_that_stands_twice_is_found_whatever_it_is() -> None:
    twice = "stands twice in this grid"
    assert the_mistake(recipe="{milestones: [[3, 5], [4], [3, 5]]}").endswith(f"the value [3, 5] {twice}")
    assert the_mistake(recipe="{samples_per_class: [null, 5, null]}").endswith(f"the value nothing {twice}")
    main = "{name: gdkd, params: {k: 3}}"
    assert twice in the_mistake(methods=f"[dhkd: {{main: [{main}, {main}]}}]")
    assert spec(recipe="{milestones: [[3, 5], [5], [3]]}").recipes


class Counted:
    """A value that counts how often it is compared."""

    comparisons = 0

    def __init__(self, value: int) -> None:
        self.value = value

    def __ne__(self, other: object) -> bool:
        Counted.comparisons += 1
        return not isinstance(other, Counted) or self.value != other.value

    __hash__ = None  # type: ignore[assignment]


def variants(values: Iterable[Any], searched: Iterable[Any] = ()) -> tuple[Variant, ...]:
    fixed = [Variant({"alpha": value, "beta": 1}, {}) for value in values]
    return (*fixed, *(Variant({"alpha": value, "beta": 1}, {}, {"alpha": {"choice": [value]}}) for value in searched))


def test_each_point_is_compared_once_with_the_first() -> None:
    Counted.comparisons = 0
    found = Differing.of((), [MethodGrid("kd", variants(Counted(7) for _ in range(50)))])
    assert found.methods == {"kd": frozenset()}
    assert Counted.comparisons <= 50


def test_fields_differ_over_all_entries_of_a_method_and_not_where_they_are_searched() -> None:
    def of(*grids: MethodGrid) -> dict[str, frozenset[str]]:
        return Differing.of((), grids).methods

    assert of(MethodGrid("kd", variants([1, 2]))) == {"kd": frozenset({"alpha"})}
    assert of(MethodGrid("kd", variants([1])), MethodGrid("kd", variants([2]))) == {"kd": frozenset({"alpha"})}
    assert of(MethodGrid("kd", variants([1])), MethodGrid("dkd", variants([2]))) == {
        "kd": frozenset(),
        "dkd": frozenset(),
    }
    assert of(MethodGrid("kd", variants([1], searched=[2, 3]))) == {"kd": frozenset()}
    recipes = [Variant(Recipe(lr=rate), {}) for rate in (0.1, 0.1, 0.2)]
    assert Differing.of(recipes, ()).recipe == {"lr"}


@pytest.mark.parametrize("sizes", [(), (1,), (4,), (3, 2), (2, 5, 4, 1)])
def test_corners_are_counted_without_being_made(sizes: tuple[int, ...]) -> None:
    space = {f"field{place}": {"choice": list(range(size))} for place, size in enumerate(sizes)}
    assert corner_count(space) == (len(corners(space)) or 1)
    assert corner_count({"a": {"range": [0, 1]}} | space) == len(corners({"a": {"range": [0, 1]}} | space))
    halves = [{name: of} for name, of in space.items()]
    assert corner_count(*halves) == corner_count(space)


# -- the whole spec --------------------------------------------------------------------------------------------------


def test_too_many_configurations_are_refused_before_the_pairs_own_are_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    grids: list[object] = []
    grid = FieldReader.grid
    monkeypatch.setattr(FieldReader, "grid", lambda *args: grids.append(args) or grid(*args))  # type: ignore[func-returns-value]
    own = "{recipe: {lr: 0.02}}"
    pairs = f"[resnet20 -> resnet8: {own}, resnet14 -> resnet8: {own}]"
    message = (
        "4: pairs: 20,000 configurations (pairs × recipes × methods, with every combination of two searched values)"
    )
    alphas, rates = f"[kd: {{alpha: [{numbers(100)}]}}]", f"{{lr: [{numbers(100)}]}}"
    assert the_mistake(pairs=pairs, methods=alphas, recipe=rates) == f"{message}; at most {MOST_CONFIGURATIONS:,}"
    assert len(grids) == 2
    assert spec(methods=alphas, recipe=rates)


def test_what_is_searched_counts_by_its_combinations() -> None:
    values = f"{{choice: [{numbers(200)}]}}"
    found = the_mistake(methods=f"[kd: {{alpha: {values}}}]", recipe=f"{{base: digits, lr: {values}}}")
    assert found.startswith("4: pairs: 40,002 configurations")


def test_many_entries_of_a_method_are_refused_as_soon_as_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    grid = FieldReader.grid
    monkeypatch.setattr(FieldReader, "grid", lambda *args: read.append(args) or grid(*args))  # type: ignore[func-returns-value]
    entry = f"{{kd: {{alpha: [{numbers(40)}], temperature: [{numbers(50)}]}}}}"
    found = the_mistake(methods=f"[{', '.join([entry] * 50)}]")
    assert found.startswith("5: methods[5]: 12,000 configurations")
    assert len(read) == 7  # the recipe's and six of the methods'


def test_too_many_seeds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "at most 10,000" in the_mistake(seeds="10001")
    for module in (loader, fields):
        monkeypatch.setattr(module, "MOST_SEEDS", 5)
    assert "at most 5" in the_mistake(seeds="[0, 1, 2, 3, 4, 5]")


# -- the document ----------------------------------------------------------------------------------------------------


def test_too_many_keys_are_one_mistake() -> None:
    keys = ", ".join(f"key{number}: 1" for number in range(MOST_KEYS + 1))
    assert the_mistake(recipe=f"{{{keys}}}") == f"3: recipe: has {MOST_KEYS + 1:,} keys; at most {MOST_KEYS:,}"


def test_too_many_entries_are_one_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    assert yaml_lines.MOST_ENTRIES >= MOST_SEEDS
    monkeypatch.setattr(yaml_lines, "MOST_ENTRIES", 50)
    assert the_mistake(methods=f"[{', '.join(['kd'] * 51)}]") == "5: methods: has 51 entries; at most 50"
    assert spec(seeds=f"[{', '.join(map(str, range(50)))}]")


@pytest.mark.parametrize(
    "number",
    ["1" + ":59" * 3_000, "1" + ":59" * 3_000 + ".5", "0x" + "f" * 5_000, "0b" + "1" * 5_000, "9" * 5_000, "1_" * 200],
    ids=lambda number: number[:4],
)
@pytest.mark.parametrize("section", ["seeds", "description"])
def test_a_number_of_thousands_of_digits_is_a_mistake_on_its_line(number: str, section: str) -> None:
    length = f"{len(number):,}"
    assert (
        the_mistake(**{section: number})
        == f"{LAST}: {section}: is a number of {length} characters; at most 100 are read"
    )


@pytest.mark.parametrize(
    "number", ["1000000000000000000", "-1000000000000000000", "0xde0b6b3a7640000", "1" + ":59" * 12, "0x" + "f" * 90]
)
def test_a_whole_number_that_64_bits_do_not_hold_is_a_mistake(number: str) -> None:
    message = f"{LAST}: seeds: is too large; whole numbers have at most 18 digits, found "
    assert the_mistake(seeds=number).startswith(message)
    assert spec(seeds=f"[{10**18 - 1}]").seeds == (10**18 - 1,)


def test_mistakes_are_told_up_to_a_number() -> None:
    keys = ", ".join(f"key{number}: 1" for number in range(900))
    found = mistakes(recipe=f"{{{keys}}}", tracking="5")
    assert len(found) == MOST_MISTAKES + 1
    assert found[0].startswith("3: recipe.key0: unknown key 'key0'")
    assert found[-1] == f"{LAST}: there may be more mistakes; after {MOST_MISTAKES} no more are looked for"


def test_mistakes_while_parsing_are_told_up_to_a_number() -> None:
    found = mistakes(methods=f"[{', '.join(['007'] * 900)}]")
    assert len(found) == MOST_MISTAKES + 1
    assert all(": 007 begins with a zero" in one for one in found[:-1])


def test_long_names_are_cut_in_messages() -> None:
    for sections in ({"x" * 5_000: "1"}, {"methods": f"[{'x' * 5_000}]"}, {"dataset": "x" * 5_000}):
        assert len(the_mistake(**sections)) < 1_000
    assert len(the_mistake(pairs=f"[{'x' * 5_000}.pth -> resnet8]")) < 1_000


# -- fields whose size makes work ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("epochs", 100_000),
        ("batch_size", 1_000_000),
        ("warmup_epochs", 100_000),
        ("pad", 1_024),
        ("cutout", 2_048),
        ("randaugment_ops", 100),
    ],
)
def test_recipe_fields_that_make_work_have_a_limit(field: str, most: int) -> None:
    message = f"3: recipe.{field}: should be less than or equal to {most}, found 99999999999999"
    assert the_mistake(recipe=f"{{{field}: 99999999999999}}") == message
    assert the_mistake(recipe=f"{{{field}: {{range: [2, 99999999999999]}}}}").endswith("found 99999999999999")
    before = {"epochs": 100_000} if field == "warmup_epochs" else {}
    Recipe.model_validate(before | {field: most - (field == "warmup_epochs")})


SIZES = {("at", "p"), ("catkd", "resolution"), ("crd", "dim"), ("crd", "negatives"), ("dhkd", "hidden")}
SIZES |= {("reviewkd", "mid_channels"), ("wkd", "rounds"), ("tekap", "draws")}
UNLIMITED = {
    # no size: an epoch, a place, or a divisor, which the networks or the epochs bound
    *(("dhkd", "alpha_epochs"), ("sld", "start"), ("dkd", "warmup_epochs"), ("ctkd", "curriculum_epochs")),
    *(
        ("rld", "warmup_epochs"),
        ("normkd_dkd", "warmup_epochs"),
        ("abkd_dkd", "warmup_epochs"),
        ("sdd", "warmup_epochs"),
        ("ldrld", "k"),
        ("wkd", "decay_start"),
        ("wkd", "decay_end"),
    ),
    *(("reviewkd", "warmup_epochs"), ("fitnet", "hint_stage"), ("simkd", "factor")),
    *(("gdkd", "warmup_epochs"), ("gdkd", "k"), ("gdkd3", "warmup_epochs"), ("gdkd3", "k")),
}


def test_every_whole_number_of_a_method_is_known_to_have_a_limit_or_to_need_none() -> None:
    whole = {
        (name, field)
        for name, method in METHODS.items()
        for field, info in method.Params.model_fields.items()
        if info.annotation in (int, int | None)
    }
    assert whole == SIZES | UNLIMITED


@pytest.mark.parametrize(("method", "field"), sorted(SIZES))
def test_sizes_of_methods_have_a_limit(method: str, field: str) -> None:
    found = the_mistake(methods=f"[{method}: {{{field}: 99999999999999}}]")
    assert found.startswith(f"5: methods[0].{method}.{field}: should be less than or equal to ")


@pytest.mark.parametrize("method", ["sld", "mlkd"])
def test_a_method_has_so_many_temperatures_at_most(method: str) -> None:
    many = ", ".join(str(number + 1) for number in range(101))
    found = the_mistake(methods=f"[{method}: {{temperatures: [[{many}], [1]]}}]")
    assert found.startswith(f"5: methods[0].{method}.temperatures[0]: ")
    assert "at most 100 items" in found


@pytest.mark.parametrize("ends", ["[0, 1]", "[0, 1e30]", "[0, 1e308]"])
@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_a_range_has_so_many_steps_at_most(ends: str, sampler: str) -> None:
    searched = f"[kd: {{alpha: {{range: {ends}, step: 1e-9}}}}]"
    found = the_mistake(methods=searched, search=f"{{sampler: {sampler}}}")
    assert found.startswith("5: methods[0].kd.alpha: a range has at most 1,000,000 steps, found [0, 1")


@pytest.mark.parametrize("field", ["cpus", "workers", "cohort", "bank_gb"])
def test_what_a_trial_may_take_has_a_limit(field: str) -> None:
    found = the_mistake(compute=f"{{{field}: 99999999999999}}")
    assert found.startswith(f"{LAST}: compute.{field}: should be less than or equal to ")
