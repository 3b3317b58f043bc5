"""What is used of MLflow beyond what it promises: that the installed release still has it, as it was read.

Where a test fails, a new release of MLflow has changed something: read it there, follow it in
`sweep/tracking/mlflow_internals.py` (or `view_state.py`), and raise the bound in `pyproject.toml`.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sweep.engine import meter
from sweep.plan.slots import Plan
from sweep.tracking import mlflow_internals, view_state
from sweep.tracking.paging import pages
from sweep.tracking.run_content import SYSTEM
from sweep.tracking.views import views

FUNCTIONS = {
    "mlflow.utils.credentials:get_default_host_creds": (("http://here:5000",), {}),
    "mlflow.utils.rest_utils:http_request": (("creds", "/path", "POST"), {"json": {}}),
    "mlflow.utils.rest_utils:verify_rest_response": (("response", "/path"), {}),
    "mlflow.store.entities:PagedList": (([], None), {}),
    "mlflow.pytorch:_validate_pt2_archive_is_pickle_free": (("model.pt2",), {}),
}
"""What is called, and with what."""
TAGS = {
    "MLFLOW_RUN_NOTE": mlflow_internals.NOTE,
    "MLFLOW_PARENT_RUN_ID": mlflow_internals.PARENT_RUN,
    "MLFLOW_SOURCE_NAME": mlflow_internals.SOURCE_NAME,
    "MLFLOW_GIT_COMMIT": mlflow_internals.SOURCE_COMMIT,
    "MLFLOW_SOURCE_TYPE": mlflow_internals.SOURCE_TYPE,
    "MLFLOW_LOGGED_ARTIFACTS": mlflow_internals.LOGGED_ARTIFACTS,
    "MLFLOW_MODEL_VERSIONS": mlflow_internals.MODEL_VERSIONS,
    "MLFLOW_DATASET_CONTEXT": mlflow_internals.DATA_CONTEXT,
}
LENGTHS = {
    "MAX_TAG_VAL_LENGTH": mlflow_internals.LONGEST_TAG,
    "MAX_EXPERIMENT_TAG_VAL_LENGTH": mlflow_internals.LONGEST_EXPERIMENT_TAG,
    "MAX_PARAM_VAL_LENGTH": mlflow_internals.LONGEST_PARAM,
}


def internal(module: str, name: str) -> Any:
    """An attribute of one of MLflow's modules."""
    mlflow = pytest.importorskip("mlflow")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        pytest.fail(f"MLflow {mlflow.__version__} has no {module}.{name} any more: {error}")


@cache
def page() -> str:
    """The scripts of MLflow's page."""
    scripts = Path(internal("mlflow", "__file__")).parent / "server" / "js" / "build"
    return "".join(path.read_text(errors="ignore") for path in sorted(scripts.rglob("*.js")))


