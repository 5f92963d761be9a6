"""What a text claims about a scene, sentence by sentence, and whether it is right.

The sentences are those that `captions` writes, and whatever has their form. Any other sentence is
not judged, and neither is one with a noun that this world does not know. Places and sides are
judged as a person sees them, not to the pixel: see `Thing.places` and `lies_to_side`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from llavit_lens.miniature.world.concepts import (
    BACKGROUNDS,
    CATEGORIES,
    COLORS,
    CONCEPTS,
    NUMBERS,
    POSITIONS,
    SIGN_WORDS,
    TRAITS,
)
from llavit_lens.miniature.world.relations import lies_to_side
from llavit_lens.miniature.world.scenes import Scene, Thing

ALSO_CALLED = {"taxi": "car", "palm": "tree", "rose": "flower"}
"""Things that are also called by the name of another thing of this world."""


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
    """The things of a scene that a text does not name, in the words of `Thing.phrase`.

    The only sign may be named "sign".
    """
    words = set(spaced(text).split())
    if "sign" in words and len(scene.signs) == 1:
        words.add(scene.signs[0].word)
    return [
        thing.phrase
        for thing in scene.things
        if (thing.word if thing.kind == "sign" else thing.name) not in words
    ]


def is_true(scene: Scene, sentence: str) -> bool | None:
    """Whether a sentence is true of a scene; None if it does not have the form of one of a caption,
    or says something that the truth of a scene does not cover.

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
    | {_ARTICLE}\ (?P<sign_phrase>{_any_of(SIGN_WORDS)}|{_KIND})\ sign
    | the\ text\ (?P<text>\w+)
    | {_ARTICLE}\ (?P<color_1>{_any_of(COLORS)})\ (?P<category_1>{_CATEGORY})\ :
      \ {_ARTICLE}\ (?P<name_1>\w+)
    | {_ARTICLE}\ (?:(?P<size>small|large)\ )?(?:(?P<color>{_any_of(COLORS)})\ )?(?P<name>\w+)
      (?:\ ,\ {_ARTICLE}\ (?P<category>{_CATEGORY})(?=\ [,.)]|\ and\ |\ is\ |\ on\ |$)
       | \ \(\ (?P<category_2>\w+)\ ,\ (?P<trait>\w+)\ \))?
    """,
    re.VERBOSE,
)


_NAMES_OF_SIGNS = frozenset({"sign", "text"})
_KNOWN = {
    "name": {*CONCEPTS, *CATEGORIES, *_NAMES_OF_SIGNS},
    "name_1": {*CONCEPTS},
    "category_2": {*CATEGORIES},
    "trait": {*TRAITS},
}
"""The words that the truth covers, where a noun phrase may have any word."""


def _said(noun: re.Match[str]) -> dict[str, str]:
    return {name: value for name, value in noun.groupdict().items() if value is not None}


def _fitting(scene: Scene, noun: re.Match[str]) -> list[Thing]:
    """The things of the scene that have all that a noun phrase says."""
    return [thing for thing in scene.things if _has(thing, _said(noun))]


def _is_covered(noun: re.Match[str]) -> bool:
    """Whether the truth of a scene can say that nothing fits a noun phrase.

    Of signs it knows the words, but not what size or color a person sees.
    """
    said = _said(noun)
    if said.get("name") in _NAMES_OF_SIGNS and len(said) > 1:
        return False
    return all(said[name] in known for name, known in _KNOWN.items() if name in said)


def _is_there(scene: Scene, noun: re.Match[str]) -> bool | None:
    """Whether a noun phrase fits a thing of the scene; None: the truth does not cover it."""
    if _fitting(scene, noun):
        return True
    return False if _is_covered(noun) else None


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    """Wrong if one part is, else not judged if one part is not."""
    each = list(verdicts)
    return False if False in each else None if None in each else True


def _has(thing: Thing, said: dict[str, str]) -> bool:
    own: dict[str, Collection[str]]
    if thing.kind == "sign":
        kind, word = {SIGN_WORDS[thing.word]}, {thing.word}
        own = {"says": word, "of_kind": word, "sign_word": word, "text": word}
        own |= {"kind": kind, "sign_kind": kind, "sign_phrase": kind | word}
        own |= {"name": _NAMES_OF_SIGNS, "color": {"white"}}  # its board
    else:
        concept = CONCEPTS[thing.name]
        own = {"size": {thing.size}, "trait": {concept.trait}}
        names = {concept.name, ALSO_CALLED.get(concept.name, concept.name)}
        own |= {"name": names | {concept.category}, "name_1": names}
        own |= dict.fromkeys(("color", "color_1"), (concept.color,))
        own |= dict.fromkeys(("category", "category_1", "category_2"), (concept.category,))
    return all(value in own.get(name, ()) for name, value in said.items())


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
    noun = _NOUN.fullmatch(match["noun"])
    return None if noun is None else _is_there(scene, noun)


def _is_at(scene: Scene, match: re.Match[str]) -> bool | None:
    if (noun := _NOUN.fullmatch(match["noun"])) is None:
        return None
    if any(match["place"] in thing.places for thing in _fitting(scene, noun)):
        return True
    return False if _is_covered(noun) else None


def _relates(scene: Scene, match: re.Match[str]) -> bool | None:
    nouns = [_NOUN.fullmatch(f"the {match[side]}") for side in "ab"]
    covered = [noun for noun in nouns if noun is not None and _is_covered(noun)]
    if len(covered) < len(nouns):
        return None
    first, second = (_fitting(scene, noun) for noun in covered)
    return any(lies_to_side(a, b, match["how"]) for a in first for b in second if a is not b)


def _counts(scene: Scene, match: re.Match[str]) -> bool | None:
    number, count = match["number"], len(scene.things)
    if number.isdecimal():
        return int(number) == count
    return number == NUMBERS[count] if number in NUMBERS else None


def _is_ground(scene: Scene, match: re.Match[str]) -> bool:
    """One background, or one above and one below."""
    top = match["top"]
    return scene.backgrounds == (top, match.groupdict().get("bottom") or top)


def _are_tags(scene: Scene, match: re.Match[str]) -> bool | None:
    true = {*scene.backgrounds}.union(*(thing.words for thing in scene.things))
    true |= {ALSO_CALLED[word] for word in true & ALSO_CALLED.keys()}
    if scene.signs:
        true.add("white")  # their boards
    return _all(
        True if tag in true else False if tag in _TAGS else None
        for tag in match["tags"].split(" , ")
    )


def _lists(scene: Scene, match: re.Match[str]) -> bool | None:
    """Things, and perhaps the backgrounds behind them."""
    nouns = _nouns(match["listed"])
    if nouns is None:
        return None
    verdicts = [_is_there(scene, noun) for noun in nouns]
    if match.groupdict().get("ground") is not None:
        verdicts.append(_lie_behind(scene, match))
    return _all(verdicts)


def _lie_behind(scene: Scene, match: re.Match[str]) -> bool | None:
    """Not judged if the scene has one more: it may be behind other things."""
    said, true = {*match["ground"].split(" and ")}, {*scene.backgrounds}
    return True if said == true else None if said < true else False


_TAGS = {"sign", "text", *CONCEPTS, *CATEGORIES, *COLORS, *TRAITS, *BACKGROUNDS}
_TAGS |= {*SIGN_WORDS, *SIGN_WORDS.values()}
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
