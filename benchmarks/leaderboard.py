"""The leaderboard of a large sweep: from its ledger, and from an MLflow server against MLflow's own way.

    uv run python -m benchmarks.leaderboard
    uv run python -m benchmarks.leaderboard --store postgresql://user@host/empty_database

The ledger is made up: 10,000 trials of 240 epochs on ten pairs (bulk-inserted; a sweep writes the same rows one at a
time). Measured is the whole command `sweep leaderboard`, from the start of the process to its end. The server's runs
are one that was delivered as a sweep delivers, copied in the store's tables under other labels and seeds; the other way
is `mlflow.search_runs` into pandas and a group-by. Both read the store directly, then over HTTP. With --store the
database must be empty, and is left full.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.common import (
    Load,
    Row,
    at_least,
    at_most,
    parser,
    print_machine,
    print_rows,
    ratios,
    rounds,
    seconds,
    wait_for,
)
from search_spaces.loader import parse_spec
from sweep.formats import Format
from sweep.layout import Root
from sweep.ledger.bodies import final_body, start_body
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.results.board import board_of
from sweep.results.draw import render
from sweep.tracking import read_back, sync
from sweep.tracking.address import quiet_mlflow

SPEC = """
name: large
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 240, samples_per_class: 8}
pairs: [resnet20 -> resnet8]
methods: [kd, {dhkd: {alpha: [1, 2]}}]
seeds: 1
"""
PAIRS, SEEDS = 10, 5
PATIENCE = 300.0
"""Seconds until the tracking server must answer, at its start and later."""


# -- what is measured on ------------------------------------------------------------------------------------------


def large_plan(trials: int) -> Plan:
    """A plan of so many students: rows of dhkd beside one of kd, under ten pairs."""
    small = build_plan(parse_spec(SPEC, "large.yaml"))
    kd, dhkd = (next(slot for slot in small.students if slot.method == name) for name in ("kd", "dhkd"))
    slots = [
        _slot(dhkd if row else kd, f"resnet{20 + pair}→resnet8", row, seed)
        for seed in range(SEEDS)
        for pair in range(PAIRS)
        for row in range(max(1, trials // (PAIRS * SEEDS)))
    ]
    return replace(small, slots=tuple(slots))


def _slot(like: Slot, pair: str, row: int, seed: int) -> Slot:
    label, varied = (f"dhkd α={row}", {"alpha": float(row)}) if row else ("kd", {})
    params = like.config["method"]["params"] | varied
    method = like.config["method"] | {"params": params}
    name = f"{pair} {label} {seed}"
    config = like.config | {"seed": seed, "method": method}
    return replace(like, id=name, pair=pair, label=label, varied=varied, seed=seed, config=config, teacher=None)


def fill(path: Path, plan: Plan, epochs: int) -> None:
    """A ledger in which all of a plan has finished."""
    with Ledger(path) as ledger:
        ledger.append("sweep", body={"spec": SPEC, "host": "here", "pid": 1})
        ledger.append("plan", body=plan.to_json())
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous=OFF")
        insert = "INSERT INTO events (time, kind, trial, epoch, body) VALUES (?, ?, ?, ?, ?)"
        database.executemany(insert, _events(plan, epochs))
        database.commit()


def _events(plan: Plan, epochs: int) -> Iterator[tuple[float, str, str, int | None, str]]:
    draw, now = random.Random(0), time.time()
    for number, slot in enumerate(plan.slots):
        key, reached = f"{number:016x}", 60 + 20 * draw.random()
        found = [_epoch(epoch, reached) for epoch in range(1, epochs + 1)]
        yield now, "start", key, None, json.dumps(start_body(slot, slot.trial()))
        for epoch in found:
            yield now, "epoch", key, epoch["epoch"], json.dumps(epoch)
        yield now, "final", key, None, json.dumps(final_body("finished", found, plan.protocol))


def _epoch(epoch: int, reached: float) -> dict[str, Any]:
    accuracies = {f"{part}_acc{top}": reached - 10 / epoch for part in ("train", "val", "test") for top in ("", "5")}
    terms = {"ce": 1.5 / epoch, "kd": 0.5 / epoch, "aux": 0.25 / epoch}
    cost = {"seconds": 20.0, "images_per_second": 2500.0}
    return {"epoch": epoch, "loss": 2.25 / epoch, "terms": terms, "lr": 0.05} | accuracies | cost


def deliver(root: Root, plan: Plan, uri: str) -> None:
    """A sweep of so many runs on a tracking server: one delivered, the others copied from it."""
    fill(root.sweep("tracked").ledger, replace(plan, slots=plan.slots[:1]), 1)
    sync.sync(root, "tracked", uri)
    import sqlalchemy as sql

    engine = sql.create_engine(uri)
    tables = {name: sql.Table(name, sql.MetaData(), autoload_with=engine) for name in COPIED}
    with engine.begin() as connection:
        tags = tables["tags"]
        like = connection.execute(sql.select(tags.c.run_uuid).where(tags.c.key == "seed")).scalar_one()
        for name, table in tables.items():
            rows = connection.execute(sql.select(table).where(table.c.run_uuid == like)).mappings().all()
            copies = [_copied(dict(row), slot, place) for place, slot in enumerate(plan.slots[1:], 1) for row in rows]
            for start in range(0, len(copies), 10_000):
                connection.execute(table.insert(), copies[start : start + 10_000])
            print(f"{len(copies):>9,} rows in {name}", file=sys.stderr)
    engine.dispose()


COPIED = ("runs", "tags", "params", "latest_metrics")


def _copied(row: dict[str, Any], slot: Slot, place: int) -> dict[str, Any]:
    """A run's row in one of the tables, as another slot's run."""
    own = {"pair": slot.pair, "label": slot.label, "method": slot.method, "seed": str(slot.seed)}
    own |= {"sweep.key": f"{place:016x}", "alpha": str(float(slot.varied.get("alpha", 0.9)))}
    row["run_uuid"] = uuid.uuid5(uuid.NAMESPACE_OID, str(place)).hex
    if row.get("key") in own:
        row["value"] = own[row["key"]]
    elif row.get("key") == "test_acc":
        row["value"] = 60 + place % 977 / 50
    return row


# -- the two ways ---------------------------------------------------------------------------------------------------


def command(root: Root) -> float:
    """Processor seconds of the whole command, in a process of its own: what others do meanwhile does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "sweep.cli", "leaderboard", "large", "--root", str(root.path), "--format", "markdown"],
        capture_output=True,
        check=True,
    )
    if b"dhkd" not in done.stdout:
        raise RuntimeError("the command printed no table")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def ours(uri: str) -> None:
    render(board_of(read_back.read("tracked", uri)), Format.MARKDOWN)


