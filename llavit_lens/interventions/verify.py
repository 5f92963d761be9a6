"""Whether attention left out the edges that are closed, read off the attention itself.

Kernels such as torch's do not return weights, but they can be made to show them: the result for
values that are 1 for one key and 0 for all others is the weight of that key. So one more call for
every E keys, with the same queries, keys, mask and kernel, gives every weight as it was used; a
weight on a closed edge has to be exactly zero.

Shape letters: B batch, H heads (or 1), L new tokens, M keys, K key/value heads, E head width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError


class Expected(NamedTuple):
    """What a layer should attend to in one pass."""

    layer: int
    closed: Tensor
    """bool [B, H, L, M], edges that must have weight zero."""
    added: Tensor | None
    """bool [B, H, L, M], edges that were opened; attention has to take at least one of them."""
    text: Tensor
    """[T] rows of L that are left where the queries of visual tokens are left out (Eq. 5)."""


def verify_next_call(attention: Any, expected: Expected, then: Callable[[], None]) -> None:
    """Read the weights of the attention module's next call of `attend`; `then` is called after.

    That call raises ConfigurationError where the weight on a closed edge is not zero.
    """

    def attend(q_BHLE: Tensor, k_BKME: Tensor, v_BKME: Tensor, mask: Any, **kwargs: Any) -> Any:
        del attention.attend  # the class's own is back
        result = attention.attend(q_BHLE, k_BKME, v_BKME, mask, **kwargs)
        with torch.no_grad():
            if result[1] is None:
                parts = _weights(attention, q_BHLE, k_BKME, v_BKME, mask, **kwargs)
            else:
                parts = iter([(0, result[1])])
            check_weights(attention, expected, parts)
        then()
        return result

    attention.attend = attend


def stop_verifying(attention: Any) -> None:
    """Undo a `verify_next_call` if its call never came."""
    module = getattr(attention, "_orig_mod", attention)  # what torch compiled it from
    module.__dict__.pop("attend", None)


def _weights(
    attention: Any, q_BHLE: Tensor, k_BKME: Tensor, v_BKME: Tensor, mask: Any, **kwargs: Any
) -> Iterator[tuple[int, Tensor]]:
    """Weights [B, H, L, at most E] of the keys from each start on."""
    count, width = v_BKME.shape[2:]
    for start in range(0, count, width):
        some = min(width, count - start)
        one_hot = torch.zeros_like(v_BKME)
        place = torch.arange(some, device=v_BKME.device)
        one_hot[:, :, start + place, place] = 1
        z_BLHE, _ = attention.attend(q_BHLE, k_BKME, one_hot, mask, **kwargs)
        yield start, z_BLHE.transpose(1, 2)[..., :some]


def check_weights(attention: Any, expected: Expected, parts: Iterable[tuple[int, Tensor]]) -> None:
    """Raise ConfigurationError where a closed edge has weight, or all edges that were added none.

    Args:
        attention: the module, for the error.
        expected: what the layer should attend to.
        parts: weights [B, H, L, some] of the keys from each start on.
    """
    added_weight = 0.0
    for start, weights_BHLM in parts:
        columns = slice(start, start + weights_BHLM.shape[-1])
        closed = _rows(expected.closed, weights_BHLM, expected)[..., columns]
        wrong = (weights_BHLM != 0) & closed
        if bool(wrong.any()):
            row, head, query, key = wrong.nonzero()[0].tolist()
            weight = weights_BHLM[row, head, query, key].item()
            raise ConfigurationError(
                f"an edge was not cut: in layer {expected.layer}, head {head}, new token {query} "
                f"of sample {row} attends to key {start + key} with weight {weight:.2g}, not 0. "
                + _blame(attention)
            )
        if expected.added is not None:
            added = _rows(expected.added, weights_BHLM, expected)[..., columns]
            added_weight += (weights_BHLM * added).sum().item()
    if expected.added is not None and added_weight == 0:
        raise ConfigurationError(
            f"no edge was added: in layer {expected.layer}, the weights on all of them are 0. "
            + _blame(attention)
        )


def _rows(edges_BHLM: Tensor, weights_BHLM: Tensor, expected: Expected) -> Tensor:
    """The rows of the queries that were computed."""
    edges_BHLM = edges_BHLM.to(weights_BHLM.device)
    if edges_BHLM.shape[2] == weights_BHLM.shape[2]:
        return edges_BHLM
    return edges_BHLM.index_select(2, expected.text.to(edges_BHLM.device))


def _blame(attention: Any) -> str:
    return (
        f"Attention by {attention.config._attn_implementation!r} ignores its mask, or another hook "
        "has replaced it; use attn_implementation 'eager' or 'sdpa', and remove such hooks."
    )
