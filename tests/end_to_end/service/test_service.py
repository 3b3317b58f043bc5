"""A sweep on the whole service: submitted from elsewhere with an address and a token, while parts of it are killed."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sweep.formats import Format
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.results import board, draw
from tests.support.command import LONGEST, SMALL, Done, User
from tests.support.fault_harness import begun_after_their_end
from tests.support.own_modules import write_own_modules
from tests.support.service import Service
from tests.support.undisturbed import LOGGED, undisturbed
from trainers.code import MOST_BYTES

pytestmark = pytest.mark.slow(250)

__all__ = ["undisturbed"]

SPEC = LOGGED + "compute: {retries: 20}\n"
LOSS = """\
from torch import Tensor
from torch.nn.functional import mse_loss

from trainers import method


@method("mykd")
def mykd(student: Tensor, teacher: Tensor, targets: Tensor, *, beta: float = 2.0) -> Tensor:
    return beta * mse_loss(student, teacher)
"""
OWN = (
    SMALL.replace("name: small", "name: own").partition("methods:")[0]
    + """\
methods: [mykd]
baseline: mykd
seeds: 1
code: [my_losses.py]
tracking: {models: none}
"""
)
SECRETS = ("ray_token", "postgres_password", "mlflow_password", "mlflow_secret_key")


class Elsewhere(User):
    """Somebody on another machine, whose sweeps run on the cluster; for the test, its root lies where theirs would."""

    def __init__(self, folder: Path, service: Service) -> None:
        super().__init__(folder, SPEC)
        self._service = service
        self.module = "kd_sweep"
        self.known = {"SWEEP_ADDRESS": service.address, "RAY_AUTH_TOKEN_PATH": str(service.token_file)}
        self.login = {
            "MLFLOW_TRACKING_URI": service.mlflow,
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": service.secret("mlflow_password"),
        }

    def remote(self, *arguments: str) -> Done:
        """A command that must succeed."""
        done = self.sweep(*arguments, **self.known)
        assert done.code == 0, done.out + done.err
        return done

    def refused(self, *arguments: str, **environment: str) -> str:
        """The message of a command that ends with exit code 2."""
        done = self.sweep(*arguments, **environment)
        assert done.code == 2, done.out + done.err
        assert "Traceback" not in done.err
        assert done.err.count("\n") == 1, done.err
        return done.err


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[Service, Elsewhere]]:
    """The service, and somebody who submits to it."""
    service = Service(tmp_path / "elsewhere" / "runs")
    write_own_modules(service.home)
    try:
        service.begin()
        service.wait(workers=2)
        yield service, Elsewhere(tmp_path / "elsewhere", service)
    finally:
        service.close()


def test_the_service_from_a_closed_door_to_a_restored_dump(
    started: tuple[Service, Elsewhere], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """One test, for it is one service: its start takes longer than most tests."""
    service, user = started
    nobody_is_let_in_without_token_or_password(service, user)
    service.make_logins_quick()
    seen = a_submitted_sweep_survives_a_node_and_the_tracking_server_and_a_cancel(service, user)
    the_table_is_that_of_one_machine(service, user, request.getfixturevalue("undisturbed"))
    code_of_the_users_own_travels_to_a_head_that_has_never_seen_it(user)
    assert not (service.home / "RAN").exists(), "which hides none of our packages there"
    assert seen == []
    assert secrets_in(service, written(user.root, service)) == []
    a_restored_dump_of_the_database_holds_the_same_table(service, user, tmp_path / "mlflow.dump")


def a_submitted_sweep_survives_a_node_and_the_tracking_server_and_a_cancel(
    service: Service, user: Elsewhere
) -> list[str]:
    """The secrets that were seen meanwhile."""
    assert user.remote("submit", "spec.yaml").out.startswith(f"submitted small-1 to {service.address}\n")
    assert not (user.root.sweep("small").ledger.exists() and user.events("stop"))  # at once, not after the sweep
    assert "already, as small-1" in user.refused("submit", "spec.yaml", **user.known)

    wait(user, epochs=4)
    with service.frozen():
        assert "small on" in user.remote("status").out
        seen = look_for_secrets(service)
        service.kill("worker1")  # a machine is gone, its trial goes on elsewhere
        service.kill("mlflow")
    wait(user, epochs=8)

    with service.frozen():
        cancel = user.start("cancel", "small", **user.known)
        service.wait_for(
            "head", lambda: "stopping after the epochs in flight" in service.page("/api/jobs/small-1/logs")
        )
    cancelled = user.end(cancel)
    assert cancelled.out.startswith("small-1 is cancelled; nothing is lost"), cancelled.err
    assert user.events("stop")[-1].body["exit_code"] == 130  # in good order, not by SIGKILL
    assert "Submitted again, it goes on from here" in user.remote("logs", "small-1").out
    assert "small-1 is cancelled" in user.refused("cancel", "small", **user.known)
    service.start("worker", 2)  # another machine
    service.start("mlflow")
    assert user.remote("submit", "spec.yaml").out.startswith("submitted small-2 to")
    followed = user.remote("logs", "small", "-f")
    assert "finished resnet14→resnet8" in followed.out
    return seen


def the_table_is_that_of_one_machine(service: Service, user: Elsewhere, alone: User) -> None:
    """`alone` has run the same sweep there; asked for at the end, when others have made it."""
    assert user.numbers() == alone.numbers()
    assert table(user) == table(alone)
    assert begun_after_their_end(user) == []
    (row,) = json.loads(user.remote("list", "sweeps", "--format", "json").out)
    assert (row["sweep"], row["job"], row["state"], row["jobs"]) == ("small", "small-2", "done", 2)
    tracked = user.sweep("leaderboard", "small", "--from-mlflow", "--format", "json", **user.login)
    assert tracked.code == 0, tracked.err
    assert json.loads(tracked.out) == table(alone)


def code_of_the_users_own_travels_to_a_head_that_has_never_seen_it(user: Elsewhere) -> None:
    place = user.folder.parent / "paper"
    place.mkdir()
    (place / "own.yaml").write_text(OWN)
    text = LOSS + noise(MOST_BYTES - len(LOSS))
    (place / "my_losses.py").write_text(text)
    submitted = user.remote("submit", str(place / "own.yaml"))
    shutil.rmtree(place)
    assert submitted.out.splitlines()[1] == "  with its own code: my_losses.py"
    assert "must be there" not in submitted.out
    followed = user.remote("logs", "own", "-f")
    assert "finished resnet14→resnet8 · mykd" in followed.out
    (row,) = user.leaderboard("own")
    assert (row["method"], row["n"]) == ("mykd", 1), row
    assert (user.root.sweep("own").code / "my_losses.py").read_text() == text


def noise(size: int) -> str:
    """Comments of so many bytes in all, which hardly any packer makes fewer."""
    draw = random.Random(0)
    return "".join(f"# {draw.randbytes(50).hex()}\n" for _ in range(1 + size // 100))[: size - 1] + "\n"


def nobody_is_let_in_without_token_or_password(service: Service, user: Elsewhere) -> None:
    pages = ("/api/jobs/", "/api/version", "/nodes?view=summary")
    token, password = service.secret("ray_token"), service.secret("mlflow_password")
    assert [service.answer(service.address + page) for page in pages] == [401] * 3
    assert [service.answer(service.address + page, token="0" * 64) for page in pages] == [403] * 3
    assert [service.answer(service.address + page, token=token) for page in pages] == [200] * 3
    experiments = f"{service.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    logins = ("", "admin:password1234", "admin:", f"nobody:{password}", f"admin:{password}")
    assert [service.answer(experiments, login=login) for login in logins] == [401, 401, 401, 401, 200]

    address = {"SWEEP_ADDRESS": service.address}
    for environment in ({}, {"RAY_AUTH_TOKEN": "0" * 64}):
        assert "does not let you in" in user.refused("list", "sweeps", **address, **environment)
    wrong = user.login | {"MLFLOW_TRACKING_PASSWORD": "0" * 64}
    refused = user.sweep("leaderboard", "small", "--from-mlflow", **wrong)
    assert refused.code == 2
    assert "0" * 64 not in refused.err


def a_restored_dump_of_the_database_holds_the_same_table(service: Service, user: Elsewhere, dump: Path) -> None:
    where = service.dumped_and_restored(dump)
    restored = user.sweep(
        "leaderboard", "small", "--tracking-uri", "postgresql:///restored", "--format", "json", **where
    )
    assert restored.code == 0, restored.err
    assert json.loads(restored.out) == table(user)


def table(user: User) -> list[dict[str, Any]]:
    """The leaderboard as `--format json` prints it."""
    with closing(Ledger(user.root.sweep("small").ledger)) as ledger:
        return list(json.loads(draw.render(board.leaderboard(ledger), Format.JSON)))


def wait(user: Elsewhere, epochs: int) -> None:
    """Until the sweep has so many more epochs."""

    def count() -> int:
        return len(user.events("epoch")) if user.root.sweep("small").ledger.exists() else 0

    deadline, goal = time.monotonic() + LONGEST, count() + epochs
    while count() < goal:
        assert time.monotonic() < deadline, user.sweep("logs", "small", **user.known).out
        time.sleep(0.1)


def look_for_secrets(service: Service) -> list[str]:
    """Secrets on the command lines of the service, and in what its job server tells of its jobs."""
    lines = [Path(f"/proc/{pid}/cmdline") for pid in service.pids()]
    found = secrets_in(service, [line for line in lines if line.exists()])
    jobs = service.page("/api/jobs/")
    assert "small-1" in jobs
    return found + [f"{name} in the jobs" for name in SECRETS if service.secret(name) in jobs]


def written(root: Root, service: Service) -> list[Path]:
    """All files of the sweep and all logs."""
    places = [*root.path.rglob("*"), *service.folder.rglob("*.txt"), *(service.folder / "ray").rglob("*")]
    return [place for place in places if place.is_file()]


def secrets_in(service: Service, files: list[Path]) -> list[str]:
    """Where one of the secrets stands: ``ray_token in /…/raylet.out``."""
    assert len(files) > 10
    contents = {file: file.read_bytes() for file in files}
    return [
        f"{name} in {file}"
        for file, content in contents.items()
        for name in SECRETS
        if service.secret(name).encode() in content
    ]
