"""The words that come first at any layer of a token, followed through all layers.

Their logits are products with some rows of the unembedding, other rows for each token: a
hundred-thousandth of the lens's own product.

Shape letters: L layers, N tokens, B tokens of one block, D model width, U leaders, K kept words.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from llavit_lens.results.leaders import Leaders, agreed, leading_ids
from llavit_lens.vlm.float32 import full_float32
from llavit_lens.vlm.readout import Readout

BUDGET_BYTES = 32 * 1024 * 1024
"""Of states and rows that are float32 at once."""


@torch.no_grad()
@full_float32()
def leaders_of(
    normed_LND: Tensor,
    readout: Readout,
    ids_LNK: np.ndarray,
    values_LNK: np.ndarray,
    logsumexp_LN: np.ndarray,
) -> Leaders:
    """The leaders of every token, with log-probabilities in float32.

    Args:
        normed_LND: the states that the lens read, after the final norm.
        readout: with which it read them.
        ids_LNK, values_LNK, logsumexp_LN: what it read, as in `Words`.
    """
    leading_NU = leading_ids(ids_LNK[:, :, 0])
    n_layers, n, width = normed_LND.shape
    device = readout.unembedding.device
    rows_N = max(1, BUDGET_BYTES // (4 * width * (n_layers + leading_NU.shape[1])))
    logits_LNU = np.empty((n_layers, *leading_NU.shape), np.float32)
    for start in range(0, n, rows_N):
        block = slice(start, start + rows_N)
        index_BU = torch.as_tensor(leading_NU[block], device=device).clamp_min(0)
        logits_BLU = _logits(normed_LND[:, block].transpose(0, 1), readout, index_BU)
        logits_LNU[:, block] = logits_BLU.transpose(0, 1).cpu().numpy()
    values_LNU = logits_LNU - logsumexp_LN[:, :, None]
    return Leaders(leading_NU, agreed(values_LNU, leading_NU, ids_LNK, values_LNK))


def _logits(normed_BLD: Tensor, readout: Readout, index_BU: Tensor) -> Tensor:
    """float32 [B, L, U]: each token's logits of words of its own."""
    rows_BUD = readout.unembedding[index_BU].float()
    logits_BLU = normed_BLD.float() @ rows_BUD.transpose(1, 2)
    index_B1U = index_BU[:, None]
    if readout.unembedding_bias is not None:
        logits_BLU += readout.unembedding_bias[index_B1U].float()
    return readout.logit_map.apply(logits_BLU, index_B1U)
