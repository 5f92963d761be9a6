"""What the weights of the small language model are before its training."""

from __future__ import annotations

import torch
from torch import nn
from transformers import Qwen2ForCausalLM


@torch.no_grad()
def induction_head(model: Qwen2ForCausalLM) -> None:
    """Start with one induction head: a head of layer 0 that looks at the previous token, and one of
    layer 1 that looks at what follows an earlier copy of the current token, and copies it.

    Large language models learn such heads early in their billions of tokens, and reading from
    context is built on them; a model of this size would spend most of its short training on the
    plateau before. These are initial values only, trained like all other weights.

    Rotary pairs (i, i + size/2): the fast ones tell neighbors apart, the slow ones hardly notice
    distance. With a query bias that is the key bias turned back by one position, the score peaks at
    the previous token (q · R(j - i) k is largest for j = i - 1).
    """
    config = model.config
    width, heads = config.hidden_size, config.num_attention_heads
    size = width // heads
    half, fast = size // 2, size // 4
    theta = model.model.rotary_emb.inv_freq[:fast]
    slow = torch.cat([torch.arange(fast, half), torch.arange(half + fast, size)])
    # subspaces of the residual stream that do not disturb each other
    read, write, copy = nn.init.orthogonal_(torch.empty(width, width))[: 3 * size].split(size)

    first, second = (layer.self_attn for layer in model.model.layers[:2])
    peak = 58**0.5  # scores fall by about 7 from the previous token to its neighbors
    q, k = first.q_proj, first.k_proj
    q.weight[:size] = 0
    k.weight[:fast] = k.weight[half : half + fast] = 0
    k.bias[:fast] = peak
    q.bias[:fast], q.bias[half : half + fast] = peak * theta.cos(), -peak * theta.sin()
    first.v_proj.weight[:size] = read
    first.o_proj.weight *= 0.3
    first.o_proj.weight[:, :size] = 0.18 * write.T  # about as long as an embedding
    model.model.layers[0].mlp.down_proj.weight *= 0.2

    q, k = second.q_proj.weight[-size:], second.k_proj.weight[-size:]
    q.zero_()
    k.zero_()
    q[slow], k[slow] = 2 * read[: len(slow)], 2 * write[: len(slow)]
    second.v_proj.weight[-size:] = copy
    second.o_proj.weight[:, -size:] = copy.T


def scale_residual_writes(model: Qwen2ForCausalLM) -> None:
    """Divide what writes to the residual stream by sqrt(2 · layers), as in GPT-2."""
    for layer in model.model.layers:
        for projection in (layer.self_attn.o_proj, layer.mlp.down_proj):
            nn.init.normal_(projection.weight, std=projection.in_features**-0.5)
            projection.weight.data /= (2 * model.config.num_hidden_layers) ** 0.5
