"""Making views in batches, against Pillow and torchvision doing the same image by image.

    uv run python -m benchmarks.views

Both start from uint8 pixels of 32 × 32 in memory and end at a normalised batch; the other way is one process of a data
loader as the releases write it, without the cost of handing batches over. They take turns in this process, on one
thread; the figure is the median of the paired ratios.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from torch import Tensor
from torchvision import transforms

from trainers.config import Recipe
from trainers.data import ImageData, Split
from trainers.views.augment import AUTOAUGMENT_FILL, GREY, RANDAUGMENT
from trainers.views.views import Views

MEAN, STD = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)
SIDE = 32
CUTOUT = 16

PILLOW: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "identity": lambda image, _: image,
    "posterize": lambda image, v: ImageOps.posterize(image, int(v)),
    "solarize": lambda image, v: ImageOps.solarize(image, v),  # type: ignore[arg-type]
    "brightness": lambda image, v: ImageEnhance.Brightness(image).enhance(v),
    "color": lambda image, v: ImageEnhance.Color(image).enhance(v),
    "contrast": lambda image, v: ImageEnhance.Contrast(image).enhance(v),
    "sharpness": lambda image, v: ImageEnhance.Sharpness(image).enhance(v),
    "rotate": lambda image, v: image.rotate(v),
    "shear_x": lambda image, v: warped(image, (1, v, 0, 0, 1, 0)),
    "shear_y": lambda image, v: warped(image, (1, 0, 0, v, 1, 0)),
    "translate_x": lambda image, v: warped(image, (1, 0, v * SIDE, 0, 1, 0)),
    "translate_y": lambda image, v: warped(image, (1, 0, 0, 0, 1, v * SIDE)),
}


def main() -> None:
    """Print one line per kind of view: milliseconds of both ways and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--device", default="cpu", help="for this project's way; the other one runs on the CPU")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (options.batch, 3, SIDE, SIDE), dtype=torch.uint8)
    index = torch.arange(options.batch)
    data = ImageData("noise", *2 * [Split(images, index, index)], ("any",), MEAN, STD)
    device = torch.device(options.device)
    weak, auto = (Views(Recipe(views=views), data, device) for views in ("weak", "autoaugment"))
    here = (images.to(device), index.to(device))
    lines = [
        ("weak", weak.training, composed()),
        ("strong", weak.strong, composed(strong_steps)),
        ("autoaugment", auto.training, composed(autoaugment_steps(), black_square)),
    ]
    print(f"views of {options.batch} images; milliseconds, medians")
    for name, batched, single in lines:
        ours, theirs = [], []
        for epoch in range(1, options.repeats + 2):
            ours.append(timed(lambda make=batched, at=epoch: make(*here, 0, at), options.device))
            theirs.append(timed(lambda make=single: one_by_one(images, make), "cpu"))
        ratio = statistics.median(b / a for a, b in zip(ours[1:], theirs[1:], strict=True))
        times = f"{statistics.median(ours[1:]):6.1f} here, {statistics.median(theirs[1:]):6.1f} image by image"
        print(f"{name:12} {times}: {ratio:.1f} times as fast")


def composed(*between: Callable[..., object]) -> Callable[[Image.Image], Tensor]:
    """Crop and flip, what is given, then a normalised tensor; Cutout is of the tensor, as in its authors' code."""
    pixels = [step for step in between if step is not black_square]
    tensors = [step for step in between if step is black_square]
    made: Callable[[Image.Image], Tensor] = transforms.Compose(
        [
            transforms.RandomCrop(SIDE, padding=4),
            transforms.RandomHorizontalFlip(),
            *pixels,
            transforms.ToTensor(),
            *tensors,
            transforms.Normalize(MEAN, STD),
        ]
    )
    return made


def strong_steps(image: Image.Image) -> Image.Image:
    """Two drawn operations and a grey square."""
    for name in random.choices(list(RANDAUGMENT), k=2):
        image = PILLOW[name](image, random.uniform(*RANDAUGMENT[name]))
    side = random.uniform(0, SIDE / 2)
    x, y = (int(max(0, random.uniform(0, SIDE) - side / 2)) for _ in range(2))
    image = image.copy()
    ImageDraw.Draw(image).rectangle((x, y, min(SIDE, x + side), min(SIDE, y + side)), GREY)
    return image


def autoaugment_steps() -> Callable[[Image.Image], Image.Image]:
    """torchvision's AutoAugment with the CIFAR-10 policy."""
    policy: Callable[[Image.Image], Image.Image] = transforms.AutoAugment(
        transforms.AutoAugmentPolicy.CIFAR10, fill=[AUTOAUGMENT_FILL] * 3
    )
    return policy


def black_square(image: Tensor) -> Tensor:
    """Cutout of a float ``[3, H, W]``."""
    x, y = random.randrange(SIDE), random.randrange(SIDE)
    half = CUTOUT // 2
    image[:, max(0, y - half) : y + half, max(0, x - half) : x + half] = 0
    return image


def warped(image: Image.Image, coefficients: tuple[float, ...]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, coefficients)


def one_by_one(images: Tensor, make: Callable[[Image.Image], Tensor]) -> Tensor:
    """A batch as a data loader makes it."""
    return torch.stack([make(Image.fromarray(image)) for image in images.permute(0, 2, 3, 1).contiguous().numpy()])


def timed(work: Callable[[], object], device: str) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    work()
    if device != "cpu":
        torch.accelerator.synchronize()
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
