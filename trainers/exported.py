"""A finished trial's weight file, as the network that it holds."""

from __future__ import annotations

from pathlib import Path

from trainers.distillers.simkd import reused_classifier
from trainers.errors import CheckpointError, InputError
from trainers.models import Network, build
from trainers.storage.checkpoint import from_bytes


def read_network(path: Path, num_classes: int, image_size: tuple[int, int]) -> Network:
    """The network that :func:`trainers.fit.fit` has written to `path`, in evaluation mode, on the CPU.

    The file is read as data. SimKD's student is put together with its projector and the teacher's classifier.

    Args:
        path: ``weights.pt`` of a trial.
        num_classes: that the network tells apart.
        image_size: height and width of the images that it was trained on, in pixels.

    Raises:
        CheckpointError: when the file is missing, damaged or not what it says it is.
    """
    try:
        content = from_bytes(path.read_bytes(), f"weights {path}")
    except OSError as error:
        raise CheckpointError(f"weights {path} cannot be read: {error.strerror}") from error
    try:
        network = build(content["architecture"], num_classes=num_classes)
        method = content["method"]
        if method["name"] == "simkd":
            teacher = build(content["teacher"], num_classes=num_classes)
            network = reused_classifier(network, teacher, image_size, factor=method["params"]["factor"])
        network.load_state_dict(content["state_dict"])
    except (InputError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"weights {path} are not what they say they are: {reason}") from error
    return network.eval()
