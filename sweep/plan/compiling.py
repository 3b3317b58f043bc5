"""Which networks of a spec are compiled, where its recipes say `compile: auto`.

That is decided for a network and a recipe, all methods alike, before the plan is made (:mod:`sweep.cost.compiling`):
compiled and plain students differ in rounding, so it is part of a trial's key, and a trial says `true` or `false`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from search_spaces.schema import Spec
from sweep.plan.kinds import of_recipe
from trainers.config import Recipe
from trainers.storage.content import content_key

if TYPE_CHECKING:
    from sweep.plan.slots import Plan, SearchedCell, Slot

AUTO = "auto"


def trained_as(model: str, recipe: dict[str, Any]) -> str:
    """What it is decided for: a network, and what of a recipe, as JSON, decides how long its training takes."""
    return content_key([model, recipe["epochs"], *of_recipe(recipe | {"compile": AUTO})])


def decided(recipe: Recipe, model: str, compiled: Mapping[str, Mapping[str, Any]]) -> Recipe:
    """The recipe as trials of a network have it. Not compiled, where nothing has been decided yet.

    Args:
        recipe: as the spec has it.
        model: an architecture.
        compiled: what was decided, as :attr:`search_spaces.schema.Spec.compiled`.
    """
    if recipe.compile != AUTO:
        return recipe
    found = compiled.get(trained_as(model, recipe.model_dump(mode="json")), {})
    return recipe.model_copy(update={"compile": bool(found.get("compile", False))})


def undecided(spec: Spec) -> dict[str, str]:
    """The networks of a spec for which it is not decided yet, by what it is decided for. Of a trial that several
    workers train nothing is compiled."""
    if spec.compute.workers > 1:
        return {}
    left = ((trained_as(model, recipe.model_dump(mode="json")), model) for model, recipe in _asking(spec))
    return {kind: model for kind, model in left if kind not in spec.compiled}


def asked(spec: Spec, plan: Plan) -> dict[str, str]:
    """The networks that say `auto` and that the spec's plan trains, decided or not, by what it is decided for: a
    teacher that no method asks for is none of them."""
    if spec.compute.workers > 1:
        return {}
    everything: list[Slot | SearchedCell] = [*plan.slots, *plan.cells]
    trained = {trained_as(one.config["model"], one.config["recipe"]) for one in everything}
    asking = ((trained_as(model, recipe.model_dump(mode="json")), model) for model, recipe in _asking(spec))
    return {kind: model for kind, model in asking if kind in trained}


def _asking(spec: Spec) -> Iterator[tuple[str, Recipe]]:
    """Each network with each of its recipes that say `auto`."""
    for pair in spec.pairs:
        if pair.kind == "architecture" and spec.teacher_recipe.compile == AUTO:
            yield pair.teacher, spec.teacher_recipe
        yield from ((pair.student, point.value) for point in pair.recipes if point.value.compile == AUTO)
