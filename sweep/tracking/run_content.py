"""What an MLflow run holds of a trial: its tags, parameters, metrics and data set, from what the ledger says.

Tags are words to group and filter by, parameters what the charts of MLflow can draw against (they take no tags).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING, Any

from sweep.ledger.origin import Origin, origin_of
from sweep.ledger.provenance import shown
from sweep.plan.labels import student_of, teacher_of
from sweep.tracking.charted import CHARTED
from sweep.tracking.long_values import in_parts
from sweep.tracking.mlflow_internals import DATA_CONTEXT, LONGEST_PARAM, LONGEST_TAG, SOURCE_COMMIT
from trainers.storage.content import content_key
from trainers.versions import OURS

if TYPE_CHECKING:
    from sweep.plan.slots import Plan, SearchedCell, Slot

SYSTEM = "system/"
"""How the names of the metrics begin that MLflow's tab of system metrics shows."""
PARENT = "sweep"
"""The parent run's `sweep.key`."""
EPOCH_METRICS = ("loss", "lr", "train_acc", "train_acc5", "val_acc", "val_acc5", "test_acc", "test_acc5")
BEST = ("best_epoch", "best_test_acc")
"""Metrics of a whole trial that depend on the protocol."""
PLACES = ("model", "teacher", "method", "seed")
"""Parameters that are no hyperparameters."""
ORDER = "order."
"""How the parent run's tags begin that tell in which order the table's rows stand; their number follows."""
CHOSEN = "chosen."
"""How the parent run's tags begin that tell what each search has won; the cell's id follows."""
MADE_WITH = "made_with."
"""How the tags begin that tell what a trial was trained with; the package's name follows."""
FROM, FROM_ID, FROM_TIME = "taken_from", "taken_from.id", "taken_from.ended"
"""Tags of a trial that another sweep has trained: that sweep's name, its ledger's id, and when the trial ended."""
BOTH = "sweep.both"
"""The parent's tag that tells of teachers that are students of the table as well, as JSON; see :func:`both_tag`."""
TABLE = "sweep.table"
"""The parent's tag that tells how the table is printed, as JSON; empty where the spec says nothing of it."""
RAN_ON = "ran_on."
"""How the tags begin that tell where it was trained: ``host``, ``gpu`` or ``cpu``, ``driver``, ``python``."""
COMMIT = "commit."
"""How the parent's tags begin that tell which commits the last run began from: of the ``spec``, of its ``code`` where
that is another repository's, and of ``kd-sweep``."""
ROW_KEY = 8
"""Hexadecimal digits of a row's key there."""


def may_change(metric: str) -> bool:
    """Whether a metric of a whole trial is another one when the plan is."""
    return metric in BEST or metric.startswith(CHARTED)


def epoch_metrics(result: dict[str, Any]) -> dict[str, float]:
    """An epoch's result as MLflow metrics; loss terms are named ``term/<name>``, diagnostics ``diagnostics/<name>``."""
    metrics = {name: result[name] for name in (*EPOCH_METRICS, "images_per_second") if result[name] is not None}
    terms = {f"term/{name}": value for name, value in result["terms"].items()}
    measured = {f"diagnostics/{name}": value for name, value in result.get("diagnostics", {}).items()}
    return metrics | terms | measured | system_metrics(result)


def system_metrics(result: dict[str, Any]) -> dict[str, float]:
    """What an epoch took of the machine, as MLflow's tab of system metrics shows it: the mean, and of memory the peak;
    of an older ledger nothing."""
    shown = {name: "peak" if name.endswith("megabytes") else "mean" for name in result.get("system", {})}
    return {f"{SYSTEM}{name}": result["system"][name][kind] for name, kind in shown.items()}


def summary_metrics(body: dict[str, Any]) -> dict[str, float]:
    """Numbers of a whole trial, for the columns of the runs table, from the event that ended it."""
    if "best" not in body:
        return {}
    best = body["best"]
    numbers = {"best_epoch": best["epoch"], "best_test_acc": best["test_acc"], "train_seconds": body["seconds"]}
    if not body["epochs"]:  # a teacher that was stored before, or trained again: no epoch tells of it
        numbers |= accuracies(body["last"])
    return {name: float(value) for name, value in numbers.items()}


