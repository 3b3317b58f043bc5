"""What `sweep list` knows: the names that a spec can use, and the sweeps that have run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from sweep.formats import Format, listing
from sweep.layout import Root, SweepPaths
from sweep.plan.labels import shown
from trainers.errors import InputError, StorageError, unknown_name


def printed(what: str, root: Root, how: Format) -> str:
    """One listing as text. Raises InputError for a kind that does not exist."""
    found = rows(what, root)
    return listing(_side_by_side(found) if what == "recipes" and how is Format.TABLE else found, how)


def rows(what: str, root: Root) -> list[dict[str, Any]]:
    """The rows of one listing, with what installed packages register. Raises InputError for a kind that does not exist,
    and where such a package cannot be used."""
    if what not in LISTINGS:
        raise InputError(unknown_name("listing", what, LISTINGS))
    if what in REGISTERED:
        from trainers.code import load_installed

        load_installed()
    return LISTINGS[what](root)


def _methods(root: Root) -> list[dict[str, Any]]:
    from trainers.distillers import METHODS

    return [
        {"method": name, "what": method.summary, "hyperparameters": _fields(method.Params)}
        for name, method in METHODS.items()
    ]


def _models(root: Root) -> list[dict[str, Any]]:
    from trainers.models import MODELS, TIMM, build
    from trainers.models.outline import outlines

    with outlines():
        ours = [
            {"model": name, "parameters": sum(p.numel() for p in build(name, num_classes=100).parameters())}
            for name in MODELS
        ]
    return [*ours, {"model": f"{TIMM}NAME, any of timm.list_models() (pip install timm)", "parameters": None}]


def _datasets(root: Root) -> list[dict[str, Any]]:
    from trainers.data import DATASETS

    return [{"dataset": name, "what": source.summary, "options": _fields(source)} for name, source in DATASETS.items()]


def _recipes(root: Root) -> list[dict[str, Any]]:
    from trainers.recipes import RECIPES

    return [{"recipe": name, **recipe.model_dump(mode="json")} for name, recipe in RECIPES.items()]


def _side_by_side(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Recipes as a person compares them: a column for each, and a row for each field, as a spec writes it."""
    fields = [field for field in found[0] if field != "recipe"]
    return [{"field": field} | {recipe["recipe"]: _cut(shown(recipe[field])) for recipe in found} for field in fields]


def _cut(text: str) -> str:
    """What a column of recipes has room for; other formats have all of it."""
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _specs(root: Root) -> list[dict[str, Any]]:
    from search_spaces.files import shipped_specs
    from search_spaces.loader import load_spec

    loaded = {name: load_spec(name) for name in shipped_specs()}
    return [{"spec": name, "dataset": spec.dataset, "what": spec.description} for name, spec in loaded.items()]


def _sweeps(root: Root) -> list[dict[str, Any]]:
    return [{"sweep": name, **_how_far(root.sweep(name))} for name in root.names()]


def _how_far(paths: SweepPaths) -> dict[str, Any]:
    """A sweep's columns; one whose ledger cannot be read says so, and costs the others nothing."""
    from sweep.ledger import lock
    from sweep.ledger.store import Ledger
    from sweep.results import read

    try:
        with closing(Ledger(paths.ledger)) as ledger:
            trials = read.distinct(read.trials(ledger)[1]) if ledger.latest("plan") else []
    except StorageError:
        seen = paths.root.typed(f"status {paths.folder.name}")
        return {"trials": None, "finished": None, "running": f"unreadable: {seen}"}
    done = sum(trial.state == "finished" for trial in trials)
    return {"trials": len(trials), "finished": done, "running": "yes" if lock.holder(paths.lock) else ""}


def _fields(model: Any) -> str:
    """``path, alpha=1.0, head=linear``: fields and their defaults, where they have one."""
    return ", ".join(
        name if field.is_required() else f"{name}={shown(_plain(field.get_default(call_default_factory=True)))}"
        for name, field in model.model_fields.items()
    )


def _plain(value: Any) -> Any:
    """A nested config as a spec would write it."""
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


LISTINGS: dict[str, Callable[[Root], list[dict[str, Any]]]] = {
    "methods": _methods,
    "models": _models,
    "datasets": _datasets,
    "recipes": _recipes,
    "specs": _specs,
    "sweeps": _sweeps,
}
WIDEST = 15
"""Characters of a recipe's value beside those of other recipes."""
REGISTERED = frozenset({"methods", "models", "datasets", "recipes"})
"""Listings of what installed packages may add to."""
