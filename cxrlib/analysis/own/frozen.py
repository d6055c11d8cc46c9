"""Features of a frozen network under a linear support vector machine, as Sethy and Behera (2020) classify with ResNet-50."""

from typing import Any

import numpy as np
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from cxrlib.data.samples import Samples
from cxrlib.evaluation.metrics import summary
from cxrlib.networks.classifier import Classifier
from cxrlib.training.learner import predict


def deep_features(
    network: Classifier, pixels: np.ndarray, device: torch.device | str = "cpu", batch_size: int = 64
) -> np.ndarray:
    """The trunk's feature map averaged over the image, float32 [N, C], for uint8 images [N, S, S]; nothing is trained."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append(output.mean(dim=(2, 3)).float().cpu())

    handle = network.trunk.register_forward_hook(keep)
    try:
        predict(network.to(device), pixels, batch_size, torch.device(device))
    finally:
        handle.remove()
    return torch.cat(found).numpy()


def feature_svm(
    network: Classifier,
    train: Samples,
    test: Samples,
    beta: float | None = None,
    c: float = 1.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """A linear SVM on standardised features of the training part, tested once; keys as `metrics.summary`.

    `beta` weights the positives' hinge loss as Eq. (4) weights their cross-entropy; `c` is the SVM's regularisation.
    Images on the positive side of the plane are called positive; areas rank by the distance from it.
    """
    weight = None if beta is None else {0: 1.0, 1: float(beta)}
    model = make_pipeline(StandardScaler(), LinearSVC(C=c, class_weight=weight, random_state=seed, max_iter=20_000))
    model.fit(deep_features(network, train.pixels, device), train.labels)
    margin = model.decision_function(deep_features(network, test.pixels, device))
    probability = 1 / (1 + np.exp(-np.clip(margin, -30, 30)))
    groups = test.table["component"].to_numpy()
    return summary(test.labels, probability, scores=margin, groups=groups)
