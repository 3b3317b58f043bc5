"""The ways in which a spec's trials cut its data set."""

from __future__ import annotations

from dataclasses import replace

from search_spaces.cuts import CUT_BY, cuts
from tests.support.examples import SPEC, small_spec


def cut_by(**recipe: object) -> list[tuple[object, ...]]:
    """The cuts of a spec whose teachers have the first of its students' recipes."""
    spec = small_spec(recipe=SPEC["recipe"] | recipe, methods=["kd"])
    found = cuts(replace(spec, teacher_recipe=spec.pairs[0].recipes[0].value))
    return [tuple(getattr(one, name) for name in CUT_BY) for one in found]


def test_what_does_not_decide_the_cut_makes_none() -> None:
    assert cut_by() == cut_by(lr=[0.1, 0.2, 0.3], epochs={"range": [3, 9]}) == [(0.25, 8, None, 0, 1.0)]


def test_each_way_to_cut_is_there_once() -> None:
    found = cut_by(samples_per_class=[4, 8], lr=[0.1, 0.2], test_per_class=[None, 9])
    assert found == [(0.25, *rest, 0, 1.0) for rest in ((4, None), (4, 9), (8, None), (8, 9))]
    assert [cut[4] for cut in cut_by(labelled_fraction={"range": [0.2, 0.5]})] == [0.2, 0.5]


def test_a_search_cuts_by_its_outermost_values_together() -> None:
    found = cut_by(val_fraction={"range": [0.1, 0.5]}, samples_per_class={"range": [2, 9]}, split_seed=3)
    assert {cut[:2] for cut in found} == {(0.1, 2), (0.1, 9), (0.5, 2), (0.5, 9)}
    assert {cut[3] for cut in found} == {3}
    assert [cut[1] for cut in cut_by(samples_per_class={"choice": [5, None, 7]})] == [5, None, 7]


def test_teachers_and_a_pair_s_own_recipe_cut_too() -> None:
    pairs = [*SPEC["pairs"], {"resnet20 -> resnet14": {"recipe": {"val_fraction": 0.5}}}]
    spec = small_spec(pairs=pairs, teachers={"recipe": {"samples_per_class": None}})
    assert [recipe.val_fraction for recipe in cuts(spec)] == [0.25, 0.25, 0.5]
    assert [recipe.samples_per_class for recipe in cuts(spec)] == [None, 8, 8]
