"""What people write about a scene: captions in varied order, wording and detail.

Everything is lowercase, words and punctuation separated by single spaces. A caption says where a
thing is only if its center lies clearly in one ninth of the image (`Thing.place_is_clear`).
"""

from __future__ import annotations

import random

from llavit_lens.miniature.world.concepts import CONCEPTS, NUMBERS, SIGN_WORDS
from llavit_lens.miniature.world.relations import relation
from llavit_lens.miniature.world.scenes import Scene, Thing

DESCRIBE = (
    "describe the picture .",
    "what is in the picture ?",
    "what do you see ?",
    "tell me about this picture .",
    "write a caption .",
)


def caption(scene: Scene, rng: random.Random) -> str:
    """A caption that names every thing, in random order, style and detail."""
    things = list(scene.things)
    rng.shuffle(things)
    style = rng.random()
    if style < 0.2:
        return _tags(scene, things, rng)
    if style < 0.45:
        return _one_sentence(scene, things, rng)
    return _sentences(scene, things, rng)


def plain_caption(scene: Scene) -> str:
    """Every thing, with its place where that is clear, and the ground; always the same words."""
    sentences = []
    for thing in scene.things:
        if thing.kind == "sign":
            noun = f"a sign that says {thing.word}"
        else:
            noun = f"{article(thing.name)} {thing.name}"
        place = f"at the {thing.position} " if thing.place_is_clear else ""
        sentences.append(f"{place}there is {noun} .")
    top, bottom = scene.backgrounds
    ground = top if top == bottom else f"{top} above {bottom}"
    return " ".join([*sentences, f"the background is {ground} ."])


UNCOUNTED = {"bread", "cheese", "corn", "coffee", "fire", "grapes", "scissors", "glasses"}
UNCOUNTED |= {"food", "furniture", "clothing", "weather"}


def article(first: str, noun: str | None = None, uncounted: str = "some") -> str:
    """The article of a noun (by default `first` itself) in front of the word `first`."""
    if (noun or first) in UNCOUNTED:
        return uncounted
    return "an" if first[0] in "aeiou" else "a"


def _noun(thing: Thing, rng: random.Random) -> str:
    """A noun phrase for a thing without its place."""
    if thing.kind == "sign":
        word, kind = thing.word, SIGN_WORDS[thing.word]
        return rng.choice(
            [
                f"a sign with the text {word}",
                f"a sign that says {word}",
                f"the {kind} {word} on a sign",
                f"a {kind} sign : {word}",
                f"the text {word}",
            ]
        )
    concept = CONCEPTS[thing.name]
    words = [thing.name]
    if rng.random() < 0.3:
        words.insert(0, concept.color)
    if rng.random() < 0.3:
        words.insert(0, thing.size)
    phrase = f"{article(words[0], thing.name)} {' '.join(words)}"
    roll = rng.random()
    if roll < 0.12:
        phrase += f" , {article(concept.category)} {concept.category}"
    elif roll < 0.2:
        phrase += f" ( {concept.category} , {concept.trait} )"
    elif roll < 0.26:
        kind = f"{article(concept.color, concept.category)} {concept.color} {concept.category}"
        phrase = f"{kind} : {article(thing.name)} {thing.name}"
    return phrase


def _background(scene: Scene, rng: random.Random) -> str:
    top, bottom = scene.backgrounds
    if top == bottom:
        return rng.choice(
            [f"the background is {top} .", f"everything is on {top} .", f"{top} is all around ."]
        )
    return rng.choice(
        [
            f"the background is {top} above {bottom} .",
            f"there is {top} at the top and {bottom} at the bottom .",
            f"{bottom} lies below the {top} .",
        ]
    )


def _tags(scene: Scene, things: list[Thing], rng: random.Random) -> str:
    """A list of key words, as images on the web have them."""
    words: list[str] = []
    for thing in things:
        if thing.kind == "sign":
            words += rng.choice(
                [
                    ["sign", thing.word],
                    ["text", thing.word],
                    ["sign", thing.word, SIGN_WORDS[thing.word]],
                ]
            )
            continue
        concept = CONCEPTS[thing.name]
        extra = rng.sample(
            [concept.category, concept.color, concept.trait], rng.choice([0, 0, 1, 2])
        )
        words += rng.choice([[thing.name, *extra], [*extra, thing.name]])
    grounds = list(dict.fromkeys(scene.backgrounds))
    words = [*grounds, *words] if rng.random() < 0.5 else [*words, *grounds]
    return f"{rng.choice(['tags', 'key words', 'seen here'])} : {' , '.join(words)} ."


def _one_sentence(scene: Scene, things: list[Thing], rng: random.Random) -> str:
    nouns = [_noun(t, rng) for t in things]
    listed = nouns[0] if len(nouns) == 1 else f"{' , '.join(nouns[:-1])} and {nouns[-1]}"
    top, bottom = scene.backgrounds
    ground = top if top == bottom else f"{top} and {bottom}"
    return rng.choice(
        [
            f"{listed} on {ground} .",
            f"a picture of {listed} , with {ground} behind .",
            f"{ground} with {listed} .",
            f"here we have {listed} . behind : {ground} .",
        ]
    )


def _sentences(scene: Scene, things: list[Thing], rng: random.Random) -> str:
    sentences = []
    for thing in things:
        noun, position = _noun(thing, rng), thing.position
        roll = rng.random() if thing.place_is_clear else 1.0
        if roll < 0.35:
            sentences.append(f"{noun} is at the {position} .")
        elif roll < 0.7:
            sentences.append(f"at the {position} there is {noun} .")
        elif roll < 0.85:
            sentences.append(f"{position} : {noun} .")
        else:
            sentences.append(f"there is {noun} .")
    for a, b in _some_pairs(things, rng, 1 if rng.random() < 0.6 else 0):
        sentences.append(f"the {a.phrase} is {relation(a, b)} the {b.phrase} .")
    if rng.random() < 0.25:
        n = len(things)
        sentences.append(
            f"there {'is' if n == 1 else 'are'} {NUMBERS[n]} thing{'s' if n > 1 else ''} ."
        )
    sentences.insert(rng.choice([0, len(sentences)]), _background(scene, rng))
    return " ".join(sentences)


def _some_pairs(things: list[Thing], rng: random.Random, n: int) -> list[tuple[Thing, Thing]]:
    pairs = [(a, b) for a in things for b in things if a is not b and relation(a, b)]
    return rng.sample(pairs, min(n, len(pairs)))
