"""What Ray is told of a job, and when nothing is submitted; Ray's client is a stand-in that keeps its jobs here."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import ray.job_submission
from ray.job_submission import JobDetails, JobStatus, JobType

from search_spaces.loader import load_spec, parse_spec
from sweep.cluster.carried import CARRIED, carried
from sweep.cluster.jobs import Cluster
from tests.support.command import SMALL
from tests.support.examples import small_spec
from trainers.code import unload
from trainers.errors import BusyError

LIVE = (JobStatus.PENDING, JobStatus.RUNNING)
ENDED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED)
SECRETS = ("RAY_AUTH_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY")


@dataclass
class Jobs:
    """The jobs that a head knows, in place of Ray's client."""

    known: dict[str, JobDetails] = field(default_factory=dict)
    submitted: list[dict[str, Any]] = field(default_factory=list)
    sent: dict[str, bytes] = field(default_factory=dict)
    """The files that Ray would have sent along with the last."""

    def had(self, name: str, status: JobStatus, sweep: str = "small") -> None:
        """A job from before."""
        told: dict[str, Any] = {"submission_id": name, "metadata": {"sweep": sweep}, "start_time": len(self.known)}
        self.known[name] = JobDetails(type=JobType.SUBMISSION, status=status, entrypoint="sweep submitted", **told)

    def list_jobs(self) -> list[JobDetails]:
        return list(self.known.values())

    def get_job_info(self, name: str) -> JobDetails:
        return self.known[name]

    def submit_job(self, **told: Any) -> None:
        self.sent = {
            path.name: path.read_bytes()
            for folder in told["runtime_env"].get("py_modules", ())
            for path in Path(folder).iterdir()
        }
        self.submitted.append(told)
        self.had(told["submission_id"], JobStatus.PENDING, told["metadata"]["sweep"])


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    head = Jobs()
    monkeypatch.setattr(ray.job_submission, "JobSubmissionClient", lambda address: head)
    return head


@pytest.fixture
def cluster(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """One that answers, to somebody who knows many secrets."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in SECRETS:
        monkeypatch.setenv(name, "hidden")
    for name in ("RAY_AUTH_MODE", "RAY_API_SERVER_ADDRESS"):  # set by the cluster, and to be put back
        monkeypatch.setenv(name, "")
    with socket.create_server(("127.0.0.1", 0)) as head:
        yield Cluster(f"http://127.0.0.1:{head.getsockname()[1]}")


def environment(jobs: Jobs) -> dict[str, str]:
    """Of the one job that was submitted."""
    (told,) = jobs.submitted
    return dict(told["runtime_env"]["env_vars"])


def test_a_job_is_stopped_as_ctrl_c_does_and_gets_two_minutes_to_end(cluster: Cluster, jobs: Jobs) -> None:
    """Ray's own are SIGTERM and three seconds."""
    cluster.submit(small_spec())
    told = environment(jobs)
    assert told["RAY_JOB_STOP_SIGNAL"] == "SIGINT"
    assert float(told["RAY_JOB_STOP_WAIT_TIME_S"]) == 120


def test_a_job_carries_the_spec_and_no_secret(cluster: Cluster, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = small_spec()
    job = cluster.submit(spec)
    assert (job.id, job.sweep, job.state) == ("small-1", "small", "waiting")
    assert "hidden" not in str(jobs.submitted)
    monkeypatch.setenv(CARRIED, environment(jobs)[CARRIED])
    assert carried() == parse_spec(spec.text, spec.source)


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("place", ["last", "before another"])
def test_a_sweep_that_waits_or_runs_is_not_submitted_again(
    status: JobStatus, place: str, cluster: Cluster, jobs: Jobs
) -> None:
    jobs.had("small-7", status)
    if place == "before another":
        jobs.had("small-8", JobStatus.FAILED)
    with pytest.raises(BusyError, match=r"already, as small-7 since .*first: sweep cancel small"):
        cluster.submit(small_spec())
    assert jobs.submitted == []


@pytest.mark.parametrize("status", ENDED)
def test_a_sweep_that_has_ended_goes_on_under_the_next_number(status: JobStatus, cluster: Cluster, jobs: Jobs) -> None:
    jobs.had("small-9", status)
    jobs.had("small-10", status)
    assert cluster.submit(small_spec()).id == "small-11"


def test_other_sweeps_that_run_are_in_nobodys_way(cluster: Cluster, jobs: Jobs) -> None:
    for name in ("other", "small-2"):
        jobs.had(f"{name}-5", JobStatus.RUNNING, name)
    assert cluster.submit(small_spec()).id == "small-1"


def test_code_goes_as_a_package_of_rays_and_none_where_there_is_none(
    cluster: Cluster, jobs: Jobs, tmp_path: Path
) -> None:
    (tmp_path / "my_losses.py").write_text("from trainers import recipe\nrecipe('mine', base='digits')\n")
    (tmp_path / "own.yaml").write_text(SMALL.replace("name: small", "name: own") + "code: [my_losses.py]\n")
    spec = load_spec(str(tmp_path / "own.yaml"))
    unload()
    cluster.submit(spec)
    assert jobs.sent == {f"{spec.code.key}.json": spec.code.to_json().encode()}
    assert "recipe" not in str(jobs.submitted)
    (folder,) = jobs.submitted[0]["runtime_env"]["py_modules"]
    assert not Path(folder).exists(), "nothing is left here"
    cluster.submit(small_spec())
    assert jobs.sent == {}
    assert "py_modules" not in jobs.submitted[1]["runtime_env"]
