"""What a text claims about a scene, sentence by sentence, and whether it is right.

The sentences are those that `captions` writes, and whatever has their form. Any other sentence is
not judged. Places and sides are judged as a person sees them, not to the pixel: see `Thing.places`
and `lies_to_side`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from llavit_lens.miniature.world.concepts import (
    BACKGROUNDS,
    CATEGORIES,
    COLORS,
    CONCEPTS,
    NUMBERS,
    POSITIONS,
    SIGN_WORDS,
)
from llavit_lens.miniature.world.relations import lies_to_side
from llavit_lens.miniature.world.scenes import Scene, Thing


@dataclass(frozen=True)
class Claim:
    """One sentence about a scene.

    Attributes:
        text: the sentence as it was written.
        right: whether it is true of the scene; None if it does not have a form that can be judged.
    """

    text: str
    right: bool | None


def claims(scene: Scene, text: str) -> list[Claim]:
    """The sentences of a text, each judged by the scene."""
    sentences = (sentence.strip() for sentence in re.split(r"(?<=[.!?])\s+", text))
    return [Claim(sentence, is_true(scene, sentence)) for sentence in sentences if sentence]


def unmentioned(scene: Scene, text: str) -> list[str]:
    """The things of a scene that a text does not name, in the words of `Thing.phrase`."""
    words = set(spaced(text).split())
    return [
        thing.phrase
        for thing in scene.things
        if (thing.word if thing.kind == "sign" else thing.name) not in words
    ]


def is_true(scene: Scene, sentence: str) -> bool | None:
    """Whether a sentence is true of a scene; None if it does not have the form of one of a caption.

    A thing counts as named if one thing of the scene has all that is said of it: name, size, color,
    category, trait and word. A list of words is right if each is true of some patch.
    """
    text = spaced(sentence).removesuffix(" .").strip()
    for pattern, judge in _FORMS:
        if (match := pattern.fullmatch(text)) is not None:
            return judge(scene, match)
    return None


def spaced(text: str) -> str:
    """Lowercase, with single spaces around words and punctuation, as the captions are."""
    return " ".join(re.sub(r"([.,:;?!()\"])", r" \1 ", text.lower()).split())


def named_thing(scene: Scene, phrase: str) -> Thing | None:
    """The thing of a scene that a phrase such as `dog` or `stop sign` names (`Thing.phrase`)."""
    return next((thing for thing in scene.things if thing.phrase == phrase), None)


# ---- noun phrases ----------------------------------------------------------------------------


def _any_of(words: Collection[str]) -> str:
    return f"(?:{'|'.join(sorted(map(re.escape, words), key=len, reverse=True))})"


_ARTICLE = "(?:a|an|some|the)"
_KIND, _CATEGORY = _any_of(set(SIGN_WORDS.values())), _any_of(CATEGORIES)
_NOUN = re.compile(
    rf"""
      {_ARTICLE}\ sign\ (?:with\ the\ text|that\ says)\ (?P<says>\w+)
    | the\ (?P<kind>{_KIND})\ (?P<of_kind>\w+)\ on\ a\ sign
    | {_ARTICLE}\ (?P<sign_kind>{_KIND})\ sign\ :\ (?P<sign_word>\w+)
    | the\ text\ (?P<text>\w+)
    | {_ARTICLE}\ (?P<color_1>{_any_of(COLORS)})\ (?P<category_1>{_CATEGORY})\ :
      \ {_ARTICLE}\ (?P<name_1>\w+)
    | {_ARTICLE}\ (?:(?P<size>small|large)\ )?(?:(?P<color>{_any_of(COLORS)})\ )?(?P<name>\w+)
      (?:\ ,\ {_ARTICLE}\ (?P<category>{_CATEGORY})(?=\ [,.)]|\ and\ |\ is\ |\ on\ |$)
       | \ \(\ (?P<category_2>\w+)\ ,\ (?P<trait>\w+)\ \))?
    """,
    re.VERBOSE,
)


def _is_named(scene: Scene, noun: str) -> bool | None:
    """Whether a noun phrase fits a thing of the scene; None: it is no noun phrase."""
    match = _NOUN.fullmatch(noun)
    return None if match is None else _fits(scene, match) is not None


def _fits(scene: Scene, noun: re.Match[str]) -> Thing | None:
    """The thing of the scene that has all that a noun phrase says."""
    said = {name: value for name, value in noun.groupdict().items() if value is not None}
    return next((thing for thing in scene.things if _has(thing, said)), None)


def _has(thing: Thing, said: dict[str, str]) -> bool:
    if thing.kind == "sign":
        kind, word = SIGN_WORDS[thing.word], thing.word
        own = {"says": word, "of_kind": word, "sign_word": word, "text": word}
        own |= {"kind": kind, "sign_kind": kind}
    else:
        concept = CONCEPTS[thing.name]
        own = {"size": thing.size, "trait": concept.trait}
        own |= dict.fromkeys(("name", "name_1"), concept.name)
        own |= dict.fromkeys(("color", "color_1"), concept.color)
        own |= dict.fromkeys(("category", "category_1", "category_2"), concept.category)
    return all(own.get(name) == value for name, value in said.items())


def _nouns(text: str) -> list[re.Match[str]] | None:
    """The noun phrases of a list such as `a dog , a cat and a sign that says go`."""
    found, start = [], 0
    while (match := _NOUN.match(text, start)) is not None:
        found.append(match)
        if match.end() == len(text):
            return found
        joint = re.compile(" , | and ").match(text, match.end())
        if joint is None:
            return None
        start = joint.end()
    return None


# ---- sentences -------------------------------------------------------------------------------


def _exists(scene: Scene, match: re.Match[str]) -> bool | None:
    return _is_named(scene, match["noun"])


def _is_at(scene: Scene, match: re.Match[str]) -> bool | None:
    if (noun := _NOUN.fullmatch(match["noun"])) is None:
        return None
    thing = _fits(scene, noun)
    return thing is not None and match["place"] in thing.places


def _relates(scene: Scene, match: re.Match[str]) -> bool:
    a, b = named_thing(scene, match["a"]), named_thing(scene, match["b"])
    return a is not None and b is not None and a is not b and lies_to_side(a, b, match["how"])


def _counts(scene: Scene, match: re.Match[str]) -> bool:
    return match["number"] == NUMBERS[len(scene.things)]


def _is_ground(scene: Scene, match: re.Match[str]) -> bool:
    """One background, or one above and one below."""
    top = match["top"]
    return scene.backgrounds == (top, match.groupdict().get("bottom") or top)


def _are_tags(scene: Scene, match: re.Match[str]) -> bool:
    true = {*scene.backgrounds}.union(*(thing.words for thing in scene.things))
    return true.issuperset(match["tags"].split(" , "))


def _lists(scene: Scene, match: re.Match[str]) -> bool | None:
    """Things, and perhaps the backgrounds behind them."""
    nouns, ground = _nouns(match["listed"]), match.groupdict().get("ground")
    if nouns is None:
        return None
    is_there = ground is None or set(ground.split(" and ")) == {*scene.backgrounds}
    return is_there and all(_fits(scene, noun) is not None for noun in nouns)


def _lie_behind(scene: Scene, match: re.Match[str]) -> bool:
    return set(match["ground"].split(" and ")) == {*scene.backgrounds}


_PLACE = f"(?P<place>{_any_of([place for row in POSITIONS for place in row])})"
_TOP, _BOTTOM = (f"(?P<{name}>{_any_of(BACKGROUNDS)})" for name in ("top", "bottom"))
_GROUND = f"(?P<ground>{_any_of(BACKGROUNDS)}(?: and {_any_of(BACKGROUNDS)})?)"
_IMAGE = "(?:picture|image)"
_FORMS = [
    (re.compile(pattern), judge)
    for pattern, judge in (
        (rf"the background is {_TOP}(?: above {_BOTTOM})?", _is_ground),
        (rf"everything is on {_TOP}", _is_ground),
        (rf"{_TOP} is all around", _is_ground),
        (rf"there is {_TOP} at the top and {_BOTTOM} at the bottom", _is_ground),
        (rf"{_BOTTOM} lies below the {_TOP}", _is_ground),
        (r"there (?:is|are) (?P<number>\w+) things?", _counts),
        (r"the (?P<a>[\w ]+) is (?P<how>left of|right of|above|below) the (?P<b>[\w ]+)", _relates),
        (rf"(?P<noun>.+) is at the {_PLACE}", _is_at),
        (rf"at the {_PLACE} there is (?P<noun>.+)", _is_at),
        (rf"{_PLACE} : (?P<noun>.+)", _is_at),
        (r"there is (?P<noun>.+)", _exists),
        (r"(?:tags|key words|seen here) : (?P<tags>\w+(?: , \w+)*)", _are_tags),
        (rf"a {_IMAGE} of (?P<listed>.+) , with {_GROUND} behind", _lists),
        (r"here we have (?P<listed>.+)", _lists),
        (rf"behind : {_GROUND}", _lie_behind),
        (rf"{_GROUND} with (?P<listed>.+)", _lists),
        (rf"(?P<listed>.+) on {_GROUND}", _lists),
    )
]
"""The forms of sentences; the first that fits decides."""
