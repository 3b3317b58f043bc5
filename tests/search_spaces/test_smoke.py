"""`--smoke`: small enough for a CPU, and still the spec's own path."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from search_spaces.files import shipped_specs
from search_spaces.loader import parse_spec
from search_spaces.schema import Spec
from search_spaces.smoke import IMAGES, TEST_IMAGES, shrunk
from sweep.plan.expand import build_plan
from tests.support.examples import SPEC, small_spec
from trainers.data import DATASETS, TrainingData

pytestmark = pytest.mark.slow(1)

SIZES = {"cifar10": (10, 32, 60), "cifar100": (100, 32, 2), "tiny_imagenet": (200, 64, 2), "imagenet": (1000, 64, 2)}
"""Classes, the side of a picture in pixels, and training images of each class: the shape of each data set (ImageNet's
as smoke runs shrink it), and as many images as the specs on it need to hold out their hundredth."""


def png(width: int, height: int, shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 255 - shade, shade // 2)).save(file, "png")
    return file.getvalue()


def stand_in(folder: Path, classes: int, side: int, images_each: int) -> Path:
    """Plain pictures in the shape of a data set, as Parquet; of each class one test image."""
    picture = [png(side, side, shade) for shade in (0, 80, 160, 240)]
    for split, each in (("train", images_each), ("test", 1)):
        labels = [label for label in range(classes) for _ in range(each)]
        images = [{"bytes": picture[index % 4], "path": None} for index in range(len(labels))]
        table = pyarrow.table({"img": images, "label": labels})
        pyarrow.parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    return folder


def standing_in(name: str, tmp_path: Path) -> Spec:
    """A shipped spec on plain pictures of its data set's shape."""
    text = shipped_specs()[name].read_text()
    dataset = next(line for line in text.splitlines() if line.startswith("dataset:"))
    known = next((key for key in sorted(SIZES, key=len, reverse=True) if key in dataset), None)
    if known is not None:
        folder = stand_in(tmp_path, *SIZES[known])
        text = text.replace(dataset, f"dataset: {{parquet: {{path: {folder}}}}}")
    return parse_spec(text, f"{name}.yaml")


@pytest.fixture(autouse=True)
def cache_below_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", shipped_specs())
def test_every_shipped_spec_makes_a_plan_and_a_smoke_plan(name: str, tmp_path: Path) -> None:
    spec = standing_in(name, tmp_path)
    small = shrunk(spec)
    assert small.name == f"{name}-smoke"
    plan = build_plan(small)
    methods = {grid.name for grid in spec.methods}
    assert {place.method for place in (*plan.students, *plan.cells)} == methods
    assert len(plan.students) + len({cell.method for cell in plan.cells}) <= 2 * len(methods)
    assert all(cell.search["trials"] == 2 for cell in plan.cells)
    assert {slot.pair for slot in plan.students} == {str(spec.pairs[0])}
    data = DATASETS[small.dataset].model_validate(small.dataset_options).load()
    for slot in plan.slots:
        recipe = slot.trial().recipe
        cut = TrainingData.cut(data, recipe)
        assert recipe.epochs == 2
        assert len(cut.train) <= max(IMAGES, data.num_classes)
        assert len(cut.test) <= max(TEST_IMAGES, data.num_classes)
        assert slot.config["method"]["params"] == _first(spec, slot.method)


def _first(spec: Spec, method: str) -> object:
    """The hyperparameters of a method's first entry under the first pair; teachers have none."""
    grids = [grid for grid in spec.pairs[0].methods if grid.name == method and not grid.variants[0].space]
    return grids[0].variants[0].value if grids else {}


def test_a_smoke_run_keeps_what_it_does_not_shrink() -> None:
    spec = parse_spec(shipped_specs()["digits-alpha"].read_text(), "digits-alpha.yaml")
    small = shrunk(spec)
    before, after = spec.pairs[0].recipes[0].value, small.pairs[0].recipes[0].value
    changed = {key for key in type(before).model_fields if getattr(before, key) != getattr(after, key)}
    assert changed == {"epochs", "milestones", "warmup_epochs", "test_per_class"}
    assert (small.protocol, small.baseline, small.dataset_options) == (
        spec.protocol,
        spec.baseline,
        spec.dataset_options,
    )
    assert shrunk(spec) == small


def test_a_smoke_run_with_few_labels_has_one_of_each_class() -> None:
    spec = small_spec(recipe=SPEC["recipe"] | {"samples_per_class": None, "labelled_fraction": 0.01})
    short = shrunk(spec).pairs[0].recipes[0].value
    assert short.samples_per_class == 20
    assert short.labelled_fraction == 1 / 20
    half = small_spec(recipe=SPEC["recipe"] | {"labelled_fraction": 0.5})
    assert shrunk(half).pairs[0].recipes[0].value.labelled_fraction == 0.5


def test_large_pictures_become_small_ones(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for label in ("cat", "dog"):
            place = tmp_path / split / label
            place.mkdir(parents=True)
            for number in range(3):
                (place / f"{number}.png").write_bytes(png(90, 80, 40 * number))
    text = (
        f"name: f\ndataset: {{folder: {{path: {tmp_path}, image_size: 128, resize: 144}}}}\npairs: [resnet8 -> resnet8]"
    )
    small = shrunk(parse_spec(text + "\nmethods: [kd]\n", "f.yaml"))
    assert (small.dataset_options["image_size"], small.dataset_options["resize"]) == (64, 72)
