"""Glimpse Clouds, the obvious version: a loop over clips' frames, glimpses, workers and pairs of glimpses.

It reads the weights of a `Clouds`, which it does not call: the reference of its tests and benchmarks.
"""

import torch
from torch.nn import functional as F

from companion.models.glimpse_clouds import MEMORY, TEMPERATURE, Read


def gru(cells, k, seen, h):
    """PyTorch's own cell."""
    weights = cells.read[k].T, cells.recur[k].T, cells.read_bias[k, 0], cells.recur_bias[k, 0]
    return torch.gru_cell(seen, h, *weights)


def cut(maps, l, side):
    line = torch.linspace(-1, 1, side, dtype=maps.dtype)
    across = (l[:, :1] + l[:, 2:3] * line)[:, None].expand(-1, side, -1)
    down = (l[:, 1:2] + l[:, 3:] * line)[:, :, None].expand(-1, -1, side)
    return F.grid_sample(maps, torch.stack([across, down], -1), align_corners=True)


def look(layers, z):
    for layer in (layers.first, layers.second):
        z = torch.relu(F.conv2d(z, layer.weight, layer.bias))
    return z.flatten(2).max(2).values


def distance(metric, one, other):
    """Mahalanobis, with the matrix written out."""
    off = F.layer_norm(one, one.shape[-1:]) - F.layer_norm(other, other.shape[-1:])
    return torch.sqrt(((off @ metric) * off).sum(1).clamp_min(0) + 1e-6)


def read(model, maps, context, given=None):
    """With the model's locator, or with given places."""
    B, T = maps.shape[:2]
    G, workers, cells = model.glimpses, model.workers, model.workers.cells
    K, metric = len(workers.classify), model.memory.metric.weight.T @ model.memory.metric.weight
    r = [maps.new_zeros(B, cells.state) for _ in range(K)]
    z, h = maps.new_zeros(B, model.where[-1].out_features), maps.new_zeros(B, cells.state)
    past, places, assigned, steps = [], [], [], []
    for t in range(T):
        frame, known = [], sum(r)
        for g in range(G):
            if given is None:
                h = gru(model.locator.cell, 0, torch.cat([z, known], 1), h)
                told, locator = torch.cat([h, context[:, t]], 1), model.locator
                l = torch.cat([torch.tanh(locator.place(told)), torch.sigmoid(locator.extent(told))], 1)
            else:
                l = given[:, t, g]
            z = cut(maps[:, t], l, model.side)
            z = z.mean((2, 3)) if model.look is None else look(model.look, z)
            frame.append((l, z * model.where(l)))
        p = []
        for g, (_, v) in enumerate(frame):
            if not past:
                p.append(torch.softmax(model.memory.first[g], 0).expand(B, K))
                continue
            total, votes = 0, 0
            for t_m, v_m, p_m in past:
                w = torch.exp(-distance(metric, v, v_m) - (t - t_m) / MEMORY)[:, None]
                total, votes = total + w, votes + w * p_m
            p.append(torch.softmax(votes / total / TEMPERATURE, 1))
        for k in range(K):
            seen = sum(p[g][:, k : k + 1] * frame[g][1] for g in range(G))
            r[k] = gru(cells, k, seen, r[k])
        past += [(t, v, p[g]) for g, (_, v) in enumerate(frame)]
        places.append(torch.stack([l for l, _ in frame], 1))
        assigned.append(torch.stack(p, 1))
        steps.append(
            torch.stack([r[k] @ workers.classify[k] + workers.classify_bias[k] for k in range(K)], 1)
        )
    steps = torch.stack(steps, 1)
    mean = steps.sum((1, 2)) / (T * K)
    return Read(mean, steps, torch.stack(places, 1), torch.stack(assigned, 1))
