"""The pictures of docs/mlflow.md: a small sweep, served by `sweep ui`, photographed by a browser without a window.

    uv run python -m benchmarks.screenshots                      about 8 minutes on 2 busy cores
    uv run python -m benchmarks.screenshots --root runs          again, from this sweep where it has run there
    uv run python -m benchmarks.screenshots --root runs --seconds 15    on a machine that is busy

It needs Chromium (`--browser`). Pictures go to docs/images, as PNG of few colours.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from PIL import Image

from benchmarks.common import wait_for
from search_spaces.loader import parse_spec
from sweep.layout import Root
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.tracking.address import quiet_mlflow, tracking_uri
from sweep.tracking.guard import PARAMETER, TOKEN
from sweep.tracking.views import views

SPEC = """\
# the sweep of docs/mlflow.md: 41 trials, 6 minutes on 2 busy CPU cores
name: digits-tour
description: DHKD's sensitivity to alpha, and the best method under each of two teachers, on few-shot digits
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 30}
teachers:
  recipe: {samples_per_class: null, epochs: 20, batch_size: 64}
pairs: [resnet20 -> resnet8, resnet14 -> resnet8]
methods:
  - scratch
  - kd
  - dkd
  - dhkd: {alpha: [0.2, 0.5, 1, 2]}
seeds: 3
"""
IMAGES = Path(__file__).parent.parent / "docs" / "images"
WIDTH, HEIGHT = 1440, 900
"""Of a laptop's screen: what a reader sees first."""
ML = "workflowType=machine_learning"
"""The half of MLflow that is not about language models."""
COLOURS = 128
LARGEST = 150_000
"""Bytes of a picture."""
PATIENCE_SECONDS = 240
PAGE_SECONDS = 4.0
"""Until a page is taken to be drawn, and again after each script."""
SCRIPTS = (
    "document.querySelector('[data-component-id=\"mlflow.assistant.chat_panel.close\"]')?.click()",
    "[...document.querySelectorAll('button')].filter(b => b.textContent == 'Show more').forEach(b => b.click())",
)
"""What a reader would click on first."""


def main() -> None:
    """Run the sweep, serve it, and take every picture."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--root", type=Path, help="where the sweep lies, or is to lie; by default a temporary folder")
    options.add_argument("--browser", default="chromium")
    options.add_argument("--output", type=Path, default=IMAGES)
    options.add_argument("--seconds", type=float, default=PAGE_SECONDS, help="until a page is taken to be drawn")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Root(given.root or Path(folder) / "runs")
        spec = Path(folder) / "digits-tour.yaml"
        spec.write_text(SPEC, "utf-8")
        subprocess.run([sys.executable, "-m", "sweep.cli", "run", str(spec), "--root", str(root.path)], check=True)
        plan = build_plan(parse_spec(SPEC, spec.name))
        with served(root) as address, closing(Browser(given.browser, f"{folder}/profile", given.seconds)) as browser:
            for name, (page, height) in pages(root, plan).items():
                photograph(browser, f"{address}{page}", given.output / f"mlflow-{name}.png", height)


def pages(root: Root, plan: Plan) -> dict[str, tuple[str, int]]:
    """What is photographed: the page's address within MLflow's, and the picture's height."""
    quiet_mlflow()
    client = MlflowClient(tracking_uri(root, None))
    experiment = client.get_experiment_by_name(plan.name)
    if experiment is None:
        raise RuntimeError(f"there is no experiment {plan.name} below {root.path}")
    number = experiment.experiment_id
    (parent,) = client.search_runs([number], "tags.`sweep.key` = 'sweep'")
    shown = {view.name: view.address(number) for view in views(plan)}
    return {
        "table": (shown["table"], HEIGHT),
        "methods": (shown["methods"], HEIGHT),
        "sensitivity": (shown["sensitivity-dhkd"], HEIGHT),
        "parallel": (shown["parallel"], HEIGHT),
        "curves": (shown["curves"], HEIGHT),
        "parent": (f"#/experiments/{number}/runs/{parent.info.run_id}?{ML}", 1150),
        "versions": (f"#/models/resnet20-digits/versions/1?{ML}", 900),
    }


class Browser:
    """Chromium without a window, which takes commands of the DevTools protocol over a pipe."""

    def __init__(self, program: str, folder: str, seconds: float = PAGE_SECONDS) -> None:
        self._seconds = seconds
        to_read, self._out = os.pipe()
        self._in, to_write = os.pipe()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"]
        command = [program, *options, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "sh", *command],
            pass_fds=(to_read, to_write),
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._answers, self._number, self._page = os.fdopen(self._in, "rb"), 0, ""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._page = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and wait for its answer."""
        self._number += 1
        session = {"sessionId": self._page} if self._page else {}
        message = {"id": self._number, "method": method, "params": params} | session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._message())
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def _message(self) -> bytes:
        found = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            if not byte:
                raise RuntimeError("the browser has ended")
            found += byte
        return bytes(found)

    def run(self, script: str) -> None:
        """A script in the page."""
        self.ask("Runtime.evaluate", expression=script)

    def picture(self, address: str, height: int) -> bytes:
        """A page as PNG, with what MLflow folds away unfolded, and without its assistant."""
        size = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        self.ask("Page.navigate", url="about:blank")  # a change behind '#' alone loads nothing
        self.ask("Page.navigate", url=address)
        for script in SCRIPTS:
            time.sleep(self._seconds)
            self.run(script)
        time.sleep(self._seconds)
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._answers.close()
        os.close(self._out)


def photograph(browser: Browser, address: str, path: Path, height: int) -> None:
    """One page, as a PNG of few colours. Raises RuntimeError for a picture that is too large."""
    picture = small(browser.picture(address, height))
    if len(picture) > LARGEST:
        raise RuntimeError(f"{path.name} would have {len(picture):,} bytes; at most {LARGEST:,}")
    path.write_bytes(picture)
    print(f"{len(picture):>9,} bytes  {path}", flush=True)


def small(picture: bytes) -> bytes:
    """A PNG in :data:`COLOURS` colours."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


@contextmanager
def served(root: Root) -> Iterator[str]:
    """`sweep ui` on a free port; the link, to which a page's address within MLflow is added."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "sweep.cli", "ui", "--root", str(root.path), "--port", str(port)]
    token = secrets.token_urlsafe()
    server = subprocess.Popen(
        command,
        env=os.environ | {TOKEN: token},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", PATIENCE_SECONDS)
        yield f"http://127.0.0.1:{port}/?{PARAMETER}={token}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


if __name__ == "__main__":
    main()
