"""Questions about a scene, in the four categories of the paper's benchmarks.

Every question needs the image. It names a place, a kind or another thing, and words alone leave
several answers open. Yes and no are equally likely, and a thing that is absent is like one that is
present. How many answers can be guessed from the words of a question is measured, see `guess`.
Answers are one word. Everything is lowercase, words and punctuation separated by single spaces.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from llavit_lens.miniature.world.captions import article
from llavit_lens.miniature.world.concepts import (
    CONCEPTS,
    NUMBERS,
    SIGN_WORDS,
    Concept,
)
from llavit_lens.miniature.world.relations import (
    INVERSE,
    alone_in_its_place,
    relation,
    unique_relations,
)
from llavit_lens.miniature.world.scenes import Scene, Thing

VISION, OCR, KNOWLEDGE, GENERAL = "vision_centric", "ocr_chart", "knowledge", "general"
CATEGORIES_OF_QUESTIONS = (VISION, OCR, KNOWLEDGE, GENERAL)
SHARED = 4  # concepts that have a category or trait, at least, for it to name none of them


class Question(NamedTuple):
    """One question about a scene; `kind` is the template, `category` the benchmark group."""

    category: str
    kind: str
    question: str
    answer: str


def questions(scene: Scene, rng: random.Random, benchmark: bool = False) -> list[Question]:
    """All kinds of questions about a scene in random order, each with exactly one right answer.

    benchmark: leave out relations that a person might see in another way, since another thing lies
    between two sides (one relation in seven).
    """
    related = unique_relations(scene, clearly=benchmark)
    shuffled = [
        Question(category, *q)
        for category, of_category in (
            (VISION, _vision(scene, related, rng)),
            (OCR, _ocr(scene, related, rng)),
            (KNOWLEDGE, _knowledge(scene, related, rng)),
            (GENERAL, _general(scene, rng)),
        )
        for q in of_category
    ]
    rng.shuffle(shuffled)
    return shuffled


_Questions = Iterator[tuple[str, str, str]]  # kind, question, answer
_Related = Sequence[tuple[Thing, str, Thing]]  # thing, relation, other


def _sample(rng: random.Random, items: Sequence, n: int = 1) -> list:
    return rng.sample(items, min(n, len(items)))


def _vision(scene: Scene, related: _Related, rng: random.Random) -> _Questions:
    objects = scene.objects
    for thing in _sample(rng, [t for t in objects if t.place_is_clear], 2):
        yield "position", f"where is the {thing.phrase} ?", thing.position
    unlike = [(a, b) for a in objects for b in objects if (a.size, b.size) == ("large", "small")]
    for large, small in _sample(rng, unlike):
        a, b = rng.sample([large.phrase, small.phrase], 2)
        yield "larger", f"which is larger , the {a} or the {b} ?", large.name
    for thing in _sample(rng, _objects(alone_in_its_place(scene)), 2):
        yield "at", f"what is at the {thing.position} ?", thing.name
    for thing, how, other in _sample(rng, _object_beside(related, "object"), 2):
        yield "relation", f"what is {how} the {other.phrase} ?", thing.name
    pairs = [(a, b) for a in objects for b in objects if a is not b and relation(a, b)]
    for a, b in _sample(rng, pairs):
        how, answer = relation(a, b) or "", rng.choice(["yes", "no"])
        how = how if answer == "yes" else INVERSE[how]
        yield "is_relation", f"is the {a.phrase} {how} the {b.phrase} ?", answer
    yield "count", "how many things are there ?", NUMBERS[len(scene.things)]
    yield "count_signs", "how many signs are there ?", NUMBERS[len(scene.signs)]


def _ocr(scene: Scene, related: _Related, rng: random.Random) -> _Questions:
    signs = scene.signs
    alone = [t for t in alone_in_its_place(scene) if t.kind == "sign"]
    if len(signs) == 1:
        yield "read", "what does the sign say ?", signs[0].word
    else:
        for sign in _sample(rng, alone, 2):
            yield "read_at", f"what does the sign at the {sign.position} say ?", sign.word
        kinds = Counter(SIGN_WORDS[s.word] for s in signs)
        for sign in _sample(rng, [s for s in signs if kinds[SIGN_WORDS[s.word]] == 1]):
            yield "read_kind", f"which {SIGN_WORDS[sign.word]} is on a sign ?", sign.word
    for sign in _sample(rng, alone):
        kind = SIGN_WORDS[sign.word]
        yield "word_kind_at", f"what kind of word is at the {sign.position} ?", kind
    beside = [r for r in related if r[0].kind == "sign"]
    for sign, how, other in _sample(rng, beside, 2):
        yield "read_relation", f"which word is {how} the {other.phrase} ?", sign.word
    for sign in _sample(rng, [s for s in signs if s.place_is_clear]):
        yield "word_position", f"where is the {sign.phrase} ?", sign.position
    for thing, how, sign in _sample(rng, _object_beside(related, "sign")):
        yield "beside_word", f"what is {how} the {sign.phrase} ?", thing.name
    if signs:
        sign = rng.choice(signs)
        kind = SIGN_WORDS[sign.word]
        others = [
            w for w, k in SIGN_WORDS.items() if k == kind and w not in {s.word for s in signs}
        ]
        yield "says", *_yes_or_no(rng, sign.word, others, lambda w: f"does a sign say {w} ?")


def _knowledge(scene: Scene, related: _Related, rng: random.Random) -> _Questions:
    for thing in _sample(rng, _objects(alone_in_its_place(scene)), 2):
        kind, question, answer = _about(CONCEPTS[thing.name], f"at the {thing.position}", rng)
        yield f"{kind}_at", question, answer
    for thing, how, other in _sample(rng, _object_beside(related), 2):
        kind, question, answer = _about(CONCEPTS[thing.name], f"{how} the {other.phrase}", rng)
        yield f"{kind}_relation", question, answer
    concepts = [CONCEPTS[t.name] for t in scene.objects]
    traits = Counter(c.trait for c in concepts)
    for c in _sample(rng, [c for c in concepts if traits[c.trait] == 1 and _shared(c.trait)]):
        yield "which_trait", f"which thing goes with {c.trait} ?", c.name
    there = rng.choice(concepts)
    absent = [c.trait for c in CONCEPTS.values() if c.trait not in traits]
    exists = _yes_or_no(rng, there.trait, absent, lambda t: f"does anything go with {t} ?")
    yield "exist_trait", *exists
    kind, ask = rng.choice(_COUNTS)
    count = Counter(getattr(c, kind) for c in concepts)
    counted = rng.choice(sorted({0, *count.values()}))
    absent = [getattr(c, kind) for c in CONCEPTS.values() if getattr(c, kind) not in count]
    word = rng.choice([w for w in count if count[w] == counted] if counted else absent)
    if word != "white":  # the boards of signs are white too
        yield f"count_{kind}", ask.format(word), NUMBERS[counted]


_COUNTS = (
    ("category", "how many things are of the kind {} ?"),
    ("color", "how many things are {} ?"),
)


def _general(scene: Scene, rng: random.Random) -> _Questions:
    concepts = [CONCEPTS[t.name] for t in scene.objects]
    names = [c.name for c in concepts]
    there = rng.choice(concepts)
    alike = [
        c.name
        for c in CONCEPTS.values()
        if c.name not in names and (c.category == there.category or c.color == there.color)
    ]
    yield "exist", *_yes_or_no(rng, there.name, alike, _is_there)
    kinds = Counter(c.category for c in concepts)
    absent = [c.category for c in CONCEPTS.values() if c.category not in kinds]
    yield "exist_kind", *_yes_or_no(rng, there.category, absent, _is_there)
    for c in _sample(rng, [c for c in concepts if kinds[c.category] == 1 and _shared(c.category)]):
        yield "which", f"which {c.category} is in the picture ?", c.name
    top, bottom = scene.backgrounds
    if top != bottom:
        where = rng.choice(["top", "bottom"])
        ground = top if where == "top" else bottom
        yield "background", f"what is the background at the {where} ?", ground
        above = [t for t in scene.things if t.y + t.height // 2 <= scene.horizon]
        below = [t for t in scene.things if t.y - t.height // 2 >= scene.horizon]
        for thing in _sample(rng, [*above, *below], 2):
            yield (
                "behind",
                f"what is behind the {thing.phrase} ?",
                top if thing in above else bottom,
            )


def _objects(things: Sequence[Thing]) -> list[Thing]:
    return [t for t in things if t.kind == "object"]


def _object_beside(related: _Related, kind: str | None = None) -> _Related:
    """Relations of an object to `other`, which is of one kind, or any."""
    return [
        (thing, how, other)
        for thing, how, other in related
        if thing.kind == "object" and kind in (None, other.kind)
    ]


def _about(concept: Concept, where: str, rng: random.Random) -> tuple[str, str, str]:
    """(kind, question, answer): what a person knows about the thing at this place."""
    return rng.choice(
        [
            ("category", f"what kind of thing is {where} ?", concept.category),
            ("color", f"what color is the thing {where} ?", concept.color),
            ("trait", f"what goes with the thing {where} ?", concept.trait),
        ]
    )


def _yes_or_no(
    rng: random.Random, there: str, absent: Sequence[str], ask: Callable[[str], str]
) -> tuple[str, str]:
    """A question that is as likely about what is there as about what is not."""
    answer = rng.choice(["yes", "no"])
    return ask(there if answer == "yes" else rng.choice(absent)), answer


def _is_there(noun: str) -> str:
    return f"is there {article(noun, uncounted='any')} {noun} ?"


def _shared(word: str) -> bool:
    """Whether so many concepts have this category or trait that it names none of them."""
    return sum(word in (c.category, c.trait) for c in CONCEPTS.values()) >= SHARED


# Kinds of questions that every caption answers, and kinds that a caption answers if it says the
# place or size. Questions about relations and about what is behind a thing follow maps only.
ALWAYS_IN_CAPTIONS = {
    "count", "count_signs", "read", "read_kind", "says", "which_trait", "exist_trait",
    "count_category", "count_color", "exist", "exist_kind", "which", "background",
}  # fmt: skip
IN_CAPTIONS_WITH_PLACE = {
    "position", "at", "read_at", "word_kind_at", "word_position",
    "category_at", "color_at", "trait_at",
}  # fmt: skip