def test_the_release_is_the_one_that_was_read() -> None:
    version = internal("mlflow", "__version__")
    assert version.startswith(mlflow_internals.RELEASE + "."), (
        f"MLflow {version} is installed, {mlflow_internals.RELEASE} was read; pyproject.toml should not allow it"
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_take_what_they_are_called_with(name: str) -> None:
    given, named = FUNCTIONS[name]
    signature = inspect.signature(internal(*name.split(":")))
    try:
        signature.bind(*given, **named)
    except TypeError as error:
        pytest.fail(f"{name}{signature} is called with {len(given)} values and {list(named)}: {error}")


def test_the_path_is_where_the_server_searches_runs() -> None:
    service = internal("mlflow.protos.service_pb2", "MlflowService")
    paths = internal("mlflow.utils.rest_utils", "extract_api_info_for_service")(service, "/api/2.0")
    search = paths[internal("mlflow.protos.service_pb2", "SearchRuns")]
    assert search == (mlflow_internals.SEARCH, "POST"), f"runs are searched at {search}"


@pytest.mark.parametrize("name", TAGS)
def test_tags_have_the_names_that_mlflow_gives_them(name: str) -> None:
    assert internal("mlflow.utils.mlflow_tags", name) == TAGS[name]


@pytest.mark.parametrize("name", LENGTHS)
def test_tags_may_be_as_long_as_mlflow_lets_them(name: str) -> None:
    assert internal("mlflow.utils.validation", name) == LENGTHS[name]


def test_a_runs_name_may_be_as_long_as_the_database_lets_it() -> None:
    runs = internal("mlflow.store.tracking.dbmodels.models", "SqlRun").__table__
    assert runs.c.name.type.length == mlflow_internals.LONGEST_RUN_NAME


@pytest.mark.parametrize(
    ("table", "used"), [*mlflow_internals.COLUMNS.items(), *mlflow_internals.LOCATIONS.items()], ids=str
)
def test_the_database_has_the_columns_that_are_used(table: str, used: tuple[str, ...], empty_store: Path) -> None:
    with closing(sqlite3.connect(empty_store)) as database:
        columns = {column for _, column, *_ in database.execute(f"PRAGMA table_info({table})")}
    assert columns, f"MLflow's database has no table {table} any more"
    gone = set(used) - columns
    assert not gone, (
        f"MLflow's table {table} has no {', '.join(sorted(gone))} any more, but {', '.join(sorted(columns))}"
    )


@pytest.mark.parametrize("tag", [mlflow_internals.EXPERIMENT_KIND, mlflow_internals.SHARED_VIEW])
def test_tags_that_only_the_page_knows_are_known_to_it(tag: str) -> None:
    assert f'"{tag}"' in page(), f"MLflow's page knows no tag {tag} any more"


def test_the_page_knows_all_that_a_views_state_says(small_plan: Plan) -> None:
    states = [json.loads(view.value) for view in views(small_plan)]
    charts = [chart for state in states for chart in state["compareRunCharts"]]
    sections = [section for state in states for section in state["compareRunSections"]]
    words = {word for part in [*states, *charts, *sections] for word in part}
    words |= {chart["type"] for chart in charts} | {view_state.NAMES.split("`")[1], "viewStateShareKey", "deflate;"}
    gone = {word for word in words if word not in page()}
    assert not gone, f"MLflow's page does not read {', '.join(sorted(gone))} any more"


def test_what_is_measured_has_the_names_that_mlflow_has_for_it() -> None:
    folder = Path(internal("mlflow.system_metrics", "__file__")).parent
    known = "".join(path.read_text() for path in folder.rglob("*.py"))
    for name in (meter.CPU, meter.GPU, meter.GPU_MEMORY, meter.GPU_POWER):
        assert f'"{name.replace("gpu_0", "gpu_{i}")}"' in known, name
    assert f"{SYSTEM}{meter.CPU}" in known
    assert f'"{SYSTEM}"' in page()


def test_pages_are_fetched_one_after_the_other_until_there_is_no_more() -> None:
    paged = internal("mlflow.store.entities", "PagedList")
    listing = {None: paged([1, 2], "second"), "second": paged([], "third"), "third": paged([3], "")}
    fetched: list[str | None] = []

    def fetch(token: str | None) -> Any:
        fetched.append(token)
        return listing[token]

    numbers = pages(fetch)
    assert (next(numbers), fetched) == (1, [None])
    assert (list(numbers), fetched) == ([2, 3], [None, "second", "third"])


def rest_error(status: int, body: str) -> BaseException:
    """What MLflow's client makes of an HTTP answer."""
    import requests

    answer = requests.Response()
    answer.status_code, answer._content = status, body.encode()
    verify = internal("mlflow.utils.rest_utils", "verify_rest_response")
    with pytest.raises(internal("mlflow.exceptions", "MlflowException")) as raised:
        verify(answer, "/api/2.0/mlflow/runs/search")
    return raised.value


@pytest.mark.parametrize(
    ("status", "body"), [(413, "too\nlarge"), (401, "You are not authenticated."), (200, "<html>\n"), (200, "[]")]
)
def test_the_clients_errors_say_what_was_answered(status: int, body: str) -> None:
    assert mlflow_internals.answer_of(rest_error(status, body)) == (status, body)


def test_an_error_of_mlflows_own_is_no_answer_but_a_code() -> None:
    error = rest_error(400, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}')
    assert mlflow_internals.answer_of(error) == (None, "")
    assert getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE"
