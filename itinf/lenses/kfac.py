"""Natural-gradient (K-FAC) steps for one translator."""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from .affine import FLOOR
from .translator import Translator

RIDGE = 1.0
"""Added to both factors of the curvature, in units of their mean, so that flat directions, which overfit, are learned last."""
MOMENTUM = 0.9


class KFAC:
    """A translator and a change of it, learned with the curvature of the output times that of the input.

    After Martens & Grosse 2015, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature".

    Attributes:
        start: the translator, which does not change.
        weight, bias: (E, D), (E,) the change, which acts on x − mean; 0 at first.
        gradient: of weight and bias, summed until the next step.
        curvature: (E, E) of the output and (D, D) of the input.
    """

    def __init__(self, start: Translator, mean: Tensor, device: torch.device) -> None:
        self.start, self.mean = start, mean.float().to(device)
        self.initial = start.weight.detach().to(device), start.bias.detach().to(device)
        self.weight, self.bias = (torch.zeros_like(x) for x in self.initial)
        self.gradient, self.velocity = ([torch.zeros_like(x) for x in self.initial] for _ in range(2))
        self.curvature = [torch.zeros(size, size, device=device) for size in self.initial[0].shape]

    def __call__(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, E)."""
        weight, bias = self.initial
        change = F.linear(x, weight + self.weight, bias + self.bias - self.weight @ self.mean)
        return x + change if self.start.square else change

    def add_gradient(self, x: Tensor, slope: Tensor) -> None:
        """Adds the gradient of a loss.

        Args:
            x: (…, D) what the translator reads.
            slope: (…, E) the loss's derivative by the translated vectors.
        """
        x, slope = (x - self.mean).flatten(0, -2), slope.flatten(0, -2)
        self.gradient[0] += slope.T @ x
        self.gradient[1] += slope.sum(0)

    def add_curvature(self, x: Tensor, slope: Tensor, count: int) -> None:
        """Adds the curvature of some of ``count`` units.

        The positions of one unit may all change the loss in the same direction, so their curvature grows with the
        square of their number.

        Args:
            x: (…, D) what the translator reads.
            slope: (…, E) derivatives of losses whose targets were drawn from the final distribution.
            count: units in all calls together.
        """
        positions = x[0].numel() // x.shape[-1]
        x, slope = (x - self.mean).flatten(0, -2), slope.flatten(0, -2)
        self.curvature[0] += slope.T @ slope * (positions / count)
        self.curvature[1] += x.T @ x / (positions * count)

    @cached_property
    def inverses(self) -> tuple[Tensor, Tensor]:
        """Inverses of the two curvatures, taken once, before the first step."""
        output, input_ = (inverse(x.cpu().double()).to(x) for x in self.curvature)
        return output, input_

    def step(self, rate: float) -> None:
        """One step at a rate, with Nesterov's momentum; sets the gradient back to 0."""
        weight, bias = self.gradient
        output, input_ = self.inverses
        natural = output @ weight @ input_, output @ bias
        for value, velocity, direction in zip((self.weight, self.bias), self.velocity, natural, strict=True):
            velocity.mul_(MOMENTUM).add_(direction)
            value.sub_(rate * (direction + MOMENTUM * velocity))
        for x in self.gradient:
            x.zero_()

    def translator(self, share: float) -> Translator:
        """The start with a share of the change added; the start itself at share 0."""
        if share == 0:
            return self.start
        change, shift = (share * x.cpu().double() for x in (self.weight, self.bias))
        weight, bias = self.start.weight.detach().cpu(), self.start.bias.detach().cpu()
        return Translator((weight + change).float(), (bias + shift - change @ self.mean.cpu().double()).float())


def inverse(covariance: Tensor) -> Tensor:
    """Inverse of a (D, D) covariance plus RIDGE, each channel in units of its own size; 0 for constant channels."""
    variance = covariance.diagonal()
    weight = variance + FLOOR * variance.mean()
    scale = torch.where(weight > 0, weight.rsqrt(), 0.0)
    scaled = covariance * torch.outer(scale, scale)
    ridge = torch.where(scale > 0, RIDGE * scaled.diagonal().mean(), 1.0)
    return torch.linalg.inv(scaled + torch.diag(ridge)) * torch.outer(scale, scale)
