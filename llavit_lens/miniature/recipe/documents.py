"""The texts of the small language model: general text, and the world's captions and word maps.

They teach it to read: passages, captions and maps with questions that only they answer,
paraphrases, look-ups. Most of its thousands of words are about what no image shows.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from llavit_lens.miniature.recipe.general_text import general_passage
from llavit_lens.miniature.recipe.lexicon import lexicon_words
from llavit_lens.miniature.world.captions import DESCRIBE, caption
from llavit_lens.miniature.world.concepts import COLORS, CONCEPTS, NUMBERS, POSITIONS, SIGN_WORDS
from llavit_lens.miniature.world.corpus import Corpus, pick
from llavit_lens.miniature.world.questions import (
    ALWAYS_IN_CAPTIONS,
    IN_CAPTIONS_WITH_PLACE,
    Question,
    questions,
)
from llavit_lens.miniature.world.scenes import Scene, sample_scene
from llavit_lens.miniature.world.word_maps import PLACE_WEIGHT, map_places, word_map
from llavit_lens.training.collate import pad_examples
from llavit_lens.training.conversations import (
    IGNORE,
    Encoded,
    encode_chat,
    encode_plain,
    token_id,
)

WORDS = tuple(sorted({*lexicon_words(), *CONCEPTS, *SIGN_WORDS}))
PLACES = {place for row in POSITIONS for place in row}
CONTEXT_SHARE = 0.15  # of the tokens that are no answer, the share that is a target
MAP_QUESTIONS = 8
DRILL_PHASE = 0.25  # of the run, how long look-ups are most of the text

# Shares of the kinds of documents, in the first phase and after it.
MIX = {
    "repetition": (0.15, 0.03),
    "table": (0.2, 0.05),
    "places": (0.1, 0.04),
    "quiz": (0.1, 0.07),
    "chat": (0.0, 0.09),
    "paraphrase": (0.0, 0.04),
    "general": (0.1, 0.17),
    "map, places": (0.2, 0.08),
    "map, chat": (0.1, 0.33),
    "map, caption": (0.05, 0.1),
}
TEXT_RECIPE = {
    "shares": MIX,
    "first phase": DRILL_PHASE,
    "targets in the context": CONTEXT_SHARE,
    "questions on a map": MAP_QUESTIONS,
    "weight of places": PLACE_WEIGHT,
}
MAP_SHARE = sum(
    (1 - DRILL_PHASE) * late + DRILL_PHASE * early
    for kind, (early, late) in MIX.items()
    if kind.startswith("map")
)


class Document(NamedTuple):
    """One text of the language model; `map_at` is where the first word of its map stands."""

    text: Encoded
    map_at: int | None = None


class Documents(Dataset):
    """`length` documents, tokenized; document i is a function of i."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, corpus: Corpus, length: int):
        self.tokenizer, self.corpus, self.length = tokenizer, corpus, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Document:
        rng = random.Random(f"document {index}")
        phase = 0 if index < DRILL_PHASE * self.length else 1
        (kind,) = rng.choices(list(MIX), [shares[phase] for shares in MIX.values()])
        if kind == "repetition":
            return Document(self._drill(repetition(rng)))
        if kind == "table":
            return Document(self._drill(table(rng)))
        if kind == "general":
            return Document(self._general(rng))
        if kind.startswith("map"):
            return self._map(kind.removeprefix("map, "), index, 6 if phase else 2, rng)
        number = pick(self.corpus.count, "llm", index)
        scene = sample_scene(number, max_things=3 if phase else 2)
        text = caption(scene, rng)
        if kind == "places":
            named = {word for word in text.split() if word in PLACES}
            return Document(
                self._drill([(f"{text}\n", False), (place_notes(scene, named, rng), True)])
            )
        if kind == "paraphrase":
            if rng.random() < 0.5:
                return Document(self._drill([(f"{text}\n", False), (caption(scene, rng), True)]))
            return Document(self._chat(text, [(rng.choice(DESCRIBE), caption(scene, rng))], rng))
        turns = [(q.question, q.answer) for q in questions(scene, rng) if answerable(q, text)]
        if kind == "quiz":
            quiz = [part for q, a in turns[:10] for part in ((f" {q}", False), (f" {a} .", True))]
            return Document(self._drill([(f"{text}\n", False), *quiz]))
        return Document(self._chat(text, turns[:5], rng))

    def _map(self, kind: str, index: int, max_things: int, rng: random.Random) -> Document:
        """A scene's word map, then what follows an image too: a caption, a chat; or notes.

        `max_things` counts signs too: the first phase is about simple scenes.
        """
        tries = (pick(self.corpus.count, "map", index, i) for i in range(20))
        number = next((n for n in tries if len(self.corpus.scene(n).things) <= max_things), 0)
        truth = self.corpus.truth(number)
        scene, text = truth.scene, " ".join(word_map(truth, rng))
        if kind == "places":
            notes = place_notes(scene, PLACES, rng)
            return Document(self._drill([(f"{text}\n", False), (notes, True)]), 0)
        if kind == "caption" and rng.random() < 0.5:
            return Document(self._drill([(text, False), (f" {caption(scene, rng)}\n", True)]), 0)
        if kind == "caption":
            turns = [(rng.choice(DESCRIBE), caption(scene, rng))]
        else:
            turns = [(q.question, q.answer) for q in questions(scene, rng)][:MAP_QUESTIONS]
        encoded = self._chat(text, turns, rng)
        line_break = token_id(self.tokenizer, "\n")
        breaks = [i for i, token in enumerate(encoded.input_ids) if token == line_break]
        return Document(encoded, breaks[2] + 1)  # after the system's text and the user's header

    def _general(self, rng: random.Random) -> Encoded:
        passage = general_passage(rng)
        if not passage.turns:
            return encode_plain(self.tokenizer, passage.context, image=False)
        return self._chat(passage.context, list(passage.turns), rng)

    def _drill(self, parts: list[tuple[str, bool]]) -> Encoded:
        """Plain text in parts, each a target or not."""
        ids: list[int] = []
        labels: list[int] = []
        for text, is_target in parts:
            new = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            ids += new
            labels += new if is_target else [IGNORE] * len(new)
        return Encoded(ids, labels)

    def _chat(self, context: str, turns: list[tuple[str, str]], rng: random.Random) -> Encoded:
        """The context stands in front of the first question, as an image will; answers count in
        full, other tokens are targets with the chance CONTEXT_SHARE."""
        (first, answer), *rest = turns
        first = f"{context}\n{first}" if context else first
        ids, labels = encode_chat(self.tokenizer, [(first, answer), *rest], train_on_markers=False)
        for i, label in enumerate(labels):
            if label == IGNORE and rng.random() < CONTEXT_SHARE:
                labels[i] = ids[i]
        return Encoded(ids, labels)