def accuracies(last: dict[str, Any]) -> dict[str, float]:
    """Those of a trial's last epoch, as far as something was measured."""
    return {name: float(value) for name, value in last.items() if name.endswith("_acc") and value is not None}


def replaced_metrics(last: dict[str, Any], former: dict[str, Any]) -> dict[str, float]:
    """The numbers of a last epoch that take the place of a former one's; NaN where they are not known.

    Of a teacher that another sweep has trained again only its passport tells, which lacks the training accuracy. The
    run would go on to show that of the former weights.
    """
    values = {name: last.get(name) for name in EPOCH_METRICS if former.get(name) is not None}
    return {name: nan if value is None else float(value) for name, value in values.items()}


def parameters(config: dict[str, Any]) -> dict[str, Any]:
    """A trial's config as flat MLflow params: the method's hyperparameters by their own names.

    Which data set and which teacher's weights they are is the same for many trials, and stands in tags.
    """
    teacher = config["teacher"] or {"architecture": "none"}
    return {
        "model": config["model"],
        "teacher": teacher["architecture"],
        "method": config["method"]["name"],
        "seed": config["seed"],
        **config["method"]["params"],
        **{f"recipe.{name}": value for name, value in config["recipe"].items()},
    }


def start_tags(body: dict[str, Any]) -> dict[str, str]:
    """Of a trial that starts: where it stands in the sweep, and what it is made with."""
    tags = place_tags({name: body[name] for name in ("stage", "pair", "method", "label", "recipe", "seed")}, _row(body))
    tags["dataset"] = body["config"]["dataset"]["name"]
    if body["config"]["teacher"]:
        tags["teacher_hash"] = body["config"]["teacher"]["hash"]
    return tags


def release_tags(body: dict[str, Any]) -> dict[str, str]:
    """What a trial was made with, and where, from the event that ended it; of an older ledger nothing."""
    return _named(MADE_WITH, body.get("made_with", {})) | _named(RAN_ON, body.get("ran_on", {}))


def origin_tags(body: dict[str, Any]) -> dict[str, str]:
    """Where a run of the driver comes from, by the event that began it; of an older ledger nothing."""
    noted = body.get("provenance")
    if noted is None:
        return {}
    commits = {name: shown(state) for name, state in noted["repositories"].items()}
    shows = [noted["repositories"][name]["commit"] for name in ("spec", "code", OURS) if name in noted["repositories"]]
    tags = _named(MADE_WITH, noted["releases"]) | _named(RAN_ON, noted["machine"]) | _named(COMMIT, commits)
    return tags | ({SOURCE_COMMIT: shows[0]} if shows else {})


def _named(prefix: str, values: dict[str, str]) -> dict[str, str]:
    return {prefix + name: value for name, value in values.items()}


def taken_tags(body: dict[str, Any]) -> dict[str, str]:
    """Where a trial was trained that was taken over from another sweep, from the event that ended it."""
    origin = origin_of(body)
    return {FROM: origin.sweep, FROM_ID: origin.id, FROM_TIME: str(origin.ended)} if origin else {}


def taken_told(tags: dict[str, str]) -> dict[str, Any]:
    """What the body of a trial's end holds of that, back from the tags."""
    known = FROM in tags and FROM_ID in tags and FROM_TIME in tags
    return Origin(tags[FROM], tags[FROM_ID], float(tags[FROM_TIME])).noted() if known else {}


def slot_tags(slot: Slot) -> dict[str, str]:
    """Where a planned trial stands in the sweep; see :func:`place_tags`."""
    names = ("stage", "pair", "method", "label", "recipe", "seed")
    return place_tags({name: getattr(slot, name) for name in names}, slot.row)


def place_tags(place: dict[str, Any], row: str) -> dict[str, str]:
    """Where a trial stands in the sweep: its `stage`, `pair`, `method`, `label`, `recipe` and `seed`.

    ``row`` is the row of the leaderboard that it counts for; teachers and search trials have none, but for those that a
    search has won.
    """
    teacher, student = teacher_of(place["pair"]), student_of(place["pair"])
    tags = {name: str(value) for name, value in place.items()} | {"teacher": teacher}
    return tags | ({"student": student} if student else {}) | ({"row": row} if place["stage"] == "confirm" else {})


