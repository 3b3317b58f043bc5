"""`sweep teachers`: published files come in, the store is listed, a spec's teachers are trained and nothing else."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch.nn import functional
from typer.testing import CliRunner

from sweep.cli.app import main
from sweep.cli.teachers import normalisation_said, read_dataset, teachers, weight_files
from sweep.layout import Root
from tests.support.command import SMALL, User
from tests.trainers.storage.test_checkpoint import Touch
from trainers.config import Normalisation, Recipe
from trainers.data import ImageData
from trainers.errors import InputError
from trainers.fit import seeded_model
from trainers.models import Network
from trainers.teacher.normalisation import Renormalised, normalisation_of
from trainers.teacher.probe import top1
from trainers.teacher.store import TeacherStore
from trainers.views.views import Views

DIGITS = "digits: {image_size: 8}"
COMMANDS = [command.name or "" for command in teachers.registered_commands]


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    """Somebody in a folder with a spec, and with three files as they are published."""
    found = User(tmp_path)
    monkeypatch.chdir(tmp_path)
    published = tmp_path / "cifar_teachers"
    for name in ("resnet8", "resnet14"):
        (published / f"{name}_vanilla").mkdir(parents=True)
        content: dict[str, Any] = {"model": seeded_model(name, 10, seed=0).state_dict(), "epoch": 240}
        torch.save(content, published / f"{name}_vanilla" / "ckpt_epoch_240.pth")
    torch.save({"model": Touch(tmp_path / "executed")}, published / "evil.pt")
    (published / "README.md").write_text("not a weight file")
    return found


def told(run: Callable[..., None], capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command in this process."""
    with pytest.raises(SystemExit) as end:
        run(list(arguments))
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return int(end.value.code or 0), out, err


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_has_help(verb: str) -> None:
    result = CliRunner().invoke(teachers, [verb, "--help"])
    assert result.exit_code == 0
    assert result.output.count("\n") > 5


