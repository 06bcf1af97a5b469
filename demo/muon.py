"""Muon: momentum, with each weight matrix's update made orthogonal (Keller Jordan, 2024).

It needs markedly fewer tokens than AdamW here, and tokens are what a CPU is short of. PyTorch's own `optim.Muon`
iterates in bfloat16, which a CPU without that type is very slow at; this one stays in float32.
"""

from collections.abc import Iterable

import torch
from torch import Tensor


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Bring the singular values of a stack of matrices [n, rows, columns] near 1 (Newton-Schulz)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x: Tensor = matrices
    wide = x.shape[-2] <= x.shape[-1]
    if not wide:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT


class Muon(torch.optim.Optimizer):
    """Muon for weight matrices; the learning rate is in units of the update's root mean square."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # torch passes closures that we have no use for
        """One update; matrices of the same shape are orthogonalized together."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                updates = []
                for parameter in parameters:
                    state, gradient = self.state[parameter], parameter.grad
                    if gradient is None:
                        raise ValueError("Muon needs a gradient for every parameter")
                    if not state:
                        state["momentum"] = torch.zeros_like(parameter)
                    state["momentum"].lerp_(gradient, 1 - group["momentum"])
                    updates.append(gradient.lerp(state["momentum"], group["momentum"]))
                scale = max(shape) ** 0.5 * group["lr"]
                for parameter, update in zip(parameters, orthogonal(torch.stack(updates)), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=scale)