def _row(body: dict[str, Any]) -> str:
    return str(body.get("row", body["label"]))


def row_key(row: Slot | SearchedCell) -> str:
    """A row of the table, in a word: its recipe, its pair and its label."""
    return content_key([row.recipe, row.pair, row.label])[:ROW_KEY]


def order_tags(plan: Plan) -> dict[str, str]:
    """The keys of the plan's rows as they stand in the table, those of the searches last."""
    keys = [*map(row_key, plan.slots), *map(row_key, plan.searched)]
    rows = list(dict.fromkeys(keys))
    some = LONGEST_TAG // (ROW_KEY + 1)
    return {f"{ORDER}{n}": " ".join(rows[start : start + some]) for n, start in enumerate(range(0, len(rows), some))}


def both_tag(plan: Plan) -> dict[str, str]:
    """Of teachers that are students of the table as well, by key, the places that they have there: a network that
    teaches and is trained alone by the same recipe and seed is one trial, and one run, the teacher's."""
    teachers = {slot.id for slot in plan.slots if slot.stage == "teacher"}
    both: dict[str, list[dict[str, str]]] = {}
    for slot in plan.students:
        if slot.id in teachers:
            place = {"pair": slot.pair, "method": slot.method, "label": slot.label, "recipe": slot.recipe}
            both.setdefault(slot.id, []).append(place)
    return {BOTH: json.dumps(both, ensure_ascii=False) if both else ""}


def both_told(tags: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    """These places back from the parent's tags; none where an earlier release has told of the plan."""
    found: dict[str, list[dict[str, str]]] = json.loads(tags.get(BOTH) or "{}")
    return found


def table_tag(plan: Plan) -> dict[str, str]:
    """How the plan has its table printed."""
    return {TABLE: json.dumps(plan.table, ensure_ascii=False) if plan.table else ""}


def table_told(tags: dict[str, str]) -> dict[str, Any]:
    """The plan's `table` back from the parent's tags; nothing where they hold none, or something else."""
    try:
        told = json.loads(tags.get(TABLE) or "{}")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def dataset_input(dataset: dict[str, Any]) -> Any:
    """A trial's data set, as the input of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps(dataset["options"], sort_keys=True)
    entity = Dataset(name=dataset["name"], digest=dataset["content"], source_type="local", source=source)
    return DatasetInput(entity, [InputTag(DATA_CONTEXT, "training")])


def run_tags(values: dict[str, str]) -> list[Any]:
    """As MLflow's client takes them; a value that is too long for a tag as several."""
    from mlflow.entities import RunTag

    return [RunTag(name, value) for name, value in in_parts(values, LONGEST_TAG).items()]


def run_params(values: dict[str, Any]) -> list[Any]:
    """As MLflow's client takes them; a value that is too long for a parameter as several."""
    from mlflow.entities import Param

    texts = {name: str(value) for name, value in values.items()}
    return [Param(name, value) for name, value in in_parts(texts, LONGEST_PARAM).items()]


def metrics_at(values: dict[str, float], time: float, step: int, model: str | None = None) -> list[Any]:
    """As MLflow's client takes them; with the id of a logged model they are that model's as well."""
    from mlflow.entities import Metric

    return [Metric(name, value, milliseconds(time), step, model_id=model) for name, value in values.items()]


def milliseconds(time: float) -> int:
    """Seconds since 1970, as MLflow counts them."""
    return int(time * 1000)


def described(markdown: str, above: Sequence[str] = ()) -> str:
    """A table and its caption as a run's description: as many whole lines of it as fit below the paragraphs `above`."""
    text = "\n\n".join([*above, markdown])
    if len(text) <= LONGEST_TAG:
        return text
    more = "\n\n… the whole table: `leaderboard.md` among the artifacts"
    return text[: LONGEST_TAG - len(more)].rpartition("\n")[0] + more
