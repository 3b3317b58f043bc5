"""Whose weights are taken of several networks in one file, by their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.teacher.test_pretrained import State, behind, written
from trainers.errors import CheckpointError
from trainers.fit import seeded_model
from trainers.models import MODELS, Network, build
from trainers.models.outline import outlines
from trainers.storage.content import tensors_key
from trainers.teacher.pretrained import read
from trainers.teacher.roles import is_averaged, is_student, is_teacher


@pytest.fixture(scope="module")
def student(network: Network) -> State:
    return dict(network.state_dict())


@pytest.fixture(scope="module")
def other() -> State:
    """Weights of the same architecture: an average of the student's."""
    return dict(seeded_model("resnet8", 10, seed=9).state_dict())


@pytest.fixture(scope="module")
def teacher() -> State:
    return dict(seeded_model("resnet20", 10, seed=0).state_dict())


PAIRS = [
    *[("teacher", "student"), ("Teacher", "Student"), ("TEACHER", "STUDENT"), ("teachernet", "studentnet")],
    *[("t", "s"), ("tea", "stu"), ("modelT", "modelS"), ("model_t", "model_s"), ("netT", "netS"), ("T_net", "S_net")],
    *[("net_teacher", "net_student"), ("teacherModel", "studentModel"), ("ema_teacher", "student")],
    *[("teacher_model_best", "student_model_best"), ("t_model", "s_model"), ("teacher1", "student1")],
]


@pytest.mark.parametrize(("of_teacher", "of_student"), PAIRS)
def test_names_of_students_and_teachers_are_known(of_teacher: str, of_student: str) -> None:
    assert is_teacher(of_teacher)
    assert not is_student(of_teacher)
    assert is_student(of_student)
    assert not is_teacher(of_student)


@pytest.mark.parametrize("name", ["vit_t", "vit_s", "models", "nets", "stem", "team", "steps", "teacher_student", ""])
def test_other_names_are_nobody_s(name: str) -> None:
    assert not is_teacher(name)
    assert not is_student(name)


@pytest.mark.parametrize("name", ["emaModel", "modelEMA", "EMAModel", "swaNet", "model-ema", "ema"])
def test_averaged_weights_are_known_in_any_case(name: str) -> None:
    assert is_averaged(name)


@pytest.mark.slow(1)
def test_no_architecture_s_own_keys_say_anything() -> None:
    for name in MODELS:
        with outlines():
            keys = build(name, num_classes=10).state_dict()
        firsts = {key.partition(".")[0] for key in keys}
        assert not any(is_teacher(first) or is_student(first) or is_averaged(first) for first in firsts), name


@pytest.mark.parametrize(("of_teacher", "of_student"), PAIRS)
@pytest.mark.parametrize("form", ["flat", "behind module.", "nested", "under state_dict"])
@pytest.mark.parametrize("first", [True, False], ids=["teacher first", "student first"])
def test_a_teacher_is_not_taken_where_its_student_is(
    tmp_path: Path, student: State, teacher: State, of_teacher: str, of_student: str, form: str, first: bool
) -> None:
    both = {of_teacher: teacher, of_student: student}
    both = both if first else dict(reversed(both.items()))
    flat = {f"{name}.{key}": value for name, state in both.items() for key, value in state.items()}
    contents = {"flat": flat, "behind module.": behind("module.", flat), "nested": both}
    assert read(written(tmp_path, contents.get(form, {"state_dict": flat}))).hash == tensors_key(student)


@pytest.mark.parametrize("name", ["teacher", "t", "ema_teacher", "teacherNet"])
@pytest.mark.parametrize("around", ["", "net.", "module."])
def test_a_student_that_is_the_distiller_itself_is_taken(
    tmp_path: Path, student: State, teacher: State, name: str, around: str
) -> None:
    found = read(written(tmp_path, behind(f"{name}.", teacher) | behind(around, student)))
    assert found.hash == tensors_key(student)
    assert found.origin.notes[-1] == f"a teacher's keys left out: {name} ({len(teacher)})"


@pytest.mark.parametrize(
    "content",
    [
        lambda odd, teacher: {"student": odd, "teacher": teacher},
        lambda odd, teacher: {"model": odd, "tea": teacher},
        lambda odd, teacher: {"student": {"w": torch.zeros(3)}, "teacher": teacher},
        lambda odd, teacher: {"state_dict": behind("student.", odd) | behind("teacher.", teacher)},
        lambda odd, teacher: odd | behind("Teacher.", teacher),
        lambda odd, teacher: behind("module.modelS.", odd) | behind("module.modelT.", teacher),
    ],
)
def test_beside_a_student_that_fits_nothing_the_teacher_is_refused(
    tmp_path: Path, teacher: State, content: Callable[[State, State], Any]
) -> None:
    odd = {"stem.weight": torch.zeros(8, 3, 3, 3), "out.weight": torch.zeros(10, 8)}
    with pytest.raises(CheckpointError, match=r"fits no architecture.*the teacher beside it is not taken in its place"):
        read(written(tmp_path, content(odd, teacher)))


def test_an_averaged_teacher_is_a_teacher(tmp_path: Path, student: State, other: State) -> None:
    found = read(written(tmp_path, {"teacher_ema": other, "state_dict": student}))
    assert (found.hash, found.origin.notes) == (tensors_key(student), ("not taken: the weights under 'teacher_ema'",))


@pytest.mark.parametrize("wrap", [lambda state: {"teacher": state}, lambda state: behind("teacher.", state)])
def test_a_teacher_alone_is_taken(tmp_path: Path, teacher: State, wrap: Callable[[State], Any]) -> None:
    assert read(written(tmp_path, wrap(teacher))).hash == tensors_key(teacher)


@pytest.mark.parametrize(
    ("plain", "counted", "behind_it"),
    [
        *[("model.", name, "module.") for name in ("ema", "model_ema", "ema_model", "modelEMA")],
        *[
            ("module.model.", "module.ema", "module."),
            ("net.", "modelEMA", "module._orig_mod."),
            ("", "ema", "module."),
        ],
        ("module.", "averaged", "model.net."),
    ],
)
@pytest.mark.parametrize("count", [None, 5])
def test_an_average_deep_in_a_state_dict_is_taken(
    tmp_path: Path, student: State, other: State, plain: str, counted: str, behind_it: str, count: int | None
) -> None:
    state = behind(plain, student) | behind(f"{counted}.{behind_it}", other)
    if count is not None:
        state[f"{counted}.n_averaged"] = torch.tensor(count)
    found = read(written(tmp_path, {"state_dict": state}))
    assert found.hash == tensors_key(other)
    assert any("averaged over the training" in note for note in found.origin.notes)


@pytest.mark.parametrize("count", [0, 5])
def test_only_averaged_weights_are_said_to_be_averaged(
    tmp_path: Path, student: State, other: State, count: int
) -> None:
    odd = {f"{key}.x": value for key, value in other.items()}
    average = behind("ema.module.", other if count == 0 else odd) | {"ema.n_averaged": torch.tensor(count)}
    found = read(written(tmp_path, {"state_dict": behind("model.", student) | average}))
    assert found.hash == tensors_key(student)
    assert not any("averaged over the training" in note for note in found.origin.notes)
