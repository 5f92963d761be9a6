"""The matrix that the model's head multiplies with, held against the model's own logits.

A head's `weight` need not be that matrix: it may hold the codes of a quantised one, lie on a disk,
lack an adapter's share, or be changed on its way by a hook. But a linear head shows its matrix: of
a unit vector it makes one column.

Shape letters: D model width, V vocabulary, N states, B samples of a pass, C unit vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.decoder import Decoder
from llavit_lens.vlm.float32 import full_float32, product_roundoff, unit_roundoff

_CHUNK = 256
"""Unit vectors that a head is given at once."""
_SAMPLE = 64
"""Unit vectors that show whether a head's weight is its matrix."""
_ROWS = 8192
"""Rows of the matrix that are float32 at once."""


class Unembedding(NamedTuple):
    """logits = weight @ normed state + bias."""

    weight: Tensor
    """[V, D]."""
    bias: Tensor | None
    """[V]."""


def logits_of(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None = None,
    scale_V: Tensor | None = None,
    rows: slice | Tensor = slice(None),
) -> Tensor:
    """float32 [N, V], or of chosen rows of the matrix: the product that every lens reads.

    To be called inside `full_float32`.
    """
    logits = hidden_ND.float() @ weight_VD[rows].float().T
    if scale_V is not None:
        logits *= scale_V[rows].float()
    if bias_V is not None:
        logits += bias_V[rows].float()
    return logits


def final_norm(norm: nn.Module, states: Tensor) -> Tensor:
    """States [..., D] after the final norm, in the model's dtype, where they were.

    `forward`, not a call: hooks that users set on the norm of the model are not part of the lens.
    """
    weight = next((weight for weight in norm.parameters() if not weight.is_meta), states)
    with full_float32():
        return norm.forward(states.to(weight.device)).to(states.device)


def unembedding_of(
    decoder: Decoder,
    norm: nn.Module,
    scale: float,
    states_BD: Tensor,
    logits_BV: Tensor,
    earlier: Unembedding | None,
    name: str,
) -> Unembedding:
    """The matrix with which the lens gets the model's own logits, as its head puts them out.

    Where the head's weight is not what it multiplies with, the matrix is read column by column:
    that costs as much as the logits of D tokens.

    Args:
        norm: the final norm.
        scale: of the norm's output, before the head is given it.
        states_BD: the last state of a token of each sample, before the final norm.
        logits_BV: what the model made of them.
        earlier: the matrix of an earlier pass, to be tried before columns are read.

    Raises:
        ConfigurationError: no matrix gives these logits within the model's own rounding.
    """
    dtypes = _dtypes(decoder, logits_BV)
    roundoff = max(product_roundoff(logits_BV.device), *map(unit_roundoff, dtypes))
    difference: float | None = None
    with torch.no_grad(), full_float32():
        normed = final_norm(norm, states_BD) * scale
        for unembedding in _candidates(decoder.head, normed, logits_BV.shape[1], earlier):
            difference, fits = _compare(unembedding, normed, logits_BV, roundoff)
            if fits:
                return unembedding
    apart = "are not" if difference is None else f"differ by {difference:.2g} from"
    raise ConfigurationError(
        f"{name}: its logits {apart} unembedding(norm(last state)), so the logit lens would "
        f"misread this model; {_advice(decoder.head)}"
    )


def is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether nothing stands between a module's weight and what it does."""
    return (
        type(module) is kind
        and is_matrix(module.weight)
        and not (module._forward_hooks or module._forward_pre_hooks)
        and "forward" not in vars(module)  # as accelerate and others replace it
    )


def is_matrix(weight: Any) -> bool:
    """Whether it holds numbers as they are: no codes, no sparse or absent ones."""
    return (
        type(weight) in (Tensor, nn.Parameter)
        and weight.ndim == 2
        and weight.is_floating_point()
        and weight.layout is torch.strided
        and not weight.is_meta
    )


def _candidates(
    head: Any, normed_BD: Tensor, size: int, earlier: Unembedding | None
) -> Iterator[Unembedding]:
    weight: Any = getattr(head, "weight", None)
    bias: Any = getattr(head, "bias", None)
    if is_matrix(weight) and weight.shape == (size, normed_BD.shape[1]):
        stored = Unembedding(weight.detach(), None if bias is None else bias.detach())
        if is_plain(head, nn.Linear) or _shows(head, stored, normed_BD):
            yield stored
            return
    if earlier is not None:
        yield earlier
    yield _read_columns(head, normed_BD)


