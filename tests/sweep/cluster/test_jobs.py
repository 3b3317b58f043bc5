"""Submitting, as far as it goes without a cluster; the rest is in tests/end_to_end/service."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from search_spaces.files import SHIPPED
from search_spaces.loader import load_spec, parse_spec
from search_spaces.schema import Spec
from sweep.cli.app import main
from sweep.cluster.carried import ALLOW_CODE, CARRIED, LONGEST, _content, _word, carried, packed, read_there
from sweep.cluster.jobs import SweepJob, last_line, latest
from sweep.cluster.parcel import FOLDER, laid_out
from tests.support.command import SMALL
from tests.support.examples import small_spec
from trainers.code import MOST_BYTES, unload
from trainers.errors import InputError, SpecError


@pytest.fixture(autouse=True)
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody whose environment knows no cluster and no token."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("SWEEP_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", CARRIED):
        monkeypatch.delenv(name, raising=False)
    for name in ("RAY_AUTH_MODE", "RAY_API_SERVER_ADDRESS"):  # the commands set them, and they are to be put back
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command ends with, with exit code 2."""
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("sweep: ")
    assert err.count("\n") == 1
    return err


# -- what travels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [path.stem for path in SHIPPED.glob("*.yaml")])
def test_a_spec_arrives_as_it_was_sent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_spec(name)
    monkeypatch.setenv(CARRIED, packed(spec))
    assert carried() == spec


def test_of_a_file_only_its_text_and_its_name_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text(SMALL + "description: costs $HOME and ${PATH} – 3 €\n")
    spec = load_spec(str(tmp_path / "mine.yaml"))
    word = packed(spec)
    monkeypatch.setenv(CARRIED, word)
    assert carried().text == spec.text
    assert carried().source == "mine.yaml"
    assert str(tmp_path) not in json.dumps(_content(word))


def test_ray_finds_nothing_to_expand_in_what_is_packed() -> None:
    """It takes ``$NAME`` in a job's environment for a variable of the head's."""
    for number in range(50):
        word = packed(parse_spec(SMALL + f"description: no. {number}\n", "mine.yaml"))
        assert os.path.expandvars(word) == word
        assert "$" not in word


def test_what_is_too_long_for_a_job_is_refused() -> None:
    noise = "".join(f"# {hash((number, 'noise')):x}\n" for number in range(20_000))
    with pytest.raises(InputError, match=rf"is too long for a job: [\d,]+ characters when packed, at most {LONGEST:,}"):
        packed(parse_spec(SMALL + noise, "long.yaml"))


WORDS: dict[str, Callable[[], str]] = {
    "no base85": lambda: '"',
    "nothing compressed": lambda: "AAAA",
    "cut short": lambda: packed(small_spec())[:-40],
    "no JSON": lambda: _word(b"[1, "),
    "a list": lambda: _word(b"[]"),
    "no code": lambda: _word(b'{"text": "", "source": ""}'),
    "one that grows without end": lambda: _word(
        json.dumps({"text": "#" * 10**8, "source": "bomb", "code": {}}).encode()
    ),
}
"""Made where they are needed, not in each process that only collects this test."""


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_what_is_no_packed_spec_is_refused(word: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CARRIED, word())
    with pytest.raises(InputError, match=f"{CARRIED} holds no spec"):
        carried()


# -- code -------------------------------------------------------------------------------------------------------------

LOSS = """\
from torch import Tensor
from torch.nn.functional import mse_loss

from my_terms import scaled
from trainers import method


@method("mykd")
def mykd(student: Tensor, teacher: Tensor, targets: Tensor, *, beta: float = 2.0) -> Tensor:
    \"""Half of what $HOME costs – 3 €.\"""
    return scaled(mse_loss(student, teacher), beta)
"""
TERMS = "open({ran!r}, 'a').close()\n\n\ndef scaled(loss, beta):\n    return beta * loss\n"
OWN = SMALL.replace("methods: [", "methods: [mykd, ") + "code: [my_losses.py, my_terms.py]\n"


