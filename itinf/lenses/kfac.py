"""A translator that is being polished: steps along the natural gradient of a loss of what it reads."""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from .affine import FLOOR
from .translator import Translator

RIDGE = 1.0
"""Of both factors of the curvature, in units of their mean: flat directions, where overfitting is, are learned last."""
MOMENTUM = 0.9


class KFAC:
    """A translator and its change, learned by K-FAC: curvature is that of the output times that of the input.

    After Martens & Grosse 2015, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature".

    Attributes:
        start: the translator, as it was.
        weight, bias: (E, D), (E,) the change, which acts on x − mean; 0 at first.
        gradient: of weight and bias, added up until the next step.
        curvature: (E, E), (D, D) of the output and of the input.
    """

    def __init__(self, start: Translator, mean: Tensor, device: torch.device) -> None:
        self.start, self.mean = start, mean.float().to(device)
        self.rows = start.weight.detach().to(device), start.bias.detach().to(device)
        self.weight, self.bias = (torch.zeros_like(x) for x in self.rows)
        self.gradient, self.speed = ([torch.zeros_like(x) for x in self.rows] for _ in range(2))
        self.curvature = [torch.zeros(size, size, device=device) for size in self.rows[0].shape]

    def __call__(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, E)."""
        weight, bias = self.rows
        change = F.linear(x, weight + self.weight, bias + self.bias - self.weight @ self.mean)
        return x + change if self.start.square else change

    def add_gradient(self, x: Tensor, slope: Tensor) -> None:
        """Adds the gradient of a loss whose derivative by the translated (…, D) is (…, E)."""
        x, slope = (x - self.mean).flatten(0, -2), slope.flatten(0, -2)
        self.gradient[0] += slope.T @ x
        self.gradient[1] += slope.sum(0)

    def add_curvature(self, x: Tensor, slope: Tensor, count: int) -> None:
        """Adds the curvature of some of ``count`` units, from derivatives of losses with drawn targets.

        Positions of one unit may all push the same way, so together they may bend as the square of their number.
        """
        positions = x[0].numel() // x.shape[-1]
        x, slope = (x - self.mean).flatten(0, -2), slope.flatten(0, -2)
        self.curvature[0] += slope.T @ slope * (positions / count)
        self.curvature[1] += x.T @ x / (positions * count)

    @cached_property
    def inverses(self) -> tuple[Tensor, Tensor]:
        """Of the curvatures, as they were before the first step."""
        output, inner = (inverse(x.cpu().double()).to(x) for x in self.curvature)
        return output, inner

    def step(self, rate: float) -> None:
        """Goes so much of the way, with Nesterov's momentum, and forgets the gradient."""
        weight, bias = self.gradient
        output, inner = self.inverses
        natural = output @ weight @ inner, output @ bias
        for value, speed, found in zip((self.weight, self.bias), self.speed, natural, strict=True):
            speed.mul_(MOMENTUM).add_(found)
            value.sub_(rate * (found + MOMENTUM * speed))
        for x in self.gradient:
            x.zero_()

    def translator(self, share: float) -> Translator:
        """The start with a share of the change; the start itself at share 0."""
        if share == 0:
            return self.start
        change, shift = (share * x.cpu().double() for x in (self.weight, self.bias))
        weight, bias = self.start.weight.detach(), self.start.bias.detach()
        return Translator((weight + change).float(), (bias + shift - change @ self.mean.cpu().double()).float())


def inverse(covariance: Tensor) -> Tensor:
    """Of a (D, D) covariance with a RIDGE, each channel in units of its own size; 0 where nothing varies."""
    variance = covariance.diagonal()
    weight = variance + FLOOR * variance.mean()
    size = torch.where(weight > 0, weight.rsqrt(), 0.0)
    scaled = covariance * torch.outer(size, size)
    ridge = torch.where(size > 0, RIDGE * scaled.diagonal().mean(), 1.0)
    return torch.linalg.inv(scaled + torch.diag(ridge)) * torch.outer(size, size)
