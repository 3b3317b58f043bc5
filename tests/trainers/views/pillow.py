"""What Pillow makes of one image: the reference of every operation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

FILL = 9
"""Value of what warps uncover, one that shows."""

Operation = Callable[[Image.Image, float, int], Image.Image]

PILLOW: dict[str, Operation] = {
    "identity": lambda image, v, fill: image,
    "autocontrast": lambda image, v, fill: ImageOps.autocontrast(image),
    "equalize": lambda image, v, fill: ImageOps.equalize(image),
    "invert": lambda image, v, fill: ImageOps.invert(image),
    "posterize": lambda image, v, fill: ImageOps.posterize(image, int(v)),
    "solarize": lambda image, v, fill: ImageOps.solarize(image, v),  # type: ignore[arg-type]
    "solarize_add": lambda image, v, fill: image.point(lambda x: x + int(v) if x < 128 else x),
    "brightness": lambda image, v, fill: ImageEnhance.Brightness(image).enhance(v),
    "color": lambda image, v, fill: ImageEnhance.Color(image).enhance(v),
    "contrast": lambda image, v, fill: ImageEnhance.Contrast(image).enhance(v),
    "sharpness": lambda image, v, fill: ImageEnhance.Sharpness(image).enhance(v),
    "rotate": lambda image, v, fill: image.rotate(v, fillcolor=(fill, fill, fill)),
    "shear_x": lambda image, v, fill: warped(image, (1, v, 0, 0, 1, 0), fill),
    "shear_y": lambda image, v, fill: warped(image, (1, 0, 0, v, 1, 0), fill),
    "translate_x": lambda image, v, fill: warped(image, (1, 0, v, 0, 1, 0), fill),
    "translate_y": lambda image, v, fill: warped(image, (1, 0, 0, 0, 1, v), fill),
}


def warped(image: Image.Image, coefficients: tuple[float, ...], fill: int) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, coefficients, fillcolor=(fill, fill, fill))


def to_pillow(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())


def to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def one_by_one(name: str, images: Tensor, magnitudes: list[float], fill: int = FILL) -> Tensor:
    """The operation on each image by itself."""
    pairs = zip(images, magnitudes, strict=True)
    return torch.stack([to_tensor(PILLOW[name](to_pillow(image), v, fill)) for image, v in pairs])


def pictures(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Smooth, noisy, dim, and one-coloured images in turn; one channel of one value among them."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    smooth = (torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear") * 255).to(torch.uint8)
    kind = torch.arange(count) % 5
    images = torch.where((kind == 0)[:, None, None, None], noise, smooth)
    images[kind == 2] //= 4
    images[kind == 3, 1] = 77
    images[kind == 4] = images[kind == 4, :, :1, :1]
    return images
