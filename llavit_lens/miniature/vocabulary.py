"""The tokenizer of the demo models: thousands of whole words, most of them about other things."""

from __future__ import annotations

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llavit_lens.miniature.general_text import FUNCTION_WORDS, lexicon_words
from llavit_lens.miniature.language import world_words
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