def submit_to_this_process(spec: Spec, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process the environment of a job, in which Ray has put the parcel at `place`."""
    with laid_out(spec.code) as folders:
        for folder in folders:
            shutil.copytree(folder, place / Path(folder).name)
    monkeypatch.setenv(CARRIED, packed(spec))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "/nowhere", str(place)]))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A job's environment on a head that has none of the files of its spec; the file that the code writes when run."""
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    (there / "spec.yaml").write_text(OWN)
    (there / "my_losses.py").write_text(LOSS)
    (there / "my_terms.py").write_text(TERMS.format(ran=str(here / "RAN")))
    submit_to_this_process(load_spec(str(there / "spec.yaml")), tmp_path / "ray", monkeypatch)
    unload()
    shutil.rmtree(there)
    (here / "RAN").unlink()
    monkeypatch.chdir(here)
    monkeypatch.delenv(ALLOW_CODE, raising=False)
    yield here / "RAN"
    unload()


@pytest.mark.parametrize("said", [None, "", "1", "Yes"])
def test_a_specs_code_arrives_with_it(own: Path, said: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if said is not None:
        monkeypatch.setenv(ALLOW_CODE, said)
    spec = carried()
    assert spec.code.texts == {"my_losses.py": LOSS, "my_terms.py": TERMS.format(ran=str(own))}
    assert spec.methods[0].name == "mykd"
    assert own.exists(), "it was imported"
    assert read_there(spec) == []


@pytest.mark.parametrize("said", ["0", "no", "False"])
def test_a_head_that_takes_no_code_says_so_and_runs_none(
    own: Path, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ALLOW_CODE, said)
    message = refused(capsys, "submitted")
    assert "spec.yaml brings code of its own (my_losses.py, my_terms.py), and this cluster takes none" in message
    assert f"{ALLOW_CODE}={said.lower()} on its head" in message
    assert not own.exists()


def test_a_spec_without_code_runs_where_no_code_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CARRIED, packed(small_spec()))
    monkeypatch.setenv(ALLOW_CODE, "0")
    assert carried() == small_spec()


def test_a_word_for_yes_or_no_that_is_neither_allows_nothing(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ALLOW_CODE, "nope")
    assert "SWEEP_ALLOW_CODE is 'nope' on this cluster's head; it must be 1 or 0" in refused(capsys, "submitted")
    assert not own.exists()


def test_code_that_hides_a_module_of_the_head_is_refused_there(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = own.parent.parent / "site"
    elsewhere.mkdir()
    (elsewhere / "my_terms.py").touch()
    monkeypatch.syspath_prepend(str(elsewhere))
    with pytest.raises(InputError, match=r"my_terms\.py would hide the module 'my_terms' that is installed here"):
        carried()
    assert not own.exists()


def noisy_spec(folder: Path, size: int) -> str:
    """A spec whose code has so many bytes, which hardly any packer makes fewer; where it lies."""
    alone = LOSS.replace("from my_terms import scaled\n", "").replace("scaled", "max")
    draw = random.Random(0)
    noise = "".join(f"# {draw.randbytes(50).hex()}\n" for _ in range(size // 100)).encode()
    text = alone.encode() + noise
    (folder / "my_losses.py").write_bytes(text[: size - 1] + b"\n")
    (folder / "spec.yaml").write_text(OWN.replace(", my_terms.py", ""))
    return str(folder / "spec.yaml")


def test_a_mebibyte_of_code_travels_and_one_byte_more_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = load_spec(noisy_spec(tmp_path, MOST_BYTES))
    assert sum(len(text.encode()) for _, text in sent.code.files) == MOST_BYTES == 2**20
    submit_to_this_process(sent, tmp_path / "ray", monkeypatch)
    unload()
    assert carried().code == sent.code
    unload()
    with pytest.raises(InputError, match=r"my_losses\.py has 1,048,577 bytes; such a file has at most 1,048,576"):
        load_spec(noisy_spec(tmp_path, MOST_BYTES + 1))


def test_code_that_has_not_come_along_or_was_changed_is_not_run(own: Path, tmp_path: Path) -> None:
    (parcel,) = (tmp_path / "ray" / FOLDER).iterdir()
    parcel.write_text(parcel.read_text().replace("beta", "gamma"))
    with pytest.raises(InputError, match="is not what was sent; submit the sweep again"):
        carried()
    parcel.unlink()
    with pytest.raises(InputError, match="has not come with it; submit the sweep again"):
        carried()
    assert not own.exists()


@pytest.mark.parametrize("name", ["../up.py", "/etc/up.py", "my-losses.py", "notes.txt"])
def test_code_that_could_lie_elsewhere_is_refused(name: str, own: Path, tmp_path: Path) -> None:
    (parcel,) = (tmp_path / "ray" / FOLDER).iterdir()
    parcel.write_text(json.dumps({name: ""}))
    with pytest.raises(InputError, match="no code that was packed here: it holds a file"):
        carried()


# -- files ------------------------------------------------------------------------------------------------------------


def test_files_are_looked_for_on_the_cluster_and_named() -> None:
    text = SMALL.replace("{digits: {image_size: 8}}", "{parquet: {path: faces}}")
    text = text.replace("resnet14 -> resnet8", "teachers/big.pth -> resnet8")
    with pytest.raises(SpecError, match=r"there is no file teachers/big\.pth"):
        parse_spec(text, "mine.yaml")
    spec = parse_spec(text, "mine.yaml", elsewhere=True)
    assert read_there(spec) == ["dataset parquet, path: faces", "teacher: teachers/big.pth"]
    assert read_there(small_spec()) == []


# -- jobs -------------------------------------------------------------------------------------------------------------


def test_a_row_is_a_sweeps_last_job() -> None:
    jobs = [
        SweepJob("a-1", "a", "cancelled", 0.0, 60.0, None),
        SweepJob("b-1", "b", "done", 10.0, 20.0, 0),
        SweepJob("a-2", "a", "running", 70.0, None, None),
    ]
    rows = {row["sweep"]: row for row in latest(jobs)}
    assert (rows["a"]["job"], rows["a"]["state"], rows["a"]["jobs"]) == ("a-2", "running", 2)
    assert (rows["b"]["job"], rows["b"]["took"], rows["b"]["jobs"]) == ("b-1", "10 s", 1)


@pytest.mark.parametrize(("started", "ended"), [(3600.0, 60.0), (1e12, None)], ids=["ended", "running"])
def test_no_job_takes_less_than_nothing_where_the_clock_was_set_back(started: float, ended: float | None) -> None:
    assert SweepJob("a-1", "a", "running", started, ended, None).took == "0 s"


def test_the_last_line_is_the_last_that_says_something() -> None:
    assert last_line("one\n[3/9] finished this\n\n") == "[3/9] finished this"
    assert last_line("") == ""


# -- a cluster that is not there --------------------------------------------------------------------------------------

VERBS = (("submit", "digits-alpha"), ("status",), ("logs", "digits-alpha"), ("cancel", "digits-alpha"))


@pytest.mark.parametrize("verb", [VERBS[0], *VERBS[2:]], ids=" ".join)
def test_a_verb_without_a_cluster_says_how_to_name_one(
    verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Give --address http://host:8265, or set SWEEP_ADDRESS" in refused(capsys, *verb)


@pytest.mark.parametrize("verb", [*VERBS, ("list", "sweeps")], ids=" ".join)
def test_a_cluster_that_does_not_answer_is_told_at_once(
    verb: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert f"no Ray cluster answers at {address}: Connection refused" in refused(
            capsys, *verb, "--address", address
        )
        monkeypatch.setenv("SWEEP_ADDRESS", address)
        assert f"no Ray cluster answers at {address}" in refused(capsys, *verb)


@pytest.mark.parametrize("address", ["head:6379", "auto", "ray://head:10001", "http://", "http://host:port"])
def test_what_is_no_job_servers_address_is_refused(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"'{address}' is no job server's address" in refused(capsys, "status", "--address", address)


def test_a_token_file_that_is_not_there_is_named(
    server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/nowhere/token")
    assert "names /nowhere/token, which cannot be read" in refused(capsys, "status", "--address", server)


class NoRay(BaseHTTPRequestHandler):
    """A page that says something else."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """A web server that is no cluster."""
    with HTTPServer(("127.0.0.1", 0), NoRay) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_a_web_server_that_is_no_cluster_is_refused(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"the cluster at {server} cannot do this" in refused(capsys, "status", "--address", server)


def test_mistakes_of_a_spec_are_told_before_anything_is_sent(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong.yaml").write_text(SMALL.replace("kd,", "dk,"))
    with pytest.raises(SystemExit) as end:
        main(["submit", "wrong.yaml", "--address", server])
    assert end.value.code == 2
    assert "unknown method 'dk'" in capsys.readouterr().err


def test_a_jobs_command_outside_of_a_job_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "to submit one: sweep submit SPEC" in refused(capsys, "submitted")