def repetition(rng: random.Random) -> list[tuple[str, bool]]:
    """A list of words, and the same list once or twice again."""
    words = " ".join(rng.sample(WORDS, rng.randint(6, 22)))
    return [(f"{words} .", False), *[(f" {words} .", True)] * rng.choice([1, 2])]


def table(rng: random.Random) -> list[tuple[str, bool]]:
    """Pairs of a key and a value, then the same look-ups in other orders: 'rope seven , lamp left'.

    Half of the values are words of one small group, so that guessing by kind does not help.
    """
    n = rng.randint(3, 8)
    keys = rng.sample(WORDS, n)
    group = rng.choice([sorted(PLACES), [*NUMBERS], COLORS, list(CONCEPTS), WORDS])
    pairs = [(key, rng.choice(group)) for key in keys]
    if rng.random() < 0.3:
        pairs = [
            (value, key) for key, value in pairs if [v for _, v in pairs].count(value) == 1
        ] or pairs
    parts = [(" , ".join(f"{key} {value}" for key, value in pairs) + " .", False)]
    for _ in range(rng.choice([2, 3])):
        for key, value in rng.sample(pairs, len(pairs)):
            parts += [(f" {key}", False), (f" {value}", True)]
        parts.append((" .", False))
    return parts


def place_notes(scene: Scene, named: Collection[str], rng: random.Random) -> str:
    """Where things are, of those whose place the text before holds: notes in random order."""
    notes = []
    for thing in scene.things:
        name = thing.word or thing.name
        if thing.position in named:
            notes += [f"{name} : {thing.position}", f"{thing.position} : {name}"]
    notes += (
        [f"top : {scene.backgrounds[0]}", f"bottom : {scene.backgrounds[1]}"]
        if rng.random() < 0.3
        else []
    )
    notes = notes or [thing.word or thing.name for thing in scene.things]
    return " . ".join(rng.sample(notes, len(notes))) + " ."


def answerable(question: Question, text: str) -> bool:
    """Whether a caption says enough: captions give the place or size of some things only."""
    if question.kind in ALWAYS_IN_CAPTIONS:
        return True
    words = f"{question.question} {question.answer}".split()
    needed = [word for word in words if word in PLACES | {"small", "large"}]
    return question.kind in IN_CAPTIONS_WITH_PLACE and all(word in text.split() for word in needed)


class CollateDocuments:
    """Batches with `place_ids` for the words of maps, -1 elsewhere; see `add_places`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.pad = tokenizer.pad_token_id
        self.places = torch.tensor(tokenizer.convert_tokens_to_ids(map_places()))

    def __call__(self, documents: list[Document]) -> dict[str, Tensor]:
        batch = pad_examples([d.text for d in documents], self.pad)
        batch["place_ids"] = torch.full_like(batch["input_ids"], -1)
        for row, document in zip(batch["place_ids"], documents, strict=True):
            if document.map_at is not None:
                row[document.map_at : document.map_at + len(self.places)] = self.places
        return batch