def test_a_folder_is_imported_and_the_bad_file_is_named(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("teachers", "import", "cifar_teachers", "--dataset", DIGITS, "--format", "json")
    code, out, err = told(main, capsys, *command)
    assert code == 1
    evil, fourteen, eight = json.loads(out)
    assert evil["file"] == "evil.pt"
    assert evil["teacher"] == ""
    assert evil["remarks"].startswith("not imported: cifar_teachers/evil.pt holds Python objects (getattr)")
    assert not (user.folder / "executed").exists()
    assert (eight["file"], fourteen["file"]) == tuple(
        f"{n}_vanilla/ckpt_epoch_240.pth" for n in ("resnet8", "resnet14")
    )
    assert eight["teacher"].startswith("resnet8@")
    assert eight["remarks"].startswith("a low accuracy: was it trained on this data set, at this image size,")
    assert err.splitlines() == [
        "passed over 1 other file: 1 .md",
        *(f"reading cifar_teachers/{row['file']}" for row in (evil, fourteen, eight)),
    ]
    first = {path: path.stat().st_mtime_ns for path in user.root.teachers.rglob("*")}
    assert told(main, capsys, *command)[:2] == (1, out)
    assert {path: path.stat().st_mtime_ns for path in user.root.teachers.rglob("*")} == first

    code, out, _ = told(main, capsys, "teachers", "list", "--format", "json")
    assert code == 0
    assert {row["teacher"] for row in json.loads(out)} == {eight["teacher"], fourteen["teacher"]}
    store = TeacherStore(user.root.teachers)
    assert store.find(eight["teacher"]).came_from == "resnet8_vanilla/ckpt_epoch_240.pth"


WRONG = {
    "another number of classes": (
        ["hundred.pth", "--dataset", DIGITS],
        "(resnet8) tells 100 classes apart, but data set",
    ),
    "a data set that does not exist": (
        ["x.pth", "--dataset", "digots"],
        "unknown data set 'digots'; did you mean 'digits'?",
    ),
    "an option that does not exist": (["x.pth", "--dataset", "digits: {size: 8}"], "digits.size: unknown key 'size'"),
    "an impossible option": (["x.pth", "--dataset", "digits: {image_size: 4}"], "should be greater than or equal to 8"),
    "no data set": (["x.pth", "--dataset", ""], "must be a name, or one name with its options"),
    "no YAML": (["x.pth", "--dataset", "digits: {"], "--dataset digits: {: not YAML"),
    "a file that does not exist": (["x.pth", "--dataset", DIGITS], "cannot read x.pth: No such file or directory"),
    "an empty folder": (["home", "--dataset", DIGITS], "there is no weight file below home; their names end in .pth"),
    "an architecture that does not exist": (
        ["hundred.pth", "--dataset", DIGITS, "--architecture", "resnet9"],
        "unknown model 'resnet9'; did you mean 'resnet8'?",
    ),
    "a mean without its deviation": (["x.pth", "--dataset", DIGITS, "--mean", "0.5"], "--mean and --std go together"),
    "pixels up to 255": (
        ["x.pth", "--dataset", DIGITS, "--mean", "123.7, 116.3, 103.5", "--std", "58.4, 57.1, 57.4"],
        "of pixels up to 255, divide both by 255",
    ),
    "two means": (["x.pth", "--dataset", DIGITS, "--mean", "0.5, 0.4", "--std", "1"], "must be one number or three"),
    "words for a mean": (["x.pth", "--dataset", DIGITS, "--mean", "imagenet", "--std", "1"], "must be one number or"),
    "an archive": (["teachers.tar", "--dataset", DIGITS], "teachers.tar is a tar archive: unpack it and import the"),
    "an empty file": (["empty.pth", "--dataset", DIGITS], "empty.pth is empty"),
    "another architecture": (
        ["hundred.pth", "--dataset", DIGITS, "--architecture", "vgg8"],
        "hundred.pth is no vgg8: ",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_message(
    user: User, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    torch.save(seeded_model("resnet8", 100, seed=0).state_dict(), user.folder / "hundred.pth")
    (user.folder / "empty.pth").touch()
    with tarfile.open(user.folder / "teachers.tar", "w") as archive:
        archive.add(user.folder / "hundred.pth", "hundred.pth")
    code, out, err = told(main, capsys, "teachers", "import", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert not user.root.teachers.exists()


def test_an_empty_store_is_an_empty_list(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(main, capsys, "teachers", "list") == (0, "", "no teacher is stored below runs yet\n")
    assert told(main, capsys, "teachers", "list", "--format", "json")[1] == "[]\n"


def test_the_data_set_is_what_a_spec_s_would_be() -> None:
    config, data = read_dataset(DIGITS)
    assert (config.name, config.options, config.content) == ("digits", {"image_size": 8}, data.content)
    assert read_dataset("digits")[0].options == {"image_size": 16}
    with pytest.raises(InputError, match="must be a name"):
        read_dataset("[digits]")


def test_only_weight_files_are_taken_from_a_folder(user: User) -> None:
    (user.folder / "cifar_teachers" / "deep" / "er").mkdir(parents=True)
    (user.folder / "cifar_teachers" / "deep" / "er" / "model_best.pth.tar").touch()
    (user.folder / "cifar_teachers" / "folder.pth").mkdir()
    said: list[str] = []
    names = [file.name for file in weight_files(user.folder / "cifar_teachers", said.append)]
    assert names == ["model_best.pth.tar", "evil.pt", "ckpt_epoch_240.pth", "ckpt_epoch_240.pth"]
    assert said == ["passed over 1 other file: 1 .md"]
    assert weight_files(user.folder / "spec.yaml", said.append) == [user.folder / "spec.yaml"]
    assert len(said) == 1


@pytest.mark.parametrize(
    ("mean", "std", "read"),
    [
        ("0.5", "0.25", ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))),
        ("0.1, 0.2, 0.3", "0.4,0.5,0.6", ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))),
        ("(0.1, 0.2, 0.3)", "[0.4 0.5 0.6]", ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))),
        ("0", "1", ((0, 0, 0), (1, 1, 1))),
    ],
)
def test_mean_and_std_are_read_as_they_stand_in_code_and_papers(mean: str, std: str, read: Any) -> None:
    said = normalisation_said(mean, std)
    assert said is not None
    assert (said.mean, said.std) == read
    assert normalisation_said(None, None) is None


