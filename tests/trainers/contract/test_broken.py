"""Methods and models that are broken in one way each: the contract names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from trainers.code import OverdueError, load, read, unload
from trainers.contract import METHOD, MODEL, Case, ModelCase, examine
from trainers.errors import InputError

HEAD = """\
import time
import torch
from torch import nn
from torch.nn import functional as F
from trainers import method, model
from trainers.distillers import LogitDistiller, MethodParams
class Base(LogitDistiller):
    Params, summary = MethodParams, "broken"
    def weights(self, epoch): return {"ce": 1.0, "mykd": 1.0}
"""
FUNCTIONS = {
    "a vector": (
        "def mykd(student, teacher, targets): return (student - teacher).square().mean(dim=1)",
        "can be planned",
        "returned a tensor float32 [4]; a loss is a scalar: take its mean, say",
    ),
    "NaN at large logits": (
        "def mykd(student, teacher, targets): return (student.softmax(1) * student.softmax(1).log()).sum(1).mean()",
        "finite at logits of ±1e4",
        "the term 'mykd' is nan",
    ),
    "without a graph": (
        "def mykd(student, teacher, targets): return (student.detach() - teacher).square().mean()",
        "can be planned",
        "nothing in it depends on the student",
    ),
    "an argument changed in place": (
        "def mykd(student, teacher, targets): teacher -= teacher.mean(); return (student - teacher).square().mean()",
        "can be planned",
        "changes its argument 'teacher' in place",
    ),
    "in the order of the batch": (
        "def mykd(student, teacher, targets):\n"
        "    return (torch.arange(len(student))[:, None] * (student - teacher).square()).mean()",
        "any order of the batch",
        "depends on the order of the batch",
    ),
    "a gradient by hand": (
        "class Twice(torch.autograd.Function):\n"
        "    @staticmethod\n"
        "    def forward(ctx, x): return x.clone()\n"
        "    @staticmethod\n"
        "    def backward(ctx, gradient): return 2 * gradient\n"
        "def mykd(student, teacher, targets): return (Twice.apply(student) - teacher).square().mean()",
        "the loss's own gradient",
        "look at the backward of your autograd Function",
    ),
    "a part held fixed": (
        "def mykd(student, teacher, targets): return (student.detach() * (student - teacher).square()).mean()",
        "the loss's own gradient",
        "a part of the student is held fixed",
    ),
    "sleeping": (
        "def mykd(student, teacher, targets): time.sleep(2); return (student - teacher).square().mean()",
        "time and memory",
        "× the time of kd's step",
    ),
    "on the CPU": (
        "def mykd(student, teacher, targets):\n"
        "    return (torch.ones(student.shape[1], dtype=student.dtype) * (student - teacher).square()).mean()",
        "one device, and no waiting for it",
        "make it on theirs",
    ),
    "an index on the CPU": (
        "def mykd(student, teacher, targets):\n"
        "    return (student - teacher).square().gather(1, torch.zeros(len(student), 1, dtype=torch.long)).mean()",
        "one device, and no waiting for it",
        "make it on theirs",
    ),
    "as many numbers as there are above zero": (
        "def mykd(student, teacher, targets): return (student - teacher).square()[teacher >= 0].mean()",
        "one device, and no waiting for it",
        "makes the processor wait",
    ),
    "waiting for the GPU": (
        "def mykd(student, teacher, targets): return (student - teacher).square().mean() * teacher.max().item()",
        "one device, and no waiting for it",
        "makes the processor wait",
    ),
    "an idle hyperparameter": (
        "def mykd(student, teacher, targets, *, beta: float = 1.0): return (student - teacher).square().mean()",
        "hyperparameters that count",
        "no effect seen of beta",
    ),
}
CLASSES = {
    "a gradient to the teacher": (
        "def terms(self, student, teacher, targets): return {'mykd': (student - teacher).square().mean()}",
        "no gradient to the teacher",
        "detach what is read of it",
    ),
    "bf16": (
        "def terms(self, student, teacher, targets):\n"
        "        return {'mykd': (student - teacher.detach()).square().mean().bfloat16()}",
        "bf16",
        "'mykd' is bfloat16 []",
    ),
    "a batch changed in place": (
        "def losses(self, batch):\n"
        "        batch.images.mul_(2)\n"
        "        return super().losses(batch)\n"
        "    def terms(self, student, teacher, targets): return {'mykd': (student - teacher.detach()).square().mean()}",
        "inputs left as they are",
        "it changes the batch's images in place",
    ),
    "a memory that no checkpoint has": (
        "mean = 1.0\n"
        "    def terms(self, student, teacher, targets):\n"
        "        if self.training:\n"
        "            self.mean = 0.9 * self.mean + 0.1 * student.detach().mean()\n"
        "        return {'mykd': self.mean * (student - teacher.detach()).square().mean()}",
        "resumes bit for bit",
        "keep what is remembered in a buffer",
    ),
    "labels that are not read as the recipe says": (
        "def losses(self, batch):\n"
        "        given = super().losses(batch)\n"
        "        given.terms['ce'] = F.cross_entropy(given.logits, batch.targets)\n"
        "        return given\n"
        "    def terms(self, student, teacher, targets): return {'mykd': (student - teacher.detach()).square().mean()}",
        "the student's logits and cross-entropy",
        "takes no notice of the recipe's label_smoothing; let it be `batch.ce(logits)`",
    ),
    "a term without a weight": (
        "def terms(self, student, teacher, targets): return {'mykd': student.mean(), 'other': student.mean()}",
        "a weight for every term",
        "every weight its term: other",
    ),
    "draws in evaluation mode": (
        "def terms(self, student, teacher, targets): return {'mykd': student.square().mean() * torch.rand(())}",
        "repeats in evaluation mode",
        "differs from call to call",
    ),
    "layers that nothing uses": (
        "def __init__(self, *given):\n"
        "        super().__init__(*given)\n"
        "        self.head = nn.Linear(2, 2)\n"
        "    def terms(self, student, teacher, targets): return {'mykd': student.square().mean()}",
        "a gradient to all that learns",
        "no gradient reaches head.weight",
    ),
}
NETWORK = """\
@model("mynet")
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, num_classes)
    def forward(self, images): return self.head({})
