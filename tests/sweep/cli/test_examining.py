"""Methods and models examined: a user's code that stands still, or takes its process down, ends nothing else."""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sweep.cli.check import chosen
from sweep.cli.examining import Examination, Row
from trainers.code import unload
from trainers.contract import METHOD, MODEL, examine
from trainers.errors import InputError

HEAD = """\
import ctypes, itertools, os, time, torch
from trainers import method, model
"""
LOSS = """
@method("{name}")
def {name}(student, teacher, targets):
    {code}
    return (student - teacher).square().mean()
"""
NETWORK = """
@model("{name}")
class Net(torch.nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = torch.nn.Linear(3, num_classes)
    def forward(self, images):
        {code}
        return self.head(images.mean((2, 3)))
"""
IN_C = "sum(itertools.count())"
NOT_TRIED = "not tried: first mend 'can be planned'"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    unload()


def examined(folder: Path, text: str, seconds: float) -> tuple[Examination, list[str]]:
    """A file's methods and models, and what was said meanwhile."""
    (folder / "my_losses.py").write_text(HEAD + text)
    said: list[str] = []
    examination = Examination(partial(chosen, ["my_losses.py"], False), seconds, (str(folder / "my_losses.py"),))
    examination.run(said.append)
    assert len(examination.rows) == len(examination.expected)
    return examination, said


def line(text: str, code: str) -> int:
    return (HEAD + text).splitlines().index(code) + 1


def test_a_loss_that_sleeps_is_told_by_its_line_and_the_rest_is_not_tried(folder: Path) -> None:
    text = LOSS.format(name="mykd", code="time.sleep(10**6)")
    examination, said = examined(folder, text, 1.0)
    first, *rest = examination.rows
    place = f"{folder}/my_losses.py:{line(text, '    time.sleep(10**6)')}"
    assert first == Row("mykd", "can be planned", False, f"{place}: OverdueError: did not end within 1 s")
    assert rest == [Row("mykd", requirement.name, None, NOT_TRIED) for requirement in METHOD[1:]]
    assert (examination.methods, examination.models) == (1, 0)
    assert said[0] == "checking mykd: can be planned"


@pytest.mark.slow(6)
def test_a_loop_in_c_ends_its_process_and_the_next_goes_on_in_another(folder: Path) -> None:
    text = LOSS.format(name="one", code=IN_C) + LOSS.format(name="two", code="time.sleep(10**6)")
    text += NETWORK.format(name="one", code=IN_C)  # of the method's name
    examination, _ = examined(folder, text, 2.0)
    first, second, third = (row for row in examination.rows if row.holds is False)
    assert first.found == (
        f"{folder}/my_losses.py:{line(text, f'    {IN_C}')}: did not end within 2 s, and could not be broken off"
    )
    assert (second.subject, second.found.rpartition(": ")[2]) == ("two", "did not end within 2 s")
    assert (third.subject, third.requirement) == ("one", "logits of its images")
    assert len(examination.rows) == 2 * len(METHOD) + len(MODEL)
    assert sum(row.holds is None for row in examination.rows) == len(examination.rows) - 3


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("ctypes.string_at(0)", "{place}: its process was ended by SIGSEGV"),
        ("os._exit(0)", "its process was ended with exit code 0"),
    ],
)
def test_a_loss_that_takes_its_process_down_is_told(folder: Path, code: str, found: str) -> None:
    text = LOSS.format(name="mykd", code=code)
    examination, _ = examined(folder, text, 60.0)
    place = f"{folder}/my_losses.py:{line(text, f'    {code}')}"
    assert examination.rows[0].found == found.format(place=place)
    assert {row.found for row in examination.rows[1:]} == {NOT_TRIED}


def test_a_crash_is_told_with_its_line_whoever_has_taken_the_signal(folder: Path) -> None:
    """As Ray's core does in a process in which it has run."""
    set_handler = ctypes.CDLL(None).signal
    set_handler.restype, set_handler.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    before = set_handler(signal.SIGSEGV, None)
    try:
        examination, _ = examined(folder, LOSS.format(name="mykd", code="ctypes.string_at(0)"), 60.0)
    finally:
        set_handler(signal.SIGSEGV, before)
    assert examination.rows[0].found.startswith(f"{folder}/my_losses.py:")


@pytest.mark.parametrize(
    ("code", "what"),
    [("while True: pass", "did not end within 0.5 s"), (IN_C, "did not end within 0.5 s, and could not be")],
)
def test_a_file_whose_import_does_not_end_is_refused(folder: Path, code: str, what: str) -> None:
    with pytest.raises(InputError) as error:
        examined(folder, code, 0.5)
    assert f"{folder}/my_losses.py:3: {what}" in str(error.value)


def test_what_is_not_tried_is_told_as_the_contract_tells_it(folder: Path) -> None:
    """Of a process that was ended, this package says so itself, without torch."""
    text = LOSS.format(name="mykd", code="os._exit(0)")
    examination, _ = examined(folder, text, 60.0)
    verdicts = list(examine("mykd", lambda: None, METHOD))  # None is no case
    assert [row.found for row in examination.rows[1:]] == [verdict.found for verdict in verdicts[1:]]
