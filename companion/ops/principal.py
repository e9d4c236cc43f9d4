"""Principal components of the features of maps.

Letters: N pictures, D channels of their maps h w, K components.
"""

import torch
from jaxtyping import Float
from sklearn.decomposition import PCA
from torch import Tensor, nn


def principal(maps: Float[Tensor, "N D h w"], K: int) -> nn.Conv2d:
    """The convolution of 1 x 1 that gives a region's K directions of largest variance over all regions.

    What it gives of these maps has mean 0, and over all components variance 1.

    Raises:
        ValueError: fewer than one component, or more than there can be; or nothing differs.
    """
    D = maps.shape[1]
    rows = maps.permute(0, 2, 3, 1).reshape(-1, D).float()
    if not 1 <= K <= min(len(rows) - 1, D):
        raise ValueError(f"{K} components of {len(rows)} regions with {D} channels; choose fewer, at least 1")
    mean = rows.mean(0)
    rows -= mean  # or squares of large means would hide what differs
    if not rows.any():
        raise ValueError("all regions have the same features; there is no direction of variance")
    found = PCA(K, svd_solver="covariance_eigh").fit(rows.numpy())
    axes = torch.from_numpy(found.components_ / found.explained_variance_.mean() ** 0.5).float()
    project = nn.Conv2d(D, K, 1)
    project.weight = nn.Parameter(axes[:, :, None, None])
    project.bias = nn.Parameter(-axes @ mean)
    return project.requires_grad_(False)
