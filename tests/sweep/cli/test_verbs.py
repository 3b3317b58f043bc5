"""The verbs: what they print, and one clear message with exit code 2 where the input is wrong."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
import torch
from typer.testing import CliRunner

from sweep.cli.app import app, main
from sweep.ledger.store import Ledger
from sweep.tracking import address, sync
from tests.support.command import LONGEST, SMALL, User
from tests.support.own_modules import write_own_modules
from tests.support.ports import free_port

VERBS = [
    command.name or command.callback.__name__
    for command in app.registered_commands
    if command.callback and not command.hidden
]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a command that ends with exit code 2."""
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert err.startswith("sweep: ")
    assert "Traceback" not in out + err
    return err


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    """Somebody in an empty folder with a spec."""
    found = User(tmp_path)
    monkeypatch.chdir(tmp_path)
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert result.output.count("\n") > 5


def test_the_verbs_are_those_of_the_documents() -> None:
    assert sorted(VERBS) == [
        "cancel",
        "check",
        "compare",
        "export",
        "leaderboard",
        "list",
        "logs",
        "new",
        "pack",
        "plan",
        "report",
        "rerun",
        "run",
        "slurm",
        "status",
        "studies",
        "submit",
        "sync",
        "ui",
        "unpack",
    ]


def test_the_version_is_told_with_those_of_what_it_stands_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    first, *others = (line.split() for line in capsys.readouterr().out.splitlines())
    assert first == ["kd-sweep", importlib.metadata.version("kd-sweep")]
    assert [name for name, _ in others] == ["python", "torch", "ray", "optuna", "mlflow"]
    assert torch.__version__.startswith(dict(others)["torch"])


MISTAKES = {
    "a misspelt method": (("kd,", "dkhd,"), "unknown method 'dkhd'; did you mean 'dhkd'?"),
    "a misspelt model": (("resnet8]", "resnet80]"), "unknown model 'resnet80'; did you mean 'resnet8'?"),
    "a misspelt key": (("seeds:", "sedes:"), "unknown key 'sedes'; did you mean 'seeds'?"),
    "a negative alpha": (("[0.5, 2]", "-1"), "alpha: should be greater than or equal to 0, found -1"),
    "a string for alpha": (("[0.5, 2]", "big"), 'alpha: should be a valid number, found "big"'),
    "an empty grid": (("[0.5, 2]", "[]"), "alpha: an empty grid"),
    "no seeds": (("seeds: 2", "seeds: 0"), "seeds: must be a number of seeds from 1 on"),
    "a pair without arrow": (("->", "to"), "a pair is written 'teacher -> student'"),
    "a falling range": (("[0.5, 2]", "{range: [5, 0.1]}"), "alpha: range must rise, found [5, 0.1]"),
    "no YAML": (("pairs: [", "pairs: {["), "not YAML"),
}


@pytest.mark.parametrize(("change", "message"), MISTAKES.values(), ids=MISTAKES)
@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_wrong_spec_is_refused_with_the_line(
    user: User, capsys: pytest.CaptureFixture[str], verb: str, change: tuple[str, str], message: str
) -> None:
    assert change[0] in SMALL
    user.write(SMALL.replace(*change))
    err = refused(capsys, verb, "spec.yaml")
    assert message in err
    assert "spec.yaml:" in err
    assert not user.root.path.exists() or list(user.root.sweeps.glob("*")) == []


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe\x01" * 100, None], ids=["empty", "binary", "folder"])
def test_what_is_no_spec_is_refused(user: User, capsys: pytest.CaptureFixture[str], content: bytes | None) -> None:
    path = user.folder / "other.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    assert "spec" in refused(capsys, "run", "other.yaml")


