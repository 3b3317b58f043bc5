"""What `sweep studies` does: the searches of a sweep as a listing, and as Optuna studies in a storage of the user's.

The studies that steer a sweep live in memory and are rebuilt from the ledger. A storage is only written to, on request
and as often as one likes: what it has already stays, and only trials that have ended are added.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.layout import SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.search import suggest
from sweep.search.cell_search import CellSearch
from sweep.search.searches import Searches
from sweep.text import without_password
from trainers.errors import InputError, StorageError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def searches_of(paths: SweepPaths) -> tuple[Plan, list[CellSearch]]:
    """The searches of a sweep's latest plan, as its ledger has them. Raises InputError where it has no plan."""
    with closing(Ledger(paths.ledger)) as ledger:
        planned = ledger.latest("plan")
        if planned is None:
            raise InputError(f"{ledger.path} holds no plan yet")
        plan = Plan.from_json(planned.body)
        return plan, Searches.read(plan, ledger)


def mirror(paths: SweepPaths, where: str) -> int:
    """Write the trials that have ended into an Optuna storage; how many were new there.

    Args:
        paths: the sweep's.
        where: a database's URL, or the path of a journal file.

    Raises:
        InputError: where there is nothing to write, or the address is none that Optuna reads.
        StorageError: when the storage cannot be written.
    """
    import optuna

    plan, searches = searches_of(paths)
    logging.getLogger("optuna").setLevel(logging.ERROR)
    try:
        with _opened(where) as storage, warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # set_metric_names
            return sum(_mirrored(plan, search, storage) for search in searches)
    except Exception as error:  # whatever Optuna, the database's driver or the network raise
        deeper = error.__cause__ if isinstance(error, ImportError) else None  # names the missing driver
        why = without_password(str(deeper or error)).strip().splitlines()[:1]
        raise StorageError(
            f"Optuna's storage {without_password(where)} cannot be written ({type(error).__name__}"
            f"{': ' + why[0] if why else ''})"
        ) from error


@contextmanager
def _opened(where: str) -> Iterator[BaseStorage]:
    """The storage; a database's connections are closed at the end."""
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if "://" not in where:
        Path(where).parent.mkdir(parents=True, exist_ok=True)
        yield JournalStorage(JournalFileBackend(where))
        return
    storage = RDBStorage(where)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _mirrored(plan: Plan, search: CellSearch, storage: BaseStorage) -> int:
    """Bring one cell's study up to date; the number of new trials."""
    import optuna

    cell = search.cell
    metrics = list(cell.search["metrics"])
    study = optuna.create_study(
        study_name=f"{plan.name} · {cell.name} · {cell.recipe} · {cell.id[:8]}",
        directions=[suggest.DIRECTIONS[metric] for metric in metrics],
        storage=storage,
        load_if_exists=True,
    )
    study.set_metric_names(metrics)
    study.set_user_attr("config", cell.config)
    there = {trial.user_attrs.get("suggestion") for trial in study.get_trials(deepcopy=False)}
    new = 0
    for number, trial in enumerate(suggest.frozen_trials(cell.space, search.asked)):
        if number in there or not trial.state.is_finished():
            continue
        trial.set_user_attr("suggestion", number)
        trial.set_user_attr("key", search.keys[number])
        study.add_trial(trial)
        new += 1
    return new
