"""From a spec's file to a :class:`~search_spaces.schema.Spec`, with every mistake found in one go.

Grammar: in a method's hyperparameters and in the recipe, a list is a grid, and ``{range: …}`` or ``{choice: …}`` is
searched; every other value is fixed. A pair may bring values of its own, as in
``resnet32x4 -> ShuffleV2: {recipe: {lr: 0.01}, methods: {dkd: {beta: 8}}}``: they stand in for the defaults, and what
an entry under `methods` or `recipe` spells out wins over them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from search_spaces import yaml_lines
from search_spaces.fields import ONE_DATASET, FieldReader, as_seeds, shown
from search_spaces.files import is_file, spec_text
from search_spaces.limits import MOST_CONFIGURATIONS, MOST_SEEDS, MOST_TRIED
from search_spaces.named_teachers import Kind, kind_of, why_not_said
from search_spaces.own_code import loaded
from search_spaces.places import configurations_of, joint_space, points_of, searched_places, why_no_race, why_not_first
from search_spaces.schema import (
    Budget,
    Compute,
    MethodGrid,
    Pair,
    PairValues,
    Search,
    Spec,
    Teachers,
    Tracking,
    Variant,
    is_name,
)
from search_spaces.space import Space, count, size_of
from search_spaces.table import PLAIN, Table
from search_spaces.yaml_lines import Document
from trainers.code import Code
from trainers.config import Recipe
from trainers.errors import InputError, SpecError, shortened, unknown_name

KEYS = (
    *("name", "description", "code", "dataset", "recipe", "teachers", "pairs", "methods", "seeds", "protocol"),
    *("baseline", "search", "budget", "compute", "tracking", "table"),
)
REQUIRED = ("name", "dataset", "pairs", "methods")
PAPER_TRAINS_ON_ALL = "protocol 'paper' trains on the full training set; leave this out"


def load_spec(spec: str) -> Spec:
    """Load a spec from a file, or a shipped one by its name.

    Raises:
        InputError: when there is no such spec, or it cannot be read as text.
        SpecError: with all mistakes of the spec.
    """
    return parse_spec(*spec_text(spec))


def parse_spec(text: str, source: str, *, elsewhere: bool = False, code: Code | None = None) -> Spec:
    """Check and expand a spec's text. The user's code that it names is loaded into this process.

    Args:
        text: the file's content.
        source: how messages name it.
        elsewhere: the sweep runs on other machines, so that the files it names need not be on this one.
        code: the files under `code`, where they have come with the text; None: they lie beside `source`.

    Raises:
        SpecError: with all its mistakes.
    """
    document = Document(text, source)
    spec = _Reader(document, elsewhere, code).read(text) if not document.mistakes else None
    if spec is None or document.mistakes:
        raise SpecError(document.mistakes)
    return spec


class _Reader(FieldReader):
    """Reads a document section by section, noting mistakes and going on."""

    def __init__(self, document: Document, elsewhere: bool, code: Code | None) -> None:
        super().__init__(document)
        self._elsewhere = elsewhere
        self._given = code

    def read(self, text: str) -> Spec | None:
        data = self.document.data
        if not isinstance(data, dict):
            self.add((), f"a spec is a mapping with the keys {', '.join(REQUIRED)}, …; found {shown(data)}")
            return None
        self.unknown_keys((), data, KEYS, "key")
        for key in REQUIRED:
            if key not in data:
                self.add((), f"the key '{key}' is missing")
            elif data[key] is None:
                self.add((key,), "is empty")
        code = self._code(data.get("code"))
        dataset, options = self._dataset(data.get("dataset"))
        protocol = self.one_of(("protocol",), data.get("protocol", "validation"), ("validation", "paper"))
        teachers = self.model(("teachers",), Teachers, data.get("teachers", {}))
        recipe_name, teacher_recipe, recipes = self._recipes(data.get("recipe", "cifar"), teachers, protocol)
        methods = self._methods(data.get("methods"), {})
        fields: dict[str, Any] = {
            "pairs": self._pairs(data, recipes, methods, protocol),
            "seeds": self._seeds(data.get("seeds", 3)),
            "baseline": self._baseline(data, methods),
            "budget": self.model(("budget",), Budget, data.get("budget", {})) or Budget(),
            "compute": self.model(("compute",), Compute, data.get("compute", {})) or Compute(),
            "tracking": self.model(("tracking",), Tracking, data.get("tracking", {})) or Tracking(),
        }
        fields["table"] = self.model(("table",), Table, data.get("table", {})) or PLAIN
        fields["search"] = self._search(data, protocol, fields["pairs"], fields["seeds"])
        name, description = self._name(data.get("name")), data.get("description", "")
        if not isinstance(description, str):
            quotes = self.meant(("description",), description, lambda other: isinstance(other, str))
            self.add(("description",), f"must be text, found {shown(description)}{quotes}")
        if self.document.mistakes:
            return None
        return Spec(
            name=name,
            description=description,
            dataset=dataset,
            dataset_options=options,
            recipes=recipes,
            recipe_name=recipe_name,
            teacher_recipe=teacher_recipe,
            teacher_seed=teachers.seed if teachers else 0,
            methods=methods,
            protocol=protocol,
            text=text,
            source=self.document.file,
            code=code,
            **fields,
        )

    # -- sections ---------------------------------------------------------------------------------------------------

    def _name(self, value: Any) -> str:
        if value is not None and not is_name(value):
            quotes = self.meant(("name",), value, is_name)
            self.add(("name",), f"must be letters, digits, '.', '_' and '-', at most 64, found {shown(value)}{quotes}")
        return str(value)

    def _code(self, value: Any) -> Code:
        """The user's files, loaded. Raises SpecError where they cannot be: no other name could be judged."""
        paths = self.listed(("code",), value)
        if value is not None and not paths:
            raise SpecError(self.document.mistakes)
        try:
            return loaded(paths, self.document.file, self._given)
        except InputError as error:
            self.add(("code",), str(error))
            raise SpecError(self.document.mistakes) from error

    def _dataset(self, value: Any) -> tuple[str, dict[str, Any]]:
        from trainers.data import DATASETS

        if value is None:
            return "", {}
        name, options = self.named(("dataset",), value)
        if name is None:
            return "", {}
        if name not in DATASETS:
            self.add(("dataset",), unknown_name("data set", name, DATASETS))
            return name, {}
        source = self.model(("dataset", name), DATASETS[name], options, single=ONE_DATASET)
        return name, source.model_dump(mode="json") if source else {}

    def _recipes(
        self, value: Any, teachers: Teachers | None, protocol: str, own: dict[str, Any] | None = None
    ) -> tuple[str, Recipe, tuple[Variant, ...]]:
        """Name, the teachers' recipe, and the students' grid over a pair's own values (`own`)."""
        from trainers.recipes import RECIPES

        fields = dict(value) if isinstance(value, dict) else {"base": value}
        base = fields.pop("base", "cifar")
        if not isinstance(base, str) or base not in RECIPES:
            self.add(("recipe", "base"), unknown_name("recipe", base, RECIPES))
            base = "cifar"
        if protocol == "paper" and fields.get("val_fraction", 0) != 0:
            self.add(("recipe", "val_fraction"), PAPER_TRAINS_ON_ALL)
        start = RECIPES[base].model_dump()
        start |= ({"val_fraction": 0.0} if protocol == "paper" else {}) | (own or {})
        variants = self.grid(("recipe",), Recipe, fields, start)
        if not variants or teachers is None:
            self.check_fields(("teachers", "recipe"), Recipe, teachers.recipe if teachers else {})
            return base, Recipe(), ()
        # a grid over the recipe is for students: teachers take its first point, which no value added to it changes
        teacher = self.model(("teachers", "recipe"), Recipe, teachers.recipe, start | variants[0].chosen)
        return base, teacher or Recipe(), variants

    def _pairs(
        self, data: dict[str, Any], recipes: tuple[Variant, ...], methods: tuple[MethodGrid, ...], protocol: str
    ) -> tuple[Pair, ...]:
        pairs: dict[Pair, Pair] = {}
        listed = self.listed(("pairs",), data.get("pairs"))
        self._refuse_size(("pairs",), len(listed) * configurations_of(recipes, methods))
        for index, item in enumerate(listed):
            path = ("pairs", index)
            text, values = next(iter(item.items())) if isinstance(item, dict) and len(item) == 1 else (item, None)
            pair = self._pair(path, text, item)
            if pair is None:
                continue
            if pair in pairs:
                self.add(path, f"the pair {text} stands here twice")
            own = None if values is None else self.model((*path, text), PairValues, values)
            self._check_own((*path, text), own, protocol)
            said = own.teacher if own is not None else None
            why_not = why_not_said(pair, said, pairs.values())
            if why_not is not None:
                self.add((*path, text), why_not)
            if own is not None and not self.document.mistakes:
                _, _, recipes_here = self._recipes(data.get("recipe", "cifar"), Teachers(), protocol, own.recipe)
                pair = replace(pair, recipes=recipes_here, methods=self._methods(data.get("methods"), own.methods))
            else:
                pair = replace(pair, recipes=recipes, methods=methods)
            pairs[pair] = replace(pair, normalisation=said)
        return tuple(pairs.values())

    def _refuse_size(self, path: yaml_lines.Path, configurations: int) -> None:
        """Raises SpecError where there are absurdly many configurations, before more of them are made."""
        if configurations > MOST_CONFIGURATIONS:
            what = "pairs × recipes × methods, with every combination of two searched values"
            self.add(path, f"{configurations:,} configurations ({what}); at most {MOST_CONFIGURATIONS:,}")
            raise SpecError(self.document.mistakes)

    def _pair(self, path: yaml_lines.Path, text: Any, item: Any) -> Pair | None:
        """The pair that `text` names, without what is trained under it."""
        parts = [part.strip() for part in re.split(r"->|→", text)] if isinstance(text, str) else []
        if len(parts) != 2 or not all(parts):
            self.add(path, f"a pair is written 'teacher -> student', found {shown(item)}")
            return None
        kind = self._teacher_kind(path, parts[0])
        self._known_model(path, parts[1])
        return Pair(parts[0], parts[1], kind)

    def _teacher_kind(self, path: yaml_lines.Path, teacher: str) -> Kind:
        kind = kind_of(teacher)
        if kind != "file":
            self._known_model(path, teacher.partition("@")[0])
        elif not (self._elsewhere or is_file(teacher)):
            what = "a teacher is an architecture, a stored one, or its file"
            self.add(path, f"there is no file {shortened(teacher)}; {what}")
        return kind

    def _known_model(self, path: yaml_lines.Path, name: str) -> None:
        from trainers.models import MODELS

        if name not in MODELS:
            self.add(path, MODELS.unknown(name))

    def _check_own(self, path: yaml_lines.Path, own: PairValues | None, protocol: str) -> None:
        """A pair's own values, one by one."""
        from trainers.distillers import METHODS

        if own is None:
            return
        self.check_fields((*path, "recipe"), Recipe, own.recipe)
        if protocol == "paper" and own.recipe.get("val_fraction", 0) != 0:
            self.add((*path, "recipe", "val_fraction"), PAPER_TRAINS_ON_ALL)
        for name, values in own.methods.items():
            if name in METHODS:
                self.check_fields((*path, "methods", name), METHODS[name].Params, values)
            else:
                self.add((*path, "methods", name), unknown_name("method", name, METHODS))

    def _methods(self, value: Any, own: dict[str, dict[str, Any]]) -> tuple[MethodGrid, ...]:
        """The methods' grids, over the values that a pair brings (`own`)."""
        from trainers.distillers import METHODS

        methods, points = [], 0
        for index, item in enumerate(self.listed(("methods",), value)):
            path = ("methods", index)
            name, params = self.named(path, item)
            if name is None:
                continue
            if name not in METHODS:
                self.add((*path, name), unknown_name("method", name, METHODS))
                continue
            methods.append(MethodGrid(name, self.grid((*path, name), METHODS[name].Params, params, own.get(name, {}))))
            points += points_of(methods[-1])
            self._refuse_size(path, points)
        return tuple(methods)

    def _seeds(self, value: Any) -> tuple[int, ...]:
        seeds = as_seeds(value)
        if not seeds:
            wanted = f"a number of seeds from 1 on (at most {MOST_SEEDS:,}), or a list of different ones"
            meant = self.meant(("seeds",), value, lambda other: bool(as_seeds(other)), several=False)
            self.add(("seeds",), f"must be {wanted}, found {shown(value)}{meant}")
        return seeds

    def _search(self, data: dict[str, Any], protocol: str, pairs: tuple[Pair, ...], seeds: tuple[int, ...]) -> Search:
        given = data.get("search", {})
        looks_ahead = isinstance(given, dict) and given.get("sampler") == "curves"
        search = self.model(("search",), Search, given, {"pruner": "curves"} if looks_ahead else None) or Search()
        metrics = search.metrics or (("test_acc",) if protocol == "paper" else ("val_acc",))
        wrong = "val_acc" if protocol == "paper" else "test_acc"
        if wrong in metrics:
            why = "holds nothing out" if protocol == "paper" else "chooses nothing on test accuracy"
            self.add(("search", "metrics"), f"protocol '{protocol}' {why}, so {wrong} cannot be searched for")
        elif not metrics[0].endswith("_acc") or len(set(metrics)) < len(metrics):
            self.add(("search", "metrics"), f"must be different ones, accuracy first, found {list(metrics)}")
        spaces = [joint_space(*place) for pair in pairs for place in searched_places(pair)]
        if "search" in data and not spaces and not self.document.mistakes:
            self.add(("search",), "nothing in this spec is searched; give a method or the recipe a range or a choice")
        if search.sampler in ("grid", "brute_force"):
            self._check_finite(search.sampler, spaces)
        for number, point in enumerate(search.first or ()):
            why_not = why_not_first(point, spaces)
            if spaces and why_not is not None:
                self.add(("search", "first", number), why_not)
        if protocol != "paper":
            self._check_held_out(pairs)
        if search.race and (no_race := why_no_race(seeds, search.race)):
            self.add(("search", "race"), no_race)
        if len(metrics) > 1 and search.pruner != "none" and "pruner" in data.get("search", {}):
            self.add(("search", "pruner"), "with several metrics nothing is given up early; leave this out")
        return search.model_copy(update={"metrics": metrics, "pruner": search.pruner if len(metrics) == 1 else "none"})

    def _check_finite(self, sampler: str, spaces: list[Space]) -> None:
        """A sampler that tries every point needs finitely many, and not absurdly many."""
        endless = sorted({key for space in spaces for key, dimension in space.items() if size_of(dimension) is None})
        if endless:
            self.add(("search", "sampler"), f"'{sampler}' needs a step (or choice) for {', '.join(endless)}")
            return
        most = max((count(space) or 0 for space in spaces), default=0)
        if most > MOST_TRIED:
            self.add(("search", "sampler"), f"'{sampler}' has {most:,} points to try; at most {MOST_TRIED:,}")

    def _check_held_out(self, pairs: tuple[Pair, ...]) -> None:
        """A search by validation accuracy needs images to validate on."""
        recipes = [recipe for pair in pairs for recipe, _ in searched_places(pair)]
        for recipe in recipes:
            searched = recipe.space.get("val_fraction", {})
            shares = searched.get("choice") or searched.get("range") or [recipe.value.val_fraction]
            if 0 in shares:
                why = "a search by val_acc needs a share of the training set held out, found val_fraction 0"
                self.add(("recipe", "val_fraction"), f"{why}; `protocol: paper` searches by test_acc")
                return

    def _baseline(self, data: dict[str, Any], methods: tuple[MethodGrid, ...]) -> str:
        names = {method.name for method in methods}
        if "baseline" not in data:
            return "kd"
        if data["baseline"] not in [*names] and names:
            self.add(("baseline",), unknown_name("baseline (one of this spec's methods)", data["baseline"], names))
        return str(data["baseline"])