"""
SOUND = "F.relu(self.norm(self.stem(images))).mean((2, 3))"
MODELS = {
    "the batch in each image": (f"(lambda x: x - x.mean(0))({SOUND})", "each image by itself", "the images beside it"),
    "draws in evaluation mode": (f"F.dropout({SOUND})", "a seed and a state dict that say all", "two networks of one"),
    "not finite": (f"{SOUND} / 0", "logits of its images", "its logits are not finite"),
    "images changed": (
        "F.relu(self.norm(self.stem(images.mul_(0.5)))).mean((2, 3))",
        "logits of its images",
        "changes the images in place",
    ),
}


WAITING = {"sleeping": [pytest.mark.slow(16)]}
"""What looks slow is measured for ten seconds more."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    unload()


def written(folder: Path, text: str) -> None:
    (folder / "my_losses.py").write_text(HEAD + text)
    load(read(["my_losses.py"], folder))


@pytest.mark.parametrize(
    ("code", "requirement", "message"),
    [pytest.param(*found, id=name, marks=WAITING.get(name, [])) for name, found in FUNCTIONS.items()],
)
def test_a_broken_function_is_found(folder: Path, code: str, requirement: str, message: str) -> None:
    written(folder, code.replace("def mykd", "@method('mykd')\ndef mykd"))
    check_found(requirement, message)


@pytest.mark.parametrize(("code", "requirement", "message"), CLASSES.values(), ids=CLASSES)
def test_a_broken_class_is_found(folder: Path, code: str, requirement: str, message: str) -> None:
    written(folder, f"@method('mykd')\nclass MyKD(Base):\n    {code}\n")
    check_found(requirement, message)


def check_found(requirement: str, message: str) -> None:
    """By that requirement, which then says so, and by none that must hold before it."""
    before = [other.name for other in METHOD].index(requirement)
    for other in METHOD[:before]:
        if other.gate:
            assert other.wrong(Case("mykd")) is None
    (verdict,) = examine("mykd", lambda: Case("mykd"), [METHOD[before]])
    assert message in verdict.found
    assert verdict.requirement == requirement


@pytest.mark.parametrize(("body", "requirement", "message"), MODELS.values(), ids=MODELS)
def test_a_broken_model_is_found(folder: Path, body: str, requirement: str, message: str) -> None:
    written(folder, NETWORK.replace("{}", body))
    (verdict,) = examine("mynet", lambda: ModelCase("mynet"), [one for one in MODEL if one.name == requirement])
    assert verdict.holds is False
    assert message in verdict.found


