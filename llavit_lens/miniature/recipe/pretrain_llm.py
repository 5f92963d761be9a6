"""Pretrain the small language model on text alone (see `documents`).

It is what Qwen is to LLaVA: a language model that has never seen an image.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

from llavit_lens.disk import write_folder_atomically
from llavit_lens.miniature.recipe.documents import CollateDocuments, Documents
from llavit_lens.miniature.recipe.initial_weights import induction_head, scale_residual_writes
from llavit_lens.miniature.world.corpus import Corpus
from llavit_lens.miniature.world.word_maps import add_places
from llavit_lens.training.run import Schedule, run


def llm_config(
    tokenizer: PreTrainedTokenizerBase, width: int = 128, layers: int = 6
) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=352 * width // 128,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 64,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        initializer_range=width**-0.5,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )


def pretrain_llm(
    folder: Path,
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    schedule: Schedule,
    width: int = 128,
    layers: int = 6,
) -> Qwen2ForCausalLM:
    """Train the language model and save it in `folder`; continue or return it when it is there."""
    if (folder / "model.safetensors").is_file():
        return Qwen2ForCausalLM.from_pretrained(folder)
    torch.manual_seed(0)
    config = llm_config(tokenizer, width, layers)
    model = Qwen2ForCausalLM._from_config(config, attn_implementation="eager")
    scale_residual_writes(model)
    induction_head(model)
    documents = Documents(tokenizer, corpus, schedule.steps * schedule.batch)
    home = folder.with_name(f"{folder.name}.run")
    hook = model.model.register_forward_pre_hook(add_places, with_kwargs=True)
    run(model, documents, CollateDocuments(tokenizer), home, schedule, name="language model")
    hook.remove()
    with write_folder_atomically(folder) as part:
        model.save_pretrained(part)
    return model