def test_an_unknown_spec_name_gets_a_guess(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'digits-alpha'?" in refused(capsys, "run", "digits-aplha")


def test_what_the_data_set_cannot_give_is_refused(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    user.write(SMALL.replace("samples_per_class: 20", "samples_per_class: 2000"))
    assert "samples_per_class asks for 2000" in refused(capsys, "plan", "spec.yaml")
    user.write(SMALL.replace("kd, ", "{gdkd: {k: 10}}, "))
    assert "k must be smaller than the number of classes (10), found 10" in refused(capsys, "plan", "spec.yaml")


@pytest.mark.parametrize(("time", "message"), {"soon": "is no time; write", "1000000000": "has passed"}.items())
def test_a_time_that_is_none_or_has_passed_is_refused(
    user: User, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, time: str, message: str
) -> None:
    assert message in refused(capsys, "run", "spec.yaml", "--until", time)
    monkeypatch.setenv("SLURM_JOB_END_TIME", time)
    assert message in refused(capsys, "run", "spec.yaml")


def test_a_root_that_is_a_file_is_refused(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    (user.folder / "file").write_text("in the way")
    assert "cannot write file/" in refused(capsys, "run", "spec.yaml", "--root", "file")
    assert "cannot write file/sub" in refused(capsys, "run", "spec.yaml", "--root", "file/sub")


def test_a_read_only_root_is_refused(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    user.root.path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=100k", "tmpfs", str(user.root.path)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no permission to mount a read-only file system: {mounted.stderr.strip()}")
    try:
        assert "Read-only file system" in refused(capsys, "run", "spec.yaml")
    finally:
        subprocess.run(["umount", str(user.root.path)], check=True)


@pytest.mark.parametrize("uri", ["ftp://somewhere", "nonsense", "http://["])
def test_a_tracking_uri_that_mlflow_cannot_read_is_refused(
    user: User, capsys: pytest.CaptureFixture[str], uri: str
) -> None:
    assert "is not an address that MLflow reads" in refused(capsys, "run", "spec.yaml", "--tracking-uri", uri)


def test_sweeps_and_listings_that_do_not_exist_are_refused(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no sweep has run there yet" in refused(capsys, "leaderboard")
    assert "no sweep has run there yet" in refused(capsys, "status", "small")
    assert "unknown listing 'metods'; did you mean 'methods'?" in refused(capsys, "list", "metods")
    assert "nothing has been tracked below runs yet" in refused(capsys, "ui")


def test_a_spec_that_is_planned_leaves_nothing_behind(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    main_ends_well("plan", "spec.yaml", "--format", "json")
    rows = json.loads(capsys.readouterr().out)
    assert sum(row["trials"] for row in rows) == 9
    assert not user.root.path.exists()


def main_ends_well(*arguments: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code in (0, None)


@pytest.mark.slow
def test_more_than_the_machine_has_is_refused(user: User, empty_store: Path) -> None:
    user.given(empty_store)
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU, so that gpus: 1 is not too much")
    user.write(SMALL + "compute: {gpus: 1}\n")
    done = user.sweep("run", "spec.yaml")
    assert done.code == 2
    assert "a trial asks for 1 CPU and 1 GPU" in done.err
    assert "Traceback" not in done.err + done.out


TOKEN = "a-token-of-these-tests"


def experiment(port: int, token: str = TOKEN) -> urllib.request.Request:
    """What asks a server for the experiment `small`, as MLflow's client does."""
    url = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=small"
    return urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})


def served(user: User, port: int) -> tuple[subprocess.Popen[str], bytes]:
    """`sweep ui`, and what it answers of the experiment `small` once it does."""
    process = user.start("ui", "--port", str(port), SWEEP_UI_TOKEN=TOKEN)
    deadline = time.monotonic() + LONGEST
    answer = b""
    while not answer and time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(experiment(port), timeout=5) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            answer = error.read()
        except OSError:
            time.sleep(0.3)
    return process, answer


@pytest.mark.slow
def test_the_ui_serves_what_was_tracked_and_ends_with_ctrl_c(user: User, empty_store: Path) -> None:
    """In a folder where Python and uvicorn, left to themselves, would find modules of the user's with our names."""
    user.given(empty_store)
    user.program = ("-m", "kd_sweep")
    ran = write_own_modules(user.folder)
    with Ledger(user.root.sweep("small").ledger) as ledger:
        ledger.append("sweep", body={"spec": SMALL})
    sync.sync(user.root, "small", address.tracking_uri(user.root, None))
    port = free_port()
    process, answer = served(user, port)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(experiment(port, "another-token-than-that"), timeout=LONGEST)
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(f"http://127.0.0.1:{port}/?token={TOKEN}", timeout=LONGEST) as page:
        assert (page.status, page.url) == (200, f"http://127.0.0.1:{port}/")
        assert b"<title>MLflow</title>" in page.read()
    taken = user.sweep("ui", "--port", str(port))
    os.killpg(process.pid, signal.SIGINT)
    done = user.end(process)
    assert json.loads(answer)["experiment"]["name"] == "small", done
    assert taken.code == 2
    assert f"port {port} cannot be used" in taken.err
    assert f"MLflow UI at http://127.0.0.1:{port}/?token={TOKEN}" in done.out
    assert done.code == 0
    assert not ran.exists()


@pytest.mark.slow
def test_the_ui_leaves_nothing_behind_when_it_is_terminated(user: User, empty_store: Path) -> None:
    user.given(empty_store)
    port = free_port()
    process, answer = served(user, port)
    children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    done = user.end(process)
    assert b"error_code" in answer, "it answers that there is no such experiment"
    assert done.code == 0
    assert children
    assert psutil.wait_procs(children, timeout=LONGEST)[1] == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
