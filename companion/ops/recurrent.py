"""Products with one matrix in every step of a recurrence, whose gradient is made in one product at the end.

Autograd makes the gradient of the matrix anew in each step and adds it up: for few rows and a large matrix
that is most of a backward pass. Here each step keeps its rows and their gradient, and `Repeated` multiplies
all of them at once when the last step (the first of the recurrence) has had its gradient.

Letters: K matrices side by side, N rows of a step, I inputs, O outputs.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

Rows = list[tuple[Tensor, Tensor]]


class Begin(torch.autograd.Function):
    """Ties all steps to the matrix: its backward pass comes after theirs."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, rows: Rows) -> Tensor:
        ctx.rows = rows
        return matrix.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, None]:
        if not ctx.rows:
            return None, None
        seen, slopes = (torch.cat(side, -2) for side in zip(*ctx.rows, strict=True))
        ctx.rows.clear()
        return seen.transpose(-1, -2) @ slopes, None


class Step(torch.autograd.Function):
    """One product."""

    @staticmethod
    def forward(ctx: Any, seen: Tensor, matrix: Tensor, tie: Tensor, rows: Rows) -> Tensor:
        ctx.save_for_backward(seen, matrix)
        ctx.rows = rows
        return seen @ matrix

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, None, Tensor, None]:
        seen, matrix = ctx.saved_tensors
        ctx.rows.append((seen, slope))
        back = slope @ matrix.transpose(-1, -2) if ctx.needs_input_grad[0] else None
        return back, None, slope.new_zeros(()), None


class Repeated:
    """x -> x W, for all steps of one reading.

    Args:
        matrix: W.
    """

    def __init__(self, matrix: Float[Tensor, "*K I O"]) -> None:
        kind = matrix.device.type
        if torch.is_autocast_enabled(kind):
            matrix = matrix.to(torch.get_autocast_dtype(kind))
        self.matrix, self.rows = matrix.detach(), []
        self.tie = Begin.apply(matrix, self.rows)

    def __call__(self, seen: Float[Tensor, "*K N I"]) -> Float[Tensor, "*K N O"]:
        return Step.apply(seen.to(self.matrix.dtype), self.matrix, self.tie, self.rows)  # pyright: ignore
