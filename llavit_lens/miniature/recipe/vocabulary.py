"""The tokenizer of the demo models: thousands of whole words, most of them about other things."""

from __future__ import annotations

import random

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llavit_lens.miniature.recipe.lexicon import FUNCTION_WORDS, lexicon_words
from llavit_lens.miniature.world.captions import DESCRIBE, caption
from llavit_lens.miniature.world.concepts import (
    BACKGROUNDS,
    CONCEPTS,
    NUMBERS,
    SIGN_WORDS,
)
from llavit_lens.miniature.world.questions import questions
from llavit_lens.miniature.world.scenes import sample_scene
from llavit_lens.training.conversations import CHAT_TEMPLATE, IMAGE, SYSTEM

SPECIAL = ("<unk>", "<pad>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", IMAGE)
PUNCTUATION = r"""\n|[.,?!:;()"]"""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer with Qwen's turn markers, an image token and the newline as a word."""
    roles = {"system", "user", "assistant", *SYSTEM.lower().replace(".", " .").split()}
    words = {"\n", *FUNCTION_WORDS, *lexicon_words(), *world_words(), *roles, *'.,?!:;()"'}
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *sorted(words - set(SPECIAL))])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PUNCTUATION), "isolated"),
            pre_tokenizers.Split(Regex(r"[^\S\n]+"), "removed"),
        ]
    )
    core.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="<|im_end|>",
        extra_special_tokens={"image_token": IMAGE},
        padding_side="left",
        clean_up_tokenization_spaces=True,
        model_max_length=512,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def world_words() -> set[str]:
    """Every word that `caption`, `questions` or DESCRIBE can produce.

    Collected from many scenes rather than listed by hand: templates can change freely.
    """
    words = {*BACKGROUNDS, *SIGN_WORDS, *SIGN_WORDS.values(), *NUMBERS}
    words = words.union(*(concept.words for concept in CONCEPTS.values()))
    texts = list(DESCRIBE)
    rng = random.Random("world words")
    for seed in range(2000):
        scene = sample_scene(seed)
        texts.append(caption(scene, rng))
        texts += [f"{q.question} {q.answer}" for q in questions(scene, rng)]
    return words.union(*(text.split() for text in texts))
