"""A teacher that one machine stored, all machines have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.storages import Machine
from tests.trainers.examples import finish, small_trial
from trainers.data import ImageData
from trainers.errors import CheckpointError
from trainers.fit import fit
from trainers.models import Network
from trainers.result import EpochResult
from trainers.storage.content import tensors_key
from trainers.storage.shared import NOWHERE
from trainers.teacher.store import TeacherStore

TRIAL = small_trial(epochs=1)


@pytest.fixture(scope="module")
def trained(few: ImageData) -> tuple[Network, EpochResult]:
    results, network = finish(fit(TRIAL, data=few))
    return network, results[-1]


def store_of(machine: Machine, name: str) -> TeacherStore:
    storage, root = machine(name)
    return TeacherStore(root / "teachers", storage)


def weights(store: TeacherStore) -> list[Path]:
    return list(store.folder.glob("*/weights.pt"))


def test_passports_are_fetched_when_looked_for_and_weights_when_loaded(
    machine: Machine, trained: tuple[Network, EpochResult], few: ImageData
) -> None:
    passport = store_of(machine, "one").add(trained[0], TRIAL, few, trained[1])
    other = store_of(machine, "other")
    assert other.trained_by(TRIAL.key) == passport
    assert store_of(machine, "third").find(passport.hash[:8]) == passport
    assert other.passports() == [passport]
    other.check(passport)
    assert weights(other) == []
    network = other.load(passport.reference, few)
    assert tensors_key(network.state_dict()) == passport.hash
    assert len(weights(other)) == 1
    assert TeacherStore(other.folder, NOWHERE).load(passport.reference, few) is not None


def test_a_teacher_that_another_machine_stored_is_not_written_again(
    machine: Machine, trained: tuple[Network, EpochResult], few: ImageData
) -> None:
    store_of(machine, "one").add(trained[0], TRIAL, few, trained[1])
    other = store_of(machine, "other")
    other.add(trained[0], TRIAL, few, trained[1])
    assert weights(other) == []


def test_teachers_that_were_there_before_the_storage_are_offered(
    machine: Machine, trained: tuple[Network, EpochResult], few: ImageData
) -> None:
    root = machine("one")[1]
    passport = TeacherStore(root / "teachers").add(trained[0], TRIAL, few, trained[1])
    store_of(machine, "one").offer()
    assert store_of(machine, "other").load(passport.reference, few) is not None


def test_a_teacher_that_neither_side_has_is_missing(
    machine: Machine, trained: tuple[Network, EpochResult], few: ImageData
) -> None:
    one = store_of(machine, "one")
    passport = one.add(trained[0], TRIAL, few, trained[1])
    machine("one")[0].remove(one.folder / passport.hash / "weights.pt")
    with pytest.raises(CheckpointError, match=r"weights.pt is missing"):
        store_of(machine, "other").check(passport)