def theirs(uri: str) -> None:
    import mlflow

    mlflow.set_tracking_uri(uri)
    runs = mlflow.search_runs(experiment_names=["tracked"], filter_string="tags.stage = 'confirm'")
    places = runs.groupby(["tags.recipe", "tags.label", "tags.pair"])
    places["metrics.test_acc"].agg(["mean", "std", "count"]).unstack().to_csv()


@contextmanager
def served(store: str, folder: Path) -> Iterator[str]:
    """A tracking server of a store, on this machine; what it writes lies below `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    start = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    start += ["--artifacts-destination", str(folder / "artifacts")]
    own = {"MLFLOW_BACKEND_STORE_URI": store, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    nowhere = subprocess.DEVNULL
    server = subprocess.Popen(
        start, env=os.environ | own, cwd=folder, stdout=nowhere, stderr=nowhere, start_new_session=True
    )
    try:
        wait_for(f"{address}/health", PATIENCE)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def compare(what: str, uri: str, count: int) -> list[Row]:
    """Rows for one address: seconds of both, and how many times ours goes into MLflow's."""
    ways = {"ours": lambda: seconds(lambda: ours(uri)), "theirs": lambda: seconds(lambda: theirs(uri))}
    found = rounds(ways, count)
    return [
        Row(f"{what}: this project, s", found["ours"]),
        Row(f"{what}: search_runs and group-by, s", found["theirs"]),
        Row(f"{what}: theirs / ours", ratios(found["theirs"], found["ours"]), at_least(1)),
    ]


def main() -> None:
    """Print two tables: the command from the ledger, and both ways from the server."""
    options = parser(__doc__, count=5)
    options.add_argument("--trials", type=int, default=10_000)
    options.add_argument("--epochs", type=int, default=240)
    options.add_argument("--runs", type=int, default=10_000, help="on the tracking server")
    options.add_argument("--store", help="URI of an empty database for MLflow; by default a new SQLite file")
    given = options.parse_args()
    if given.quick:
        given.trials, given.epochs, given.runs, given.rounds = 100, 3, 100, 1
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(int(PATIENCE)))
    quiet_mlflow()
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        root = Root(Path(folder))
        fill(root.sweep("large").ledger, large_plan(given.trials), given.epochs)
        spent: list[float] = []
        with Load() as load:
            ways = {"command": lambda: seconds(lambda: spent.append(command(root)))}
            times = rounds(ways, given.rounds, warm_up=0)["command"]
        size = root.sweep("large").ledger.stat().st_size / 1e6
        title = f"From the ledger: {given.trials:,} trials of {given.epochs} epochs ({size:,.0f} MB); {load}"
        print_rows(title, [Row("wall, s", times, at_most(2)), Row("processor, s", spent, at_most(2))])
        store = given.store or f"sqlite:///{folder}/mlflow.db"
        deliver(root, large_plan(given.runs), store)
        with Load() as load, served(store, Path(folder)) as address:
            rows = [*compare("database", store, given.rounds), *compare("HTTP", address, given.rounds)]
        print_rows(f"From MLflow on {store.partition(':')[0]}: {given.runs:,} runs; {load}", rows)


if __name__ == "__main__":
    main()
