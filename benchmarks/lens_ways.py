"""Ways to the k likeliest words of many states: ours, those of peers, and the bare products.

Shape suffixes: N states, D model width, V vocabulary, K kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from llavit_lens.lens.choice import forced
from llavit_lens.lens.topk import TopK, topk_unembed

K = 5
_CHUNK = 16
_FILL = 4096
"""Rows of a random matrix that are drawn; the others are these, turned."""


@dataclass
class Case:
    """A matrix and states to read with it, those of each layer apart.

    Attributes:
        name: what the table says.
        weight: [V, D], as a model stores it.
        layers: name of a layer to its normed states, float32 [N, D].
    """

    name: str
    weight: Tensor
    layers: dict[str, Tensor]
    _wide: Tensor | None = field(default=None, repr=False)
    _narrow: Tensor | None = field(default=None, repr=False)

    @property
    def wide(self) -> Tensor:
        """The matrix in float32, made once: the bare product is timed without the cast."""
        if self._wide is None:
            self._wide = self.weight.float()
        return self._wide

    @property
    def narrow(self) -> Tensor:
        """In bfloat16, made once."""
        if self._narrow is None:
            self._narrow = self.weight.bfloat16()
        return self._narrow


def random_case(
    words: int, width: int, rows: int, layers: int, dtype: torch.dtype, device: str
) -> Case:
    """Random numbers of a model's size. From layer to layer a state points more to one word."""
    generator = torch.Generator().manual_seed(0)
    block = torch.randn(min(words, _FILL), width, generator=generator).mul_(0.02).to(device, dtype)
    weight = torch.empty(words, width, dtype=dtype, device=device)
    for turn, part in enumerate(weight.split(len(block))):
        part.copy_(block.roll(turn, 1)[: len(part)])
    noise = torch.randn(rows, width, generator=generator).to(device)
    aims = weight[torch.randint(words, (rows,), generator=generator).to(device)].float()
    aims *= width**0.5 / aims.norm(dim=1, keepdim=True)
    states = {f"aim {0.15 * layer:.2f}": noise + 0.15 * layer * aims for layer in range(layers)}
    return Case(f"random {width} x {words}", weight, states)


def materialised(hidden_ND: Tensor, case: Case) -> Tensor:
    """All logits in float32, softmax, top-k."""
    logits_NV = hidden_ND.float() @ case.weight.float().T
    return logits_NV.softmax(-1).topk(K).indices


def in_chunks(hidden_ND: Tensor, case: Case) -> Tensor:
    """The same for a few rows at a time."""
    weight = case.wide  # cast once, not for each chunk
    parts = ((part.float() @ weight.T).softmax(-1).topk(K) for part in hidden_ND.split(_CHUNK))
    return torch.cat([part.indices for part in parts])


def one_by_one(hidden_ND: Tensor, case: Case) -> Tensor:
    """The same for each token by itself."""
    weight = case.wide
    return torch.stack([(weight @ row.float()).softmax(-1).topk(K).indices for row in hidden_ND])


def product(hidden_ND: Tensor, case: Case) -> None:
    """The float32 product and nothing else: a limit."""
    hidden_ND @ case.wide.T


def narrow_product(hidden_ND: Tensor, case: Case) -> None:
    """The bfloat16 product and nothing else: a limit."""
    hidden_ND.bfloat16() @ case.narrow.T


def ours(hidden_ND: Tensor, case: Case, path: str = "auto") -> TopK:
    """`topk_unembed` as it chooses, exact, or on the fast path whatever it would choose."""
    with forced("fast") if path == "fast" else nullcontext():
        return topk_unembed(
            hidden_ND, case.weight, K, precision="exact" if path == "exact" else "auto"
        )


Way = Callable[[Tensor, Case], Tensor | TopK | None]
WAYS: dict[str, Way] = {
    "float32 product": product,
    "exact": lambda hidden, case: ours(hidden, case, "exact"),
    "fast": lambda hidden, case: ours(hidden, case),
    "materialised": materialised,
    "fast, forced": lambda hidden, case: ours(hidden, case, "fast"),
    "16-row chunks": in_chunks,
    "one token at a time": one_by_one,
    "bfloat16 product": narrow_product,
}
"""The limit of float32 first: all else is its multiple."""
SAMPLED = ("fast, forced", "16-row chunks", "one token at a time", "bfloat16 product")
"""Those that may be slow: where they are, fewer rows are timed."""


def same_words(ids_NK: Tensor, others_NK: Tensor, hidden_ND: Tensor, weight_VD: Tensor) -> bool:
    """Whether both are the best words, but for words that float32 products cannot tell apart.

    Products summed in another order differ by about 2^-24 sqrt(D) |h| |w|.
    """
    return not any(_apart(ids_NK, others_NK, hidden_ND, weight_VD))


def _apart(
    ids_NK: Tensor, others_NK: Tensor, hidden_ND: Tensor, weight_VD: Tensor
) -> Iterator[bool]:
    for row in (ids_NK != others_NK).any(1).nonzero().squeeze(1).tolist():
        state = hidden_ND[row].double()
        one, other = (weight_VD[ids[row]].double() for ids in (ids_NK, others_NK))
        doubt = 4 * 2.0**-24 * len(state) ** 0.5 * state.norm() * one.norm(dim=1).max()
        yield bool(((one - other) @ state).abs().max() > doubt)
