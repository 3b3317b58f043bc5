"""What it takes to open a data set, first and again, and to stream one.

    uv run python -m benchmarks.datasets DIR            a folder of Parquet files: seconds to open it, cold and warm
    uv run python -m benchmarks.datasets --stream       drawn JPEG files of 500 × 375 pixels: images per second at 224

Cold: the cache is empty, so every image is decoded. Warm: what every later process needs, hash of all pixels included.
The fastest of the repeats is printed; importing torch is not counted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from trainers.data import DATASETS
from trainers.data.base import Framing
from trainers.data.pixels.cache import VARIABLE

WIDTH, HEIGHT = 500, 375
"""ImageNet's usual picture."""
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[VARIABLE] = f"{scratch}/cache"
        if options.path is not None:
            opening(options.path, options.repeats)
        if options.stream:
            streaming(Path(scratch) / "set", options.images, options.workers, options.repeats)


def opening(path: Path, repeats: int) -> None:
    """Print seconds to open a folder of Parquet files, with and without a cache."""

    def cold() -> None:
        shutil.rmtree(os.environ[VARIABLE], ignore_errors=True)
        warm()

    def warm() -> None:
        DATASETS["parquet"].model_validate({"path": path}).load()

    print(f"cold {fastest(cold, repeats):.2f} s, warm {fastest(warm, repeats):.2f} s")


def streaming(root: Path, count: int, workers: list[int], repeats: int) -> None:
    """Print images per second of one epoch's training views."""
    draw(root, count)
    for number in workers:
        source = DATASETS["folder"].model_validate({"path": root, "resize": 256, "memory_gb": 0, "workers": number})
        train = source.load().train

        def epoch() -> None:
            for _ in train.batches(torch.arange(len(train)).split(BATCH), Framing(0, 1, flip=True)):  # noqa: B023
                pass

        print(f"{number} workers: {count / fastest(epoch, repeats):.0f} images/s")


def draw(root: Path, count: int) -> None:
    """JPEG files of smooth colours under a little noise, which compress about as photographs do."""
    random = np.random.default_rng(0)
    for number in range(count):
        smooth = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((WIDTH, HEIGHT), 3)
        noisy = np.asarray(smooth).astype(int) + random.integers(-12, 13, (HEIGHT, WIDTH, 3))
        for split in ["train", *(["val"] if number == 0 else [])]:
            folder = root / split / "all"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:05}.jpg", quality=90)


def fastest(work: Callable[[], None], repeats: int) -> float:
    """Seconds of the fastest of several runs."""
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


if __name__ == "__main__":
    main()
