"""Pretrain the small language model on text alone: general text and the world's captions.

It is what Qwen is to LLaVA: an ordinary language model. It never sees a picture, nor words laid out
as one. Its text teaches it to read: passages and captions with questions that only the passage
answers, paraphrases, lists; about most of which (the lexicon's thousands of words) no picture speaks.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

from llavit_lens.miniature.concepts import POSITIONS
from llavit_lens.miniature.corpus import pick
from llavit_lens.miniature.general_text import general_document
from llavit_lens.miniature.language import DESCRIBE, INVERSE, Question, caption, questions
from llavit_lens.miniature.runs import Schedule, run
from llavit_lens.miniature.scenes import sample_scene
from llavit_lens.training.collate import pad_examples
from llavit_lens.training.conversations import IGNORE, Encoded, encode_chat, encode_plain

CONTEXT_SHARE = 0.3  # of the tokens that are no answer, the share that is a target
EASY_SHARE = 0.12  # of the run, how long scenes have one thing only


def llm_config(tokenizer: PreTrainedTokenizerBase, width: int = 128, layers: int = 6) -> Qwen2Config:
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


class Documents(Dataset):
    """`length` documents, tokenized; document i is a function of i."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, scenes: int, length: int):
        self.tokenizer, self.scenes, self.length = tokenizer, scenes, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Encoded:
        rng = random.Random(f"document {index}")
        roll = rng.random()
        if roll < 0.4:
            return self._general(rng)
        easy = index < EASY_SHARE * self.length
        scene = sample_scene(pick(self.scenes, "llm", index), max_things=1 if easy else 3)
        text = caption(scene, rng)
        if roll < 0.5:
            return self._plain(f"{text} {caption(scene, rng)}", rng)
        if roll < 0.62:
            return self._chat(text, [(rng.choice(DESCRIBE), caption(scene, rng))], rng)
        asked = [(q.question, q.answer) for q in questions(scene, rng) if answerable(q, text)]
        return self._chat(text, asked[:5], rng)

    def _general(self, rng: random.Random) -> Encoded:
        document = general_document(rng)
        if not document.turns:
            return self._plain(document.context, rng)
        return self._chat(document.context, list(document.turns), rng)

    def _plain(self, text: str, rng: random.Random) -> Encoded:
        return encode_plain(self.tokenizer, text, image=False)

    def _chat(self, context: str, turns: list[tuple[str, str]], rng: random.Random) -> Encoded:
        """The context stands in front of the first question, as a picture will; answers count in
        full, other tokens are targets with the chance CONTEXT_SHARE."""
        (first, answer), *rest = turns
        first = f"{context}\n{first}" if context else first
        ids, labels = encode_chat(self.tokenizer, [(first, answer), *rest], train_on_markers=False)
        for i, label in enumerate(labels):
            if label == IGNORE and rng.random() < CONTEXT_SHARE:
                labels[i] = ids[i]
        return Encoded(ids, labels)


PLACES = {place for row in POSITIONS for place in row}


def answerable(asked: Question, text: str) -> bool:
    """Whether a caption says enough: captions tell the place or size of some things only."""
    said = set(text.split())
    if asked.answer in PLACES | {"small", "large"}:
        return asked.answer in said
    if asked.kind.endswith("relation"):
        return any(f"is {how} the" in text for how in INVERSE)
    return all(word in said for word in asked.question.split() if word in PLACES)


def matching_heads(model: Qwen2ForCausalLM, layers: int = 2, head: int = -1) -> None:
    """Start one head of the first layers as 'look at the same word': its query equals its key.

    Only slowly rotating dimensions are used, so that distance hardly matters. Nothing is learned
    by this; it spares a small model the long plateau before such heads form by themselves.
    """
    config = model.config
    size = config.hidden_size // config.num_attention_heads
    slow = torch.arange(size) % (size // 2) >= size // 4
    for layer in model.model.layers[:layers]:
        attention = layer.self_attn
        with torch.no_grad():
            q = attention.q_proj.weight.view(-1, size, config.hidden_size)
            k = attention.k_proj.weight.view(-1, size, config.hidden_size)
            q[head] = 2 * k[-1] * slow[:, None]


def scale_residual_writes(model: Qwen2ForCausalLM) -> None:
    """Divide what writes to the residual stream by sqrt(2 · layers), as in GPT-2."""
    for layer in model.model.layers:
        for projection in (layer.self_attn.o_proj, layer.mlp.down_proj):
            nn.init.normal_(projection.weight, std=projection.in_features**-0.5)
            projection.weight.data /= (2 * model.config.num_hidden_layers) ** 0.5


class CollateDocuments:
    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.pad = tokenizer.pad_token_id

    def __call__(self, examples: list[Encoded]) -> dict[str, Tensor]:
        return pad_examples(examples, self.pad)


def pretrain_llm(
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    scenes: int,
    schedule: Schedule,
    width: int = 128,
    layers: int = 6,
    seed: int = 0,
) -> Qwen2ForCausalLM:
    """Train the language model and save it in `folder`; continue or return it when it is there."""
    if (folder / "config.json").is_file():
        return Qwen2ForCausalLM.from_pretrained(folder)
    torch.manual_seed(seed)
    config = llm_config(tokenizer, width, layers)
    model = Qwen2ForCausalLM._from_config(config, attn_implementation="eager")
    scale_residual_writes(model)
    matching_heads(model)
    documents = Documents(tokenizer, scenes, schedule.steps * schedule.batch)
    run(model, documents, CollateDocuments(tokenizer), folder / "run", schedule, name="language model")
    model.save_pretrained(folder)
    return model
