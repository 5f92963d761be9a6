"""What tokens look like, for the kinds of tokenizers that language models have."""

from __future__ import annotations

from typing import Any

import pytest
from tiny import tiny_tokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llavit_lens.lens import token_strings as module
from llavit_lens.lens.token_strings import string_of, token_strings


def fast(model: Any, decoder: Any = None, **options: Any) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(model)
    if decoder is not None:
        tokenizer.decoder = decoder
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)


def shown(tokenizer: Any) -> dict[str, str]:
    """Piece in the vocabulary -> text as shown."""
    table = token_strings(tokenizer)
    return {piece: table[token] for piece, token in tokenizer.get_vocab().items()}


def test_whole_words() -> None:
    words = {"dog": 0, "the red": 1, "\n": 2, "<unk>": 3}
    assert shown(fast(models.WordLevel(words, unk_token="<unk>"))) == {word: word for word in words}


def test_byte_level_bpe() -> None:
    pieces = ["dog", "Ġdog", "Ġ", "Ċ", "ĊĊ", "ĉ", "Ã©", "Ã", "åĽ½", "Ġåľ", "a", "Ġa"]
    vocabulary = {piece: token for token, piece in enumerate(pieces)}
    tokenizer = fast(
        models.BPE(vocabulary, [], unk_token=None),
        decoders.ByteLevel(),
        eos_token=AddedToken("<|im_end|>", special=True),
    )
    tokenizer.add_tokens(["Ġraw", " spaced"])
    table = shown(tokenizer)
    assert table["dog"] == "dog"
    assert table["Ġdog"] == " dog"
    assert table["Ġ"] == " "
    assert (table["Ċ"], table["ĊĊ"], table["ĉ"]) == ("\n", "\n\n", "\t")
    assert table["Ã©"] == "é"
    assert table["åĽ½"] == "国"
    assert table["Ã"] == "\ufffd"  # half of a character
    assert table["Ġåľ"] == " \ufffd"
    assert (table["a"], table["Ġa"]) == ("a", " a")
    assert table["<|im_end|>"] == "<|im_end|>"
    assert table["Ġraw"] == "Ġraw"  # added tokens are text, not bytes
    assert table[" spaced"] == " spaced"


def test_sentencepiece_with_byte_fallback() -> None:
    decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    pieces = ["<unk>", "▁dog", "dog", "▁", "<0x0A>", "<0xC3>", "▁▁"]
    vocabulary = {piece: token for token, piece in enumerate(pieces)}
    table = shown(fast(models.BPE(vocabulary, [], unk_token="<unk>"), decoder, unk_token="<unk>"))
    assert table == {
        "<unk>": "<unk>",
        "▁dog": " dog",
        "dog": "dog",
        "▁": " ",
        "<0x0A>": "\n",
        "<0xC3>": "\ufffd",
        "▁▁": "  ",
    }


def test_metaspace_unigram() -> None:
    scores = [("<unk>", 0.0), ("▁dog", -1.0), ("dog", -2.0), ("▁", -3.0)]
    table = shown(fast(models.Unigram(scores, unk_id=0), decoders.Metaspace()))
    assert (table["▁dog"], table["dog"], table["▁"]) == (" dog", "dog", " ")


def test_strings_join_to_the_text() -> None:
    tokenizer = tiny_tokenizer()
    text = "USER: What is in the image? A red square,  on\nthe left: é 国"
    table = token_strings(tokenizer)
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text
    # characters cut into bytes cannot come out of single tokens
    assert "".join(table[token] for token in ids).startswith(text[: text.index("é")])


def test_ids_beyond_and_between() -> None:
    tokenizer = fast(models.WordLevel({"a": 0, "c": 2}, unk_token="a"))
    table = token_strings(tokenizer)
    assert table[0] == "a"
    assert string_of(table, 151_700) == "<id 151700>"


def test_one_table_per_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []
    build = module._build
    monkeypatch.setattr(
        module, "_build", lambda tokenizer: built.append(tokenizer) or build(tokenizer)
    )
    first, second = tiny_tokenizer(), tiny_tokenizer()
    tables = [token_strings(tokenizer) for tokenizer in (first, second, first, second)]
    assert built == [first, second]
    assert tables[0] is tables[2] and tables[1] is tables[3]
    first.add_tokens(["newcomer"])
    assert token_strings(first)[-1] == "newcomer"


def test_pre_tokenizer_alphabet_is_covered() -> None:
    table = shown(tiny_tokenizer())
    ascii_pieces = {piece for piece in pre_tokenizers.ByteLevel.alphabet() if piece.isascii()}
    assert {table[piece] for piece in ascii_pieces} == ascii_pieces
