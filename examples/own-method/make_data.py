"""Writes scans.parquet: 600 of scikit-learn's digits, as bytes, with a made-up quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from trainers.data.sources.digits import Digits

COUNT = 600

if __name__ == "__main__":
    (split,) = Digits(image_size=8).load().train.batches([torch.arange(COUNT)])
    scans = [bytes(image[0].contiguous().numpy()) for image in split.images]
    quality = np.random.default_rng(0).uniform(0.2, 1.0, COUNT).round(2)
    table = pa.table({"scan": scans, "digit": split.labels.tolist(), "quality": quality})
    pq.write_table(table, Path(__file__).with_name("scans.parquet"))