def _shows(head: nn.Module, stored: Unembedding, normed_BD: Tensor) -> bool:
    """Whether some columns that the head makes are those of its weight."""
    width = normed_BD.shape[1]
    columns = torch.linspace(0, width - 1, min(width, _SAMPLE), device=normed_BD.device).long()
    computed_CV = _columns(head, columns, normed_BD)
    stored_CV = stored.weight[:, columns.to(stored.weight.device)].T.to(
        computed_CV.device, torch.float32
    )
    if stored.bias is not None:
        stored_CV = stored_CV + stored.bias.to(computed_CV.device).float()
    budget_CV = 2 * unit_roundoff(computed_CV.dtype) * stored_CV.abs()
    return bool(((computed_CV.float() - stored_CV).abs() <= budget_CV).all())


def _read_columns(head: nn.Module, normed_BD: Tensor) -> Unembedding:
    bias_V = head(torch.zeros_like(normed_BD[:1])[None])[0, 0]
    width = normed_BD.shape[1]
    weight_VD = bias_V.new_empty(len(bias_V), width)
    for columns in torch.arange(width, device=normed_BD.device).split(_CHUNK):
        columns_CV = _columns(head, columns, normed_BD)
        weight_VD[:, columns.to(weight_VD.device)] = (columns_CV - bias_V).T
    return Unembedding(weight_VD, bias_V if bool(bias_V.any()) else None)


def _columns(head: nn.Module, columns: Tensor, normed_BD: Tensor) -> Tensor:
    """[C, V], what the head makes of unit vectors: columns of its matrix, plus its bias."""
    units_CD = normed_BD.new_zeros(len(columns), normed_BD.shape[1])
    units_CD[torch.arange(len(columns), device=columns.device), columns] = 1
    return head(units_CD[None])[0]


def _compare(
    unembedding: Unembedding, normed_BD: Tensor, logits_BV: Tensor, roundoff: float
) -> tuple[float | None, bool]:
    """The largest difference from the model's logits, and whether all are roundings.

    A logit is a sum of D products, rounded to the model's dtype: `roundoff` of the logit. Where the
    operands are rounded first, or parts of the sum, as on GPUs, that makes as much again of the
    products' root sum of squares. Sums in float32 add sqrt(D) roundings at most, if they do not
    all go one way; 8 is a safety factor. So much is allowed on the average over the
    vocabulary (root mean square), and 4 times as much in one logit: for each sample.
    """
    weight, bias = unembedding
    if len(weight) != logits_BV.shape[1]:
        return None, False
    normed_BD = normed_BD.to(weight.device, torch.float32)
    logits_BV = logits_BV.to(weight.device, torch.float32)
    lens, squares = [], []
    for start in range(0, len(weight), _ROWS):
        rows = slice(start, start + _ROWS)
        tile_VD = weight[rows].float()
        lens.append(logits_of(normed_BD, tile_VD, None if bias is None else bias[rows]))
        squares.append(normed_BD.square() @ tile_VD.square().T)
    lens_BV, squares_BV = torch.cat(lens, 1), torch.cat(squares, 1)
    sums_BV = 64 * unit_roundoff(torch.float32) ** 2 * weight.shape[1] * squares_BV
    budget_BV = roundoff**2 * (logits_BV.square() + squares_BV) + sums_BV
    off_BV = (lens_BV - logits_BV).square()
    fits = (off_BV <= 16 * budget_BV) & budget_BV.isfinite()  # what overflows has no budget
    on_average = off_BV.mean(1) <= budget_BV.mean(1)
    return float(off_BV.max().sqrt()), bool(fits.all()) and bool(on_average.all())


def _dtypes(decoder: Decoder, logits: Tensor) -> set[torch.dtype]:
    """What the head computes in."""
    weights = {weight.dtype for weight in decoder.head.parameters()}
    computed: Any = getattr(decoder.head, "compute_dtype", None)  # of bitsandbytes' 4-bit modules
    dtypes = weights | ({computed} if computed is not None else set()) | {logits.dtype}
    return {dtype for dtype in dtypes if dtype.is_floating_point and dtype.itemsize > 1}


def _advice(head: nn.Module) -> str:
    kinds = {type(module).__module__.split(".")[0] for module in head.modules()}
    if "peft" in kinds:
        return "merge its adapter first: model = peft_model.merge_and_unload()"
    plain = all(is_matrix(weight) or weight.ndim < 2 for weight in head.parameters())
    if not plain or kinds & {"bitsandbytes", "torchao"} or "quantized" in type(head).__module__:
        return (
            "leave its output embedding unquantised when you load it, as in "
            "BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=['lm_head'])"
        )
    if head._forward_hooks or head._forward_pre_hooks:
        return f"remove the hooks on its output embedding, a {type(head).__name__}"
    return (
        "something follows or replaces its output embedding that its config does not tell, such as "
        "a soft cap, a scale or a second norm"
    )