@pytest.mark.slow(3)
def test_a_sound_model_passes_and_is_told_what_reads_it(folder: Path) -> None:
    written(folder, NETWORK.replace("{}", SOUND))
    verdicts = list(examine("mynet", lambda: ModelCase("mynet"), MODEL))
    assert [verdict.requirement for verdict in verdicts if not verdict.holds] == []
    assert verdicts[-1].found == "it shows no inner maps: methods that compare maps do not take it"


@pytest.mark.slow(5)
def test_a_sound_function_passes(folder: Path) -> None:
    code = (
        "def mykd(student, teacher, targets, *, beta: float = 1.0): return beta * (student - teacher).square().mean()"
    )
    written(folder, f"@method('mykd')\n{code}")
    verdicts = list(examine("mykd", lambda: Case("mykd"), METHOD))
    assert [(verdict.requirement, verdict.found) for verdict in verdicts if not verdict.holds] == []
    assert [verdict.requirement for verdict in verdicts if verdict.found] == ["time and memory"]


def test_an_error_is_told_by_its_line_and_ends_what_follows(folder: Path) -> None:
    written(folder, "@method('mykd')\ndef mykd(student, teacher, targets):\n    return student.nonsense\n")
    first, *rest = examine("mykd", lambda: Case("mykd"), METHOD)
    line = HEAD.count("\n") + 3
    assert f"{folder / 'my_losses.py'}:{line}: AttributeError" in first.found
    assert {verdict.holds for verdict in rest} == {None}
    assert {verdict.found for verdict in rest} == {"not tried: first mend 'can be planned'"}


@pytest.mark.slow(11)
def test_what_does_not_end_is_told_by_its_line_and_ends_what_follows(folder: Path) -> None:
    code = "def mykd(student, teacher, targets):\n    if teacher.abs().max() > 1e3:\n        time.sleep(10**6)\n"
    written(folder, f"@method('mykd')\n{code}    return (student - teacher).square().mean()\n")
    some = [one for one in METHOD if one.name in ("finite scalar terms", "finite at logits of ±1e4", "bf16")]
    limit = 10  # so that on a busy machine too it is over while the loss sleeps, and not before
    holds, wrong, rest = examine("mykd", lambda: Case("mykd"), some, seconds=float(limit))
    assert holds.holds
    place = f"{folder / 'my_losses.py'}:{HEAD.count(chr(10)) + 4}"
    assert (wrong.holds, wrong.found) == (False, f"{place}: OverdueError: did not end within {limit} s")
    assert (rest.holds, rest.found) == (None, "not tried: first mend 'finite at logits of ±1e4'")


def test_what_does_not_end_ends_a_test_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.code.limit.SECONDS", 3.0)
    written(folder, "@method('mykd')\ndef mykd(student, teacher, targets): time.sleep(10**6)\n")
    with pytest.raises(OverdueError):
        METHOD[1].wrong(Case("mykd"))


def test_what_ends_the_process_is_told_and_what_prints_is_no_output_of_ours(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(
        folder, "@method('mykd')\ndef mykd(student, teacher, targets):\n    print('hello')\n    raise SystemExit(3)\n"
    )
    case = Case.roomy("mykd")
    first, *_ = examine("mykd", lambda: case, METHOD)
    assert "SystemExit: 3" in first.found
    out, err = capsys.readouterr()
    assert "hello" in err
    assert not out


def test_an_argument_without_a_type_is_refused_as_it_is_read(folder: Path) -> None:
    with pytest.raises(InputError, match="the argument 'beta' has no type"):
        written(folder, "@method('mykd')\ndef mykd(student, teacher, targets, *, beta=2.0): return student.mean()")


def test_a_method_of_many_classes_gets_them(folder: Path) -> None:
    written(folder, "@method('mykd')\ndef mykd(student, teacher, targets): return student.topk(60)[0].mean()")
    assert Case.roomy("mykd").classes == 100
    assert Case.roomy("kd").classes == 10


def test_the_guide_names_every_requirement() -> None:
    guide = (Path(__file__).parents[3] / "docs/checking.md").read_text()
    assert [one.name for one in (*METHOD, *MODEL) if f"| {one.name} |" not in guide] == []
