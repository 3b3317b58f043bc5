"""Batch norms folded into the convolutions before them: a network in evaluation mode with half as many layers.

In evaluation mode a batch norm is a scale and a shift for each channel, which the convolution in front of it can apply
by itself: w' = w * gamma / sqrt(var + eps), b' = beta + (b - mean) * gamma / sqrt(var + eps). The logits are the same
but for rounding.

w, b: the convolution's weight and bias, for each of its output channels; mean, var: the norm's running statistics;
gamma, beta: its weight and bias.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from trainers.accelerator import exact
from trainers.models import Network

TOLERANCE = 1e-3
"""Largest difference of logits, as a share of the largest one, by which folding may change a network."""


@torch.no_grad()
def folded(network: Network, image_size: tuple[int, int]) -> Network:
    """A copy of `network` in evaluation mode, folded wherever a batch norm reads a convolution's output and the logits
    stay the same, which they do not where something else reads that output too.

    Args:
        network: stays as it is.
        image_size: height and width in pixels of images that it takes.
    """
    result = copy.deepcopy(network).eval()
    device = next(result.parameters()).device
    image = torch.linspace(-2, 2, 3 * image_size[0] * image_size[1], device=device).view(1, 3, *image_size)
    with exact(device):  # whose rounding would drown what is compared, and let the kind of GPU decide what is folded
        before = result(image)
        for convolution, norm in _adjacent(result, image):
            kept = [(name, result.get_submodule(name)) for name in (convolution, norm)]
            _fold(result, convolution, norm)
            if not bool((before - result(image)).abs().max() <= TOLERANCE * before.abs().max()):
                for name, module in kept:
                    result.set_submodule(name, module)
    return result


def _adjacent(network: nn.Module, image: Tensor) -> list[tuple[str, str]]:
    """Names of convolutions and of the batch norms that read their outputs, each of them run once in a pass."""
    runs: Counter[str] = Counter()
    outputs: dict[int, tuple[str, Tensor]] = {}  # the tensors too: an id is unique among what is alive
    pairs: list[tuple[str, str]] = []
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):

            def after(module: nn.Module, inputs: Any, output: Tensor, name: str = name) -> None:
                runs[name] += 1
                outputs[id(output)] = (name, output)

            hooks.append(module.register_forward_hook(after))
        elif type(module) is nn.BatchNorm2d:  # not a class of somebody's that does more

            def before(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                runs[name] += 1
                if id(inputs[0]) in outputs:
                    pairs.append((outputs[id(inputs[0])][0], name))

            hooks.append(module.register_forward_pre_hook(before))
    network(image)
    for hook in hooks:
        hook.remove()
    readers = Counter(convolution for convolution, _ in pairs)
    return [pair for pair in pairs if runs[pair[0]] == runs[pair[1]] == readers[pair[0]] == 1]


def _fold(network: nn.Module, convolution: str, norm: str) -> None:
    """Put a copy of the convolution that does the norm's work in its place, and nothing in the norm's."""
    conv, bn = network.get_submodule(convolution), network.get_submodule(norm)
    if not isinstance(conv, nn.Conv2d) or not isinstance(bn, nn.BatchNorm2d):
        raise TypeError(f"expected a convolution and a batch norm, found {type(conv)} and {type(bn)}")
    if bn.running_mean is None or bn.running_var is None:
        return  # it measures every batch anew
    network.set_submodule(convolution, fuse_conv_bn_eval(conv, bn))
    network.set_submodule(norm, nn.Identity())
