"""Token ids and labels of training examples."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llavit_lens.miniature.recipe.vocabulary import build_tokenizer
from llavit_lens.miniature.world.captions import caption
from llavit_lens.miniature.world.questions import questions
from llavit_lens.miniature.world.scenes import sample_scene
from llavit_lens.training.collate import pad_examples
from llavit_lens.training.conversations import (
    IGNORE,
    IMAGE,
    Encoded,
    encode_chat,
    encode_plain,
    expand_image,
)

TOKENIZER = build_tokenizer()
TURNS = [(f"{IMAGE}\nwhere is the dog ?", "left"), ("what is above the dog ?", "pizza")]


def test_chat_is_what_the_chat_template_writes():
    messages = []
    for i, (user, assistant) in enumerate(TURNS):
        text = user.removeprefix(f"{IMAGE}\n")
        image = [{"type": "image"}] if i == 0 else []
        messages += [
            {"role": "user", "content": [*image, {"type": "text", "text": text}]},
            {"role": "assistant", "content": [{"type": "text", "text": assistant}]},
        ]
    expected = TOKENIZER.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
    assert encode_chat(TOKENIZER, TURNS).input_ids == expected


def test_targets_are_the_assistants_turns():
    ids, labels = encode_chat(TOKENIZER, TURNS)
    kept = [i for i, label in zip(ids, labels, strict=True) if label != IGNORE]
    turn = "<|im_start|>assistant\n{}<|im_end|>\n"
    expected = "".join(turn.format(answer) for _, answer in TURNS)
    assert kept == TOKENIZER(expected)["input_ids"]


def test_markers_become_targets_everywhere_and_nothing_else_does():
    ids, plain = encode_chat(TOKENIZER, TURNS)
    _, marked = encode_chat(TOKENIZER, TURNS, train_on_markers=True)
    markers = set(TOKENIZER.convert_tokens_to_ids(["\n", "<|im_start|>", "<|im_end|>"]))
    for token, before, after in zip(ids, plain, marked, strict=True):
        assert after == (token if token in markers else before)


def test_the_last_visual_token_learns_the_newline_after_it():
    image = TOKENIZER.convert_tokens_to_ids(IMAGE)
    ids, labels = expand_image(encode_chat(TOKENIZER, TURNS, train_on_markers=True), image, 5)
    last = max(i for i, token in enumerate(ids) if token == image)
    assert TOKENIZER.convert_ids_to_tokens(labels[last + 1]) == "\n"
    assert ids.count(image) == 5
    assert all(labels[i] == IGNORE for i, token in enumerate(ids) if token == image)


def test_plain_captions_have_everything_but_the_image_as_target():
    ids, labels = encode_plain(TOKENIZER, "a dog on grass .")
    assert TOKENIZER.convert_ids_to_tokens(ids) == [IMAGE, "a", "dog", "on", "grass", ".", "\n"]
    assert labels == [IGNORE, *ids[1:]]


@given(st.lists(st.booleans(), max_size=20), st.integers(0, 6))
def test_expansion_keeps_text_and_labels_aligned(is_image, length):
    ids = [9 if image else 100 + i for i, image in enumerate(is_image)]
    out = expand_image(Encoded(ids, ids), 9, length)
    assert [t for t in out.input_ids if t != 9] == [t for t in ids if t != 9]
    assert out.input_ids.count(9) == length * sum(is_image)
    assert out.labels == [IGNORE if t == 9 else t for t in out.input_ids]


def test_padding_is_masked_and_never_a_target():
    batch = pad_examples([Encoded([1, 2, 3], [IGNORE, 2, 3]), Encoded([4], [4])], 0)
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORE, 2, 3], [4, IGNORE, IGNORE]]


@pytest.mark.parametrize("text", ["What is this?", "what is this ?", "WHAT  is this?"])
def test_people_may_write_as_they_like(text):
    assert TOKENIZER.tokenize(text) == ["what", "is", "this", "?"]


@given(st.integers(0, 10**6))
@settings(max_examples=100)
def test_the_world_speaks_no_unknown_word(seed):
    import random

    scene, rng = sample_scene(seed), random.Random(seed)
    texts = [caption(scene, rng), *(f"{q.question} {q.answer}" for q in questions(scene, rng))]
    for text in texts:
        assert TOKENIZER.tokenize(text) == text.split()
        assert TOKENIZER.unk_token_id not in TOKENIZER(text)["input_ids"]


def test_the_vocabulary_is_mostly_about_other_things():
    from llavit_lens.miniature.recipe.vocabulary import world_words

    assert len(TOKENIZER) > 3000
    assert len(world_words()) < len(TOKENIZER) / 8
