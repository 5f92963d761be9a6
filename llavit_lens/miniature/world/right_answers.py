"""The right answers to a question about a scene: the templates of `questions`, read backwards.

A question that a person types may have another form, or presuppose what is not there; the truth of
a scene does not cover it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

from llavit_lens.miniature.world.claims import ALSO_CALLED, named_thing, spaced
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
from llavit_lens.miniature.world.relations import lies_to_side, relation
from llavit_lens.miniature.world.scenes import Scene, Thing


def right_answers(scene: Scene, question: str) -> tuple[str, ...]:
    """Every answer of one word that is right, the best one first; empty if the truth of the scene
    does not cover the question."""
    text = _plain(question)
    for pattern, answer in _FORMS:
        if (match := pattern.fullmatch(text)) is not None:
            return tuple(dict.fromkeys(answer(scene, match)))
    return ()


def true_besides(scene: Scene, question: str) -> frozenset[str]:
    """Words that are true of what a question is about, though they are not what it asks for: of
    "what is at the top ?" the color and kind of the things there, and the background."""
    if (match := _WHAT_THING.fullmatch(_plain(question))) is None:
        return frozenset()
    return frozenset(scene.backgrounds).union(*(t.words for t in _where(scene, match)))


def is_right(answer: str, right: Iterable[str], unsure: Collection[str] = ()) -> bool | None:
    """Whether a model's answer is one of the right ones; None if that is not sure: it is more than
    one word, or no word of this world, or one of `unsure`.

    Case and punctuation do not count, and neither does "at the" in front, or what follows "yes," or
    "no,". Numbers may be digits.
    """
    head, _ = split_yes_or_no(answer)
    words = re.sub(r"[.,;:!\"']", " ", head.lower()).split()
    while words and words[0] in _LEADING:
        words = words[1:]
    if len(words) == 2 and "-".join(words) in _PLACES:  # bottom right
        words = ["-".join(words)]
    if len(words) != 1:
        return None
    (word,) = words
    allowed = set(right)
    if word in {ALSO_CALLED.get(each) for each in allowed}:
        return True
    if word.isdecimal() and int(word) < len(NUMBERS) and NUMBERS[int(word)] in allowed:
        return True
    if word in allowed:
        return True
    is_yes_or_no, asks_yes_or_no = word in _YES_OR_NO, bool(allowed & _YES_OR_NO)
    is_known = word in _WORDS or word.isdecimal()
    return False if is_known and word not in unsure and is_yes_or_no == asks_yes_or_no else None


def split_yes_or_no(answer: str) -> tuple[str, str]:
    """An answer such as "Yes, there is a dog." as "Yes," and the rest; any other has no rest."""
    match = re.match(r"\s*(?:yes|no)\s*[.,;:!]+(?=\s)", answer, re.IGNORECASE)
    if match is None:
        return answer, ""
    return match[0].strip(), answer[match.end() :].strip()


def _plain(question: str) -> str:
    return spaced(question).replace("image", "picture").removesuffix("?").strip()


_YES_OR_NO = frozenset({"yes", "no"})
_LEADING = frozenset({"at", "in", "on", "the", "a", "an", "some"})
_PLACES = frozenset(place for row in POSITIONS for place in row)
_WORDS = _YES_OR_NO | _PLACES | {"sign", "text", *NUMBERS, *SIGN_WORDS, *SIGN_WORDS.values()}
_WORDS |= {*CONCEPTS, *CATEGORIES, *COLORS, *TRAITS, *BACKGROUNDS}
"""The words of answers in this world. Another word may be another name of what is right."""


_Answers = Iterable[str]


def _yes(holds: bool) -> _Answers:
    return ["yes" if holds else "no"]


def _number(count: int) -> _Answers:
    return [NUMBERS[count]]


def _own_words(things: Iterable[Thing]) -> _Answers:
    """The names of objects, and the words on signs."""
    return [thing.word if thing.kind == "sign" else thing.name for thing in things]


# ---- which things a question is about --------------------------------------------------------


def _at(scene: Scene, place: str) -> list[Thing]:
    """Those whose center is in this ninth first, then those at its edge."""
    there = [thing for thing in scene.things if place in thing.places]
    return sorted(there, key=lambda thing: thing.position != place)


def _beside(scene: Scene, how: str, phrase: str) -> list[Thing]:
    """Those that lie clearly so to the thing of this phrase first, then those that a person may see
    so."""
    if (other := named_thing(scene, phrase)) is None:
        return []
    rest = [thing for thing in scene.things if thing is not other]
    there = [t for t in rest if relation(t, other) == how or lies_to_side(t, other, how)]
    return sorted(there, key=lambda thing: relation(thing, other) != how)


def _where(scene: Scene, match: re.Match[str]) -> list[Thing]:
    """The things at a place or on a side of another thing."""
    if match["place"] is not None:
        return _at(scene, match["place"])
    return _beside(scene, match["how"], match["other"])


def _objects(things: Iterable[Thing]) -> list[Thing]:
    return [thing for thing in things if thing.kind == "object"]


def _signs(things: Iterable[Thing]) -> list[Thing]:
    return [thing for thing in things if thing.kind == "sign"]


# ---- the forms -------------------------------------------------------------------------------


def _position(scene: Scene, match: re.Match[str]) -> _Answers:
    thing = named_thing(scene, match["thing"])
    return [] if thing is None else [thing.position, *sorted(thing.places)]


def _larger(scene: Scene, match: re.Match[str]) -> _Answers:
    a, b = named_thing(scene, match["a"]), named_thing(scene, match["b"])
    if a is None or b is None or {a.size, b.size} != {"small", "large"}:
        return []
    return [a.name if a.size == "large" else b.name]


def _is_relation(scene: Scene, match: re.Match[str]) -> _Answers:
    a, b = named_thing(scene, match["a"]), named_thing(scene, match["b"])
    if a is None or b is None or a is b:
        return []
    return _yes(lies_to_side(a, b, match["how"]))


def _things_there(scene: Scene, match: re.Match[str]) -> _Answers:
    there = _where(scene, match)
    return [*_own_words(there), *(["sign"] if _signs(there) else [])]


def _words_there(scene: Scene, match: re.Match[str]) -> _Answers:
    return _own_words(_signs(_where(scene, match)))


def _fact(field: str) -> Callable[[Scene, re.Match[str]], _Answers]:
    def answer(scene: Scene, match: re.Match[str]) -> _Answers:
        objects = _objects(_where(scene, match))
        return [getattr(CONCEPTS[thing.name], field) for thing in objects]

    return answer


def _with(scene: Scene, field: str, value: str) -> list[Thing]:
    return [t for t in scene.objects if getattr(CONCEPTS[t.name], field) == value]


def _background(scene: Scene, match: re.Match[str]) -> _Answers:
    top, bottom = scene.backgrounds
    return [bottom if match["half"] == "bottom" else top] if match["half"] or top == bottom else []


def _behind(scene: Scene, match: re.Match[str]) -> _Answers:
    """The background that lies behind all of a thing, or both of them."""
    if (thing := named_thing(scene, match["thing"])) is None:
        return []
    top, bottom = scene.backgrounds
    if thing.y + thing.height // 2 <= scene.horizon:
        return [top]
    return [bottom] if thing.y - thing.height // 2 >= scene.horizon else [top, bottom]


def _is_there(scene: Scene, match: re.Match[str]) -> _Answers:
    noun = match["noun"]
    if noun in CATEGORIES:
        return _yes(bool(_with(scene, "category", noun)))
    if noun == "sign":
        return _yes(bool(scene.signs))
    if noun not in CONCEPTS:
        return []
    if named_thing(scene, noun) is None and noun in {ALSO_CALLED.get(t.name) for t in scene.things}:
        return ["no", "yes"]  # a taxi is a car, though another thing of this world
    return _yes(named_thing(scene, noun) is not None)


def _count_of(scene: Scene, match: re.Match[str]) -> _Answers:
    kind, color = match["kind"], match["color"]
    if color == "white" and scene.signs:  # their boards are white too
        return []
    if kind is not None:
        return _number(len(_with(scene, "category", kind)))
    return _number(len(_with(scene, "color", color)))


def _any_of(words: Iterable[str]) -> str:
    return f"(?:{'|'.join(sorted(words))})"


_HOW = "(?P<how>left of|right of|above|below)"
_PHRASE = r"[\w ]+"
_THERE = rf"(?:at the (?P<place>[\w-]+)|{_HOW} the (?P<other>{_PHRASE}))"
_KIND = f"(?P<kind>{_any_of(set(SIGN_WORDS.values()))})"
_CATEGORY, _COLOR = f"(?P<kind>{_any_of(CATEGORIES)})", f"(?P<color>{_any_of(COLORS)})"
_WHAT_THING = re.compile(rf"what (?:kind of thing )?is {_THERE}")
_FORMS: list[tuple[re.Pattern[str], Callable[[Scene, re.Match[str]], _Answers]]] = [
    (re.compile(pattern), answer)
    for pattern, answer in (
        (rf"where is the (?P<thing>{_PHRASE})", _position),
        (rf"which is larger , the (?P<a>{_PHRASE}) or the (?P<b>{_PHRASE})", _larger),
        (rf"what is {_THERE}", _things_there),
        (rf"is the (?P<a>{_PHRASE}) {_HOW} the (?P<b>{_PHRASE})", _is_relation),
        (r"how many things are there", lambda scene, _: _number(len(scene.things))),
        (r"how many signs are there", lambda scene, _: _number(len(scene.signs))),
        (rf"how many things are (?:of the kind {_CATEGORY}|{_COLOR})", _count_of),
        (r"what does the sign say", lambda scene, _: _own_words(scene.signs)),
        (
            r"what does the sign at the (?P<place>[\w-]+)(?P<how>)(?P<other>) say",
            _words_there,
        ),
        (
            rf"which {_KIND} is on a sign",
            lambda scene, match: [
                sign.word for sign in scene.signs if SIGN_WORDS[sign.word] == match["kind"]
            ],
        ),
        (
            r"what kind of word is at the (?P<place>[\w-]+)(?P<how>)(?P<other>)",
            lambda scene, match: [SIGN_WORDS[word] for word in _words_there(scene, match)],
        ),
        (rf"which word is {_THERE}", _words_there),
        (
            r"does a sign say (?P<word>\w+)",
            lambda scene, match: _yes(match["word"] in {sign.word for sign in scene.signs}),
        ),
        (rf"what kind of thing is {_THERE}", _fact("category")),
        (rf"what color is the thing {_THERE}", _fact("color")),
        (rf"what goes with the thing {_THERE}", _fact("trait")),
        (
            r"which thing goes with (?P<trait>\w+)",
            lambda scene, match: _own_words(_with(scene, "trait", match["trait"])),
        ),
        (
            r"does anything go with (?P<trait>\w+)",
            lambda scene, match: _yes(bool(_with(scene, "trait", match["trait"]))),
        ),
        (r"is there (?:a|an|any) (?P<noun>\w+)(?: in the picture)?", _is_there),
        (
            rf"which {_CATEGORY} is in the picture",
            lambda scene, match: _own_words(_with(scene, "category", match["kind"])),
        ),
        (r"what is the background(?: at the (?P<half>top|bottom))?", _background),
        (rf"what is behind the (?P<thing>{_PHRASE})", _behind),
    )
]
"""The forms of questions; the first that fits decides."""
