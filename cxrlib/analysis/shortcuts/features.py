"""What a probe sees of an image: a frozen network's features, a thumbnail, or the histogram alone."""

import numpy as np
import numpy.typing as npt
import torch

from cxrlib.analysis.own.frozen import deep_features
from cxrlib.errors import ParameterError
from cxrlib.networks.classifier import Classifier, build_network
from cxrlib.networks.weights import imagenet_at_hand, load_imagenet

MODEL = "squeezenet"
BINS = 32
Floats = npt.NDArray[np.floating]


def frozen_network(size: int, seed: int = 0) -> tuple[Classifier, str]:
    """The SqueezeNet whose features the probes use, in evaluation mode, and what to call it.

    Its weights are ImageNet's where they are at hand (nothing is downloaded), else random ones drawn with `seed`.
    """
    if imagenet_at_hand(MODEL):
        network = build_network(MODEL, size, seed, trunk_state=load_imagenet(MODEL), normalise=True)
        return network.eval(), "frozen SqueezeNet with ImageNet weights"
    return build_network(
        MODEL, size, seed
    ).eval(), "frozen SqueezeNet with random weights (no ImageNet weights at hand)"


def network_features(network: Classifier, pixels: npt.NDArray[np.uint8]) -> Floats:
    """Feature map of the trunk averaged over the image, float32 [N, C], for uint8 images [N, S, S]."""
    with torch.inference_mode():
        return deep_features(network, pixels)


def thumbnails(pixels: npt.NDArray[np.uint8], side: int = 8) -> Floats:
    """Block means, float64 [N, side * side] in [0, 1], of uint8 images [N, S, S]; ParameterError unless side divides S."""
    n, size, _ = pixels.shape
    if size % side:
        raise ParameterError(f"side = {side} is not allowed: it must divide the image size {size}.")
    step = size // side
    blocks = pixels.reshape(n, side, step, side, step).mean(axis=(2, 4), dtype=np.float64)
    return blocks.reshape(n, -1) / 255


def histograms(pixels: npt.NDArray[np.uint8], bins: int = BINS) -> Floats:
    """Share of each image's pixels in each of `bins` equal ranges of grey, float64 [N, bins]; rows sum to 1."""
    n = len(pixels)
    level = pixels.reshape(n, -1).astype(np.int64) * bins // 256
    counts = np.bincount((level + bins * np.arange(n)[:, None]).ravel(), minlength=n * bins)
    return counts.reshape(n, bins) / level.shape[1]
