"""What was measured: confusions, published against reproduced, claims."""

from collections.abc import Mapping, Sequence

import seaborn as sns
import torch
from IPython.display import Image
from jaxtyping import Bool, Int
from matplotlib.figure import Figure
from torch import Tensor

from companion.figures.drawing import picture


def confusion(
    truth: Int[Tensor, " N"],
    read: Int[Tensor, " N"],
    classes: Sequence[str],
    title: str,
    groups: Mapping[str, Bool[Tensor, " C"]] | None = None,
) -> Image:
    """How many percent of each class (row) were read as which (column); classes of a group stand together."""
    counts = torch.zeros(len(classes), len(classes))
    counts.index_put_((truth, read), torch.ones(len(truth)), accumulate=True)
    share = 100 * counts / counts.sum(1, keepdim=True).clamp_min(1)
    edges = []
    if groups:
        group = torch.stack(list(groups.values())).int().argmax(0)
        order = group.argsort(stable=True)
        share, edges = share[order][:, order], group.bincount().cumsum(0)[:-1].tolist()
        classes = [f"{list(groups)[group[k]]}: {classes[k]}" for k in order.tolist()]
    figure = Figure(figsize=(2.5 + 0.42 * len(classes), 1.7 + 0.38 * len(classes)), layout="constrained")
    axes = figure.subplots()
    names = {"xticklabels": classes, "yticklabels": classes}
    style = {
        "annot": len(classes) <= 15,
        "fmt": ".0f",
        "cmap": "cividis",
        "vmin": 0,
        "vmax": 100,
        "square": True,
    }
    sns.heatmap(share.numpy(), ax=axes, annot_kws={"fontsize": 8}, cbar_kws={"label": "%"}, **names, **style)
    axes.set(xlabel="read as", ylabel="is", title=title)
    axes.tick_params(axis="x", rotation=90)
    for edge in edges:
        axes.axhline(edge, color="white", linewidth=1)
        axes.axvline(edge, color="white", linewidth=1)
    return picture(figure, f"{title}: a matrix of {len(classes)} classes; {', '.join(classes)}")
