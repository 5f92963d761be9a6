"""The ceiling: what a linear probe that is trained on truth reads off a state of a patch.

The probe is Fisher's linear discriminant, one for each state: class means, and one covariance of
all classes that is shrunk towards a multiple of the identity. It is solved in closed form from sums
over the training tokens, so memory does not grow with their number: [D, D] for each state of width
D, in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.float32 import full_float32

SHRINKAGE = 0.1
"""Share of the mean variance that is added to each."""


class Probe:
    """From states to names; S states of width D. States are scaled to length 1."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._squares: Tensor | None = None
        self._solved: tuple[Tensor, Tensor] | None = None

    @full_float32()
    def add(self, states: Tensor, names: list[str]) -> None:
        """Training tokens: [S, m, D] and the name of each of the m."""
        x = normalize(states.float(), dim=2)
        if self._squares is None:
            self._squares = x.new_zeros(len(x), x.shape[2], x.shape[2])
        self._squares.baddbmm_(x.transpose(1, 2), x)  # in place: it is large
        for name in sorted(set(names)):
            of_name = x[:, [i for i, other in enumerate(names) if other == name]]
            self._sums[name] = self._sums.get(name, 0) + of_name.sum(1)
            self._counts[name] = self._counts.get(name, 0) + of_name.shape[1]

    def solve(self) -> None:
        """After the last training token.

        Raises:
            ConfigurationError: there are fewer than two names.
        """
        self.names = sorted(self._counts)
        if self._squares is None or len(self.names) < 2:
            raise ConfigurationError(
                "a probe needs training images with objects of at least two names; there are "
                f"{len(self.names)}"
            )
        counts = self._squares.new_tensor([self._counts[name] for name in self.names])
        weights, offsets = [], []
        for state in range(len(self._squares)):  # one at a time: float64 is large
            sums = torch.stack([self._sums[name][state] for name in self.names]).double()
            means = sums / counts[:, None].double()
            within = (self._squares[state].double() - means.T @ sums) / counts.sum()
            scale = within.diagonal().mean()
            # the floor keeps states that are all the same solvable: any answer is as good there
            within.diagonal().add_((SHRINKAGE * scale).clamp_min(1e-12))
            weight = torch.linalg.solve(within, means.T)  # [D, classes]
            weights.append(weight.float())
            offsets.append((counts.log() - (means * weight.T).sum(1) / 2).float())
        self._solved = torch.stack(weights), torch.stack(offsets)
        self._squares, self._sums = None, {}

    @full_float32()
    def predict(self, states: Tensor) -> Tensor:
        """int64 [S, m], indices into `names`, for states [S, m, D]."""
        assert self._solved is not None
        weights, offsets = self._solved
        x = normalize(states.float(), dim=2)
        return (x @ weights + offsets[:, None]).argmax(2)