@pytest.mark.slow(2)
def test_a_teacher_of_another_normalisation_is_doubted_until_it_is_said(
    user: User, capsys: pytest.CaptureFixture[str]
) -> None:
    data = read_dataset(DIGITS)[1]
    network = Renormalised(seeded_model("resnet8", 10, seed=0), Normalisation(mean=0, std=1), normalisation_of(data))
    trained(network, data)
    state = network.network.state_dict()
    accuracy = top1(network, data.test, data)
    torch.save({"state_dict": state, "best_acc": accuracy / 100}, user.folder / "resnet8_unit.th")
    command = ("teachers", "import", "resnet8_unit.th", "--dataset", DIGITS, "--format", "json")
    code, out, _ = told(main, capsys, *command)
    (doubted,) = json.loads(out)
    assert code == 0
    assert doubted["remarks"].startswith(
        f"the file states {accuracy:.2f} (best_acc), well above what is measured here:"
    )
    code, out, _ = told(main, capsys, *command, "--mean", "0", "--std", "1")
    (believed,) = json.loads(out)
    assert believed["test_acc"] == f"{accuracy:.2f}"
    assert believed["remarks"] == "sees images with its own normalisation: mean 0, 0, 0, std 1, 1, 1"
    assert {passport.normalisation for passport in TeacherStore(user.root.teachers).passports()} == {
        None,
        Normalisation(mean=0, std=1),
    }


def trained(network: Network, data: ImageData) -> None:
    """A few epochs, until the network tells most digits apart."""
    views = Views(Recipe(views="none"), data, torch.device("cpu"))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    shuffled = torch.Generator().manual_seed(0)
    network.train()
    for _ in range(6):
        for part in data.train.batches(torch.randperm(len(data.train), generator=shuffled).split(64)):
            optimiser.zero_grad()
            functional.cross_entropy(network(views.plain(part.images)), part.labels).backward()
            optimiser.step()
    network.eval()


def test_a_folder_in_the_home_folder_is_imported(
    user: User, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(user.folder))
    (user.folder / "cifar_teachers" / "evil.pt").unlink()
    code, out, _ = told(main, capsys, "teachers", "import", "~/cifar_teachers", "--dataset", DIGITS, "--format", "json")
    assert code == 0
    assert [row["file"] for row in json.loads(out)] == [
        "resnet14_vanilla/ckpt_epoch_240.pth",
        "resnet8_vanilla/ckpt_epoch_240.pth",
    ]


@pytest.mark.slow(45)
def test_only_the_teachers_of_a_spec_are_trained_and_only_once(
    user: User, empty_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user.given(empty_store)
    user.write(SMALL.replace("epochs: 2}", "epochs: 1}"))
    done = user.sweep("teachers", "train", "spec.yaml")
    assert done.code == 0, done.err
    (passport,) = TeacherStore(user.root.teachers).passports()
    assert (passport.architecture, passport.epochs) == ("resnet14", 1)
    assert f"resnet14@{passport.hash[:12]}" in done.out
    assert {event.trial for event in user.events("start")} == {passport.origin_key}
    events, stored = user.events(), files_below(user.root)

    with patch.dict(os.environ):  # what a run tells Ray by the environment is taken back
        code, out, _ = told(main, capsys, "teachers", "train", "spec.yaml")
    assert code == 0
    assert out.splitlines() == done.out.splitlines()[-2:]
    assert (user.events(), files_below(user.root)) == (events, stored)

    _, out, _ = told(main, capsys, "status", "small", "--format", "json")  # the plan is the whole spec's
    states = [row["state"] for row in json.loads(out)]
    assert (states.count("finished"), states.count("waiting")) == (1, 8)


def files_below(root: Root) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.teachers.rglob("*") if path.is_file()}
