"""Ordinary text for pretraining the miniature language model: short passages and questions.

The passages are about everything but the emoji scenes, and nearly every question can be answered
only by reading its passage: each holds several candidates of the right type.  The words come from
``assets/lexicon.json`` (topic -> words); the wording comes from the tables below.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from random import Random

Turns = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Document:
    """A passage (may be empty: world knowledge) and its (question, answer) turns (may be none)."""

    context: str
    turns: Turns = ()


_NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve"
NUMBERS = tuple(_NUMBER_WORDS.split())
_GRAMMAR_WORDS = """
a about above after again an and are as because before belongs below bigger biggest born
but by called code comes contains costs did do does down drink drinks drive drives eat
eats everyone faster fastest felt first for from full gave go goes has have heavier
heaviest home how in is it its keep keeps key kind last left lighter lightest like likes
list live lives made many more most no nobody not number of often older oldest on once
or order other owner picked play plays poorer poorest price put richer richest right
said same saw say score scored see seen shorter shortest slower slowest smaller smallest
some song speak speaks studies study tags talk talked taller tallest than that the them
then there these they thing things this times to took under up was we wear wears
went what when where which who whose with word words work works yes you younger youngest
"""
FUNCTION_WORDS: tuple[str, ...] = (".", ",", "?", ":", *NUMBERS, *_GRAMMAR_WORDS.split())

_GROUPS: dict[str, dict[str, list[str]]] = json.loads(
    resources.files("llavit_lens").joinpath("assets/lexicon.json").read_text(encoding="utf-8")
)
LEXICON: dict[str, list[str]] = {t: ws for topics in _GROUPS.values() for t, ws in topics.items()}
_KINDS, _FIELDS = _GROUPS["kinds"], _GROUPS["fields"]
_TOPIC_OF = {w: t for topics in (_KINDS, _FIELDS) for t, ws in topics.items() for w in ws}


def lexicon_words() -> list[str]:
    """All distinct content words, sorted: the words of every topic and the names of the topics."""
    labels = [*_KINDS, *_FIELDS]
    return sorted({w for words in LEXICON.values() for w in words} | set(labels))


def _pool(*topics: str) -> tuple[str, ...]:
    return tuple(w for topic in topics for w in LEXICON[topic])


_THING_TOPICS = (
    "utensil garment instrument fruit vegetable dish tool vehicle toy weapon shape container "
    "document device furniture mineral flower"
)
# A slot of a template is an upper-case word; it stands for any word of its pool.
POOLS: dict[str, tuple[str, ...]] = {
    "NAME": _pool("name"),
    "JOB": _pool("occupation"),
    "PLACE": _pool("room", "building", "landform"),
    "TOWN": _pool("city", "country"),
    "THING": _pool(*_THING_TOPICS.split()),
    "ANIMAL": _pool("mammal", "bird", "fish", "insect", "reptile"),
    "FOOD": _pool("fruit", "vegetable", "dish", "food", "spice"),
    "DRINK": _pool("drink"),
    "STUFF": _pool("material", "metal", "fabric", "tree", "element"),
    "VEHICLE": _pool("vehicle"),
    "GARMENT": _pool("garment"),
    "INSTRUMENT": _pool("instrument"),
    "BOX": _pool("container"),
    "SCIENCE": _pool("science"),
    "LANGUAGE": _pool("language"),
    "GAME": _pool("game", "sport"),
    "GENRE": _pool("genre"),
    "EMOTION": _pool("emotion"),
    "MONTH": _pool("month"),
    "DAY": _pool("weekday"),
    "NUMBER": NUMBERS,
    "VERB": _pool("base verb"),
    "DID": _pool("past verb"),
    "ADVERB": _pool("adverb"),
    "NATURE": _pool("character adjective"),
    "QUALITY": _pool("quality adjective", "size adjective"),
    "RANK": _pool("sequence adjective", "place adjective"),
    "COLOR": _pool("color"),
    "IDEA": _pool("abstract noun", "thought", "emotion"),
    "NOUN": tuple(_TOPIC_OF),
    "WORD": _pool(*LEXICON),
}

# (statement, paraphrase, subject slot, value slot, question about the value, about the subject)
RELATIONS: tuple[tuple[str, str, str, str, str, str], ...] = tuple(
    (a, b, s, v, f"{p} ?", f"{q} ?")
    for a, b, s, v, p, q in (
        row.split(" | ")
        for row in """
S likes to V | it is S who likes to V | NAME | VERB | what does S like to do | who likes to V
S lives in V | V is where S lives | NAME | TOWN | where does S live | who lives in V
S speaks V | V is the language of S | NAME | LANGUAGE | what does S speak | who speaks V
S plays the V | the V is for S | NAME | INSTRUMENT | what does S play | who plays the V
S likes V | V is the game of S | NAME | GAME | what does S like | who likes V
S studies V | V is the work of S | NAME | SCIENCE | what does S study | who studies V
S wears the V | the V is on S | NAME | GARMENT | what does S wear | who wears the V
S eats V | there is V on the plate of S | NAME | FOOD | what does S eat | who eats V
S drinks V | there is V in the cup of S | NAME | DRINK | what does S drink | who drinks V
S drives the V | the V is for S | NAME | VEHICLE | what does S drive | who drives the V
S works as the V | the V is called S | NAME | JOB | what is the job of S | who is the V
S was born in V | in V was born S | NAME | MONTH | when was S born | who was born in V
S comes on V | on V comes S | NAME | DAY | when comes S | who comes on V
S is full of V | there is V in S | NAME | EMOTION | what is S full of | who is full of V
S is V | V is what they called S | NAME | NATURE | what is S like | who is V
S has the V | the V belongs to S | NAME | THING | what does S have | who has the V
S keeps the V | the V lives with S | NAME | ANIMAL | what does S keep | who keeps the V
S talked about V | V is what S talked about | NAME | IDEA | what did S talk about | whose word was V
the S is made of V | V is in the S | THING | STUFF | what is the S made of | what is made of V
the S is V | V is how the S is | THING | QUALITY | what is the S like | which thing is V
the S is V | V is the color of the S | THING | COLOR | what color is the S | which thing is V
the S is in the V | the V contains the S | THING | PLACE | where is the S | what is in the V
the S costs V | V is the price of the S | THING | NUMBER | price of the S | what costs V
the S saw the V | the V was seen by the S | ANIMAL | THING | what did the S see | who saw the V
the S comes from V | V is the home of the S | ANIMAL | TOWN | where is the S from | what is from V
the S goes to the V | to the V goes the S | JOB | PLACE | where does the S go | who goes to the V
the code of S : V | V : the code of S | TOWN | NUMBER | code of S | code V is for
the number of S : V | number V : S | NAME | NUMBER | number of S | whose number is V
S : V | V for S | WORD | WORD | S is | V is for
the key for the S : V | V : key for the S | PLACE | WORD | what is the key for the S | key V is for
the owner of the S : V | owner V : the S | THING | NAME | owner of the S | what belongs to V
""".strip().splitlines()
    )
)

# (comparative, its inverse, superlative, inverse superlative)
SCALES = tuple(
    tuple(row.split())
    for row in (
        "bigger smaller biggest smallest",
        "taller shorter tallest shortest",
        "older younger oldest youngest",
        "faster slower fastest slowest",
        "heavier lighter heaviest lightest",
        "richer poorer richest poorest",
    )
)
# relation -> (axis, inverse)
SIDES = {
    "left of": ("x", "right of"),
    "right of": ("x", "left of"),
    "above": ("y", "below"),
    "below": ("y", "above"),
}
LIST_HEADS = (
    "things in the BOX : ITEMS .",
    "in the BOX there are ITEMS .",
    "tags : ITEMS .",
    "the list of NAME : ITEMS .",
    "NAME saw these things in order : ITEMS .",
    "the JOB put them in the PLACE in this order : ITEMS .",
    "words for DAY : ITEMS .",
)
# TOPIC: a word of the topic of the passage; LABEL: the name of that topic.
PROSE = (
    "NAME likes to VERB and to VERB in the PLACE .",
    "the QUALITY THING was DID by nobody .",
    "the JOB ADVERB DID the QUALITY THING .",
    "the RANK JOB of TOWN DID the THING and went to the PLACE .",
    "in MONTH they VERB ADVERB .",
    "IDEA and IDEA are not the same thing .",
    "the IDEA of the ANIMAL is in its IDEA .",
    "NAME felt EMOTION because the NATURE JOB DID the THING .",
    "there is a book about TOPIC and TOPIC in the library .",
    "everyone in TOWN talked about TOPIC .",
    "what is TOPIC ? it is a word of LABEL , like TOPIC and TOPIC .",
    "some words of LABEL are TOPIC , TOPIC and TOPIC .",
    "the JOB said that TOPIC is often QUALITY .",
    "on DAY we VERB , but on DAY we VERB .",
    "the RANK TOPIC is more QUALITY than the TOPIC .",
    "NAME ADVERB talked about TOPIC with the NATURE JOB .",
    "the ANIMAL and the ANIMAL VERB under the QUALITY THING .",
    "before NAME went to TOWN , the JOB DID the COLOR THING .",
    "the song was GENRE , with a INSTRUMENT and a INSTRUMENT .",
    "NAME gave some FOOD to the QUALITY ANIMAL .",
    "do not VERB when you VERB .",
    "the QUALITY STUFF of the THING is ADVERB QUALITY .",
    "SCIENCE is a kind of science , and GAME is not .",
)


def _sample(rng: Random, slot: str, n: int) -> list[str]:
    return rng.sample(POOLS[slot], min(n, len(POOLS[slot])))


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _fill(rng: Random, template: str, **own: Sequence[str]) -> str:
    """Replace each slot by a random word of its pool (of ``own`` first), with the right article."""
    words: list[str] = []
    for token in template.split():
        pool = own.get(token) or POOLS.get(token)
        word = rng.choice(pool) if pool else token
        if pool and words and words[-1] == "a":
            words[-1:] = _article(word).split()
        else:
            words.append(word)
    return " ".join(words)


def _put(template: str, subject: str, value: str) -> str:
    pair = {"S": subject, "V": value}
    return " ".join(pair.get(token, token) for token in template.split())


def _some(rng: Random, turns: Sequence[tuple[str, str]], most: int = 4) -> Turns:
    return tuple(rng.sample(turns, min(len(turns), rng.randint(1, most))))


def _yes_no(rng: Random, true: str, false: str) -> tuple[str, str]:
    """One of two questions, with its answer: yes as often as no."""
    return (true, "yes") if rng.random() < 0.5 else (false, "no")


def story(rng: Random) -> Document:
    """People move, take, drop and give things; the last event counts."""
    people, things = _sample(rng, "NAME", rng.randint(2, 4)), _sample(rng, "THING", 3)
    places = _sample(rng, "PLACE", 3)
    at = dict(zip(people, rng.choices(places, k=len(people)), strict=True))
    holder: dict[str, str] = {}
    lying: dict[str, str] = {}
    sentences = [f"{who} {rng.choice(('is in', 'went to'))} the {at[who]}" for who in people]
    actor = ""
    for _ in range(rng.randint(3, 5)):
        who = rng.choice(people)
        held = [thing for thing in things if holder.get(thing) == who]
        free = [thing for thing in things if thing not in holder]
        act = rng.random()
        if held and act < 0.3:
            thing, to = held[0], rng.choice([p for p in people if p != who])
            # The receiver comes along, so that the thing is always where its holder is.
            holder[thing], at[to] = to, at[who]
            event = f"gave the {thing} to {to} in the {at[who]}"
        elif held and act < 0.5:
            thing = held[-1]
            lying[thing] = at[who]
            del holder[thing]
            event = rng.choice(("put down the {}", "dropped the {}")).format(thing)
        elif free and act < 0.75:
            thing = rng.choice(free)
            # Whoever takes a thing that lies somewhere has to be there.
            prefix = ""
            if lying.get(thing, at[who]) != at[who]:
                at[who] = lying[thing]
                prefix = f"went to the {at[who]} and "
            holder[thing] = who
            event = prefix + rng.choice(("picked up the {}", "took the {}")).format(thing)
        else:
            at[who] = rng.choice([place for place in places if place != at[who]])
            event = f"went to the {at[who]}"
        if who == actor:
            sentences[-1] += f" and {event}"
        else:
            sentences.append(f"{who} {event}")
        actor = who
    turns = [(f"where is {who} ?", at[who]) for who in people]
    turns += [(f"who has the {thing} ?", who) for thing, who in holder.items()] * 2
    turns += [(f"where is the {thing} ?", at[who]) for thing, who in holder.items()]
    turns += [(f"where is the {t} ?", at_) for t, at_ in lying.items() if t not in holder]
    for who in people:
        held = [thing for thing, p in holder.items() if p == who]
        if len(held) == 1 and len(holder) > 1:
            turns.append((f"what does {who} have ?", held[0]))
        elif holder and rng.random() < 0.3:  # else most counts would be zero
            turns.append((f"how many things does {who} have ?", NUMBERS[len(held)]))
    return Document(" . ".join(sentences) + " .", tuple(dict.fromkeys(_some(rng, turns))))


def facts(rng: Random) -> Document:
    """One or two relations between several subjects and values, asked in both directions."""
    sentences, turns = [], []
    relations = rng.sample(RELATIONS, rng.randint(1, 2))
    for form, other, subject, value, ask_value, ask_subject in relations:
        n = rng.randint(2, 3) + (len(relations) == 1)
        subjects = _sample(rng, subject, n)
        values = [v for v in _sample(rng, value, 2 * n) if v not in subjects][:n]
        for s, v in zip(subjects, values, strict=True):
            sentences.append(_put(form if rng.random() < 0.6 else other, s, v))
            turns += [(_put(ask_value, s, v), v), (_put(ask_subject, s, v), s)]
    rng.shuffle(sentences)
    return Document(" . ".join(sentences) + " .", _some(rng, turns))


def attributes(rng: Random) -> Document:
    """Things told apart by one word, each with a quality."""
    n = rng.randint(3, 4)
    thing = rng.choice(POOLS["THING"])
    marks = _sample(rng, rng.choice(("STUFF", "COLOR", "QUALITY", "RANK")), n)
    qualities = [q for q in _sample(rng, "QUALITY", 2 * n) if q not in marks][:n]
    wordings = ("the {} {} is {}", "there is the {} {} and it is {}", "they called the {} {} {}")
    sentences, turns = [], []
    for i, (mark, quality) in enumerate(zip(marks, qualities, strict=True)):
        sentences.append(rng.choice(wordings).format(mark, thing, quality))
        turns.append((f"which {thing} is {quality} ?", f"the {mark} {thing}"))
        turns.append((f"what is the {mark} {thing} like ?", quality))
        wrong = qualities[i - 1]
        true, false = (f"is the {mark} {thing} {q} ?" for q in (quality, wrong))
        turns.append(_yes_no(rng, true, false))
    rng.shuffle(sentences)
    return Document(" . ".join(sentences) + " .", _some(rng, turns))


def placing(rng: Random) -> Document:
    """Things beside, above and below each other; no two links of one thing share an axis."""
    things = _sample(rng, rng.choice(("THING", "ANIMAL", "THING")), rng.randint(3, 5))
    axes: dict[str, set[str]] = {things[0]: set()}
    sentences, turns = [], []
    links: dict[str, list[str]] = {thing: [] for thing in things}
    for new in things[1:]:
        old, side = rng.choice([(o, s) for o in axes for s in SIDES if SIDES[s][0] not in axes[o]])
        axis, inverse = SIDES[side]
        axes[old].add(axis)
        axes[new] = {axis}
        a, b, told = (new, old, side) if rng.random() < 0.5 else (old, new, inverse)
        on = rng.choice(("on the ", "to the ")) if axis == "x" else ""
        wording = rng.choice(("the {a} is {on}{side} the {b}", "{on}{side} the {b} is the {a}"))
        sentences.append(wording.format(a=a, b=b, on=on, side=told))
        links[new].append(f"{side} the {old}")
        links[old].append(f"{inverse} the {new}")
        turns += [(f"what is {side} the {old} ?", new), (f"what is {inverse} the {new} ?", old)]
        true, false = (f"is the {new} {s} the {old} ?" for s in (side, inverse))
        turns.append(_yes_no(rng, true, false))
    turns += [(f"where is the {t} ?", where[0]) for t, where in links.items() if len(where) == 1]
    rng.shuffle(sentences)
    return Document(" . ".join(sentences) + " .", _some(rng, turns))


def lists(rng: Random) -> Document:
    """An ordered list, asked for membership, neighbors, ends and length."""
    pool = POOLS[rng.choice(("THING", "NOUN", "NOUN", "WORD", "FOOD", "ANIMAL", "IDEA"))]
    *items, absent = rng.sample(pool, rng.randint(6, 10))
    head = _fill(rng, rng.choice(LIST_HEADS).replace("ITEMS", "@"))
    if any(item in head.split() for item in (*items, absent)):
        return lists(rng)
    i = rng.randrange(len(items) - 1)
    j = rng.randrange(len(items))
    first, second = items[i], items[i + 1]
    turns = [
        (f"what comes after {first} ?", second),
        (f"what comes before {second} ?", first),
        ("what is first ?", items[0]),
        ("what is last ?", items[-1]),
        ("how many things ?", NUMBERS[len(items)]),
        _yes_no(rng, f"is there {_article(items[j])} ?", f"is there {_article(absent)} ?"),
        _yes_no(rng, f"is {items[j]} on the list ?", f"is {absent} on the list ?"),
        _yes_no(rng, f"is {first} before {second} ?", f"is {second} before {first} ?"),
    ]
    return Document(head.replace("@", " , ".join(items)), _some(rng, turns))


def _defined(rng: Random, word: str) -> str:
    topic = _TOPIC_OF[word]
    wordings = (
        ("{w} is {a}", "{w} is a kind of {t}", "{w} : {a}", "one {t} is called {w}")
        if topic in _KINDS
        else ("{w} is a word of {t}", "{w} is a {t} word", "{w} : {t}", "{w} belongs to {t}")
    )
    return rng.choice(wordings).format(w=word, t=topic, a=_article(topic))


def definitions(rng: Random) -> Document:
    """What kind of thing words name: told in the passage, or asked without one."""
    words = _sample(rng, "NOUN", rng.randint(3, 6))
    topics = [_TOPIC_OF[word] for word in words]
    turns = [(f"what kind of thing is {word} ?", _TOPIC_OF[word]) for word in words]
    if rng.random() < 0.4:
        return Document("", _some(rng, turns))
    turns += [
        (f"which word is for {topic} ?", word)
        for word, topic in zip(words, topics, strict=True)
        if topics.count(topic) == 1
    ]
    if rng.random() < 0.3:  # only the words are named: their kinds have to be known
        return Document(
            f"some words we saw in the book are these : {' , '.join(words)} .", _some(rng, turns)
        )
    return Document(" . ".join(_defined(rng, word) for word in words) + " .", _some(rng, turns))


def comparisons(rng: Random) -> Document:
    """A hidden order told by neighbors in shuffled sentences."""
    slot, the = rng.choice((("NAME", ""), ("ANIMAL", "the "), ("JOB", "the ")))
    order = [the + word for word in _sample(rng, slot, rng.randint(3, 5))]
    up, down, top, bottom = rng.choice(SCALES)
    sentences = [
        f"{a} is {up} than {b}" if rng.random() < 0.5 else f"{b} is {down} than {a}"
        for a, b in pairwise(order)
    ]
    rng.shuffle(sentences)
    i, j = sorted(rng.sample(range(len(order)), 2))
    high, low = order[i], order[j]
    x, y = rng.sample((high, low), 2)
    turns = [
        (f"who is the {top} ?", order[0]),
        (f"who is the {bottom} ?", order[-1]),
        (f"who is {up} , {x} or {y} ?", high),
        (f"who is {down} , {x} or {y} ?", low),
        _yes_no(rng, f"is {high} {up} than {low} ?", f"is {low} {up} than {high} ?"),
    ]
    return Document(" . ".join(sentences) + " .", _some(rng, turns))


def sequence(rng: Random) -> Document:
    """Days of one person in order of time, told in order or with before and after."""
    who = rng.choice(POOLS["NAME"])
    towns = _sample(rng, rng.choice(("TOWN", "PLACE")), rng.randint(3, 5))
    article = "" if towns[0] in POOLS["TOWN"] else "the "
    towns = [article + town for town in towns]
    pairs = list(pairwise(towns))
    if rng.random() < 0.5:
        told = f"{who} went to {towns[0]} . " + " . ".join(
            f"{rng.choice(('then', 'after that'))} {who} went to {town}" for town in towns[1:]
        )
    else:
        rng.shuffle(pairs)
        told = " . ".join(
            f"{who} went to {a} before {b}" if rng.random() < 0.5 else f"{who} saw {b} after {a}"
            for a, b in pairs
        )
    a, b = rng.choice(pairs)
    turns = [
        (f"where did {who} go after {a} ?", b),
        (f"where did {who} go before {b} ?", a),
        (f"where did {who} go first ?", towns[0]),
        (f"where did {who} go last ?", towns[-1]),
        _yes_no(rng, f"did {who} go to {a} before {b} ?", f"did {who} go to {b} before {a} ?"),
    ]
    return Document(told + " .", _some(rng, turns))


def counting(rng: Random) -> Document:
    """How often each thing was seen, and who scored how much."""
    if rng.random() < 0.5:
        people = _sample(rng, "NAME", rng.randint(3, 5))
        scores = rng.sample(range(13), len(people))
        told = [f"{p} scored {NUMBERS[s]}" for p, s in zip(people, scores, strict=True)]
        i, j = rng.sample(range(len(people)), 2)
        turns = [
            (f"how many did {people[i]} score ?", NUMBERS[scores[i]]),
            (f"who scored {NUMBERS[scores[j]]} ?", people[j]),
            ("who scored most ?", people[scores.index(max(scores))]),
            (
                f"who scored more , {people[i]} or {people[j]} ?",
                people[i if scores[i] > scores[j] else j],
            ),
        ]
        return Document(" . ".join(told) + " .", _some(rng, turns))
    kinds = _sample(rng, rng.choice(("THING", "ANIMAL", "FOOD")), 4)
    seen = rng.choices(kinds[:3], k=rng.randint(5, 9))
    turns = [(f"how many times is there {_article(k)} ?", NUMBERS[seen.count(k)]) for k in kinds]
    opening = _fill(rng, "NAME saw these things in the PLACE : ")
    return Document(f"{opening} {' , '.join(seen)} .", _some(rng, turns))


def paraphrase(rng: Random) -> Document:
    """The same facts twice, in another order and wording."""
    triples = []
    for form, other, subject, value, *_ in rng.sample(RELATIONS, rng.randint(1, 3)):
        s, v = rng.choice(POOLS[subject]), rng.choice(POOLS[value])
        triples.append((_put(form, s, v), _put(other, s, v)))
    actor, verb, thing = (rng.choice(POOLS[slot]) for slot in ("JOB", "DID", "THING"))
    triples.append((f"the {actor} {verb} the {thing}", f"it is the {thing} the {actor} {verb}"))
    again = rng.choice(("in other words :", "once more :", "that is to say :", "again :"))
    told = [pair[0] for pair in triples]
    rng.shuffle(triples)
    return Document(f"{' . '.join(told)} . {again} {' . '.join(p[1] for p in triples)} .")


def repetition(rng: Random) -> Document:
    """A sequence of any words, and the same sequence again."""
    words = _sample(rng, "WORD", rng.randint(5, 12))
    comma = rng.choice((" ", " , "))
    opening, again = rng.choice(
        (
            ("the list :", "the list again :"),
            ("the JOB said :", "then NAME said the same :"),
            ("NAME keeps these words :", "these are the words once more :"),
            ("words :", "words :"),
        )
    )
    start = rng.choice((0, 0, rng.randrange(len(words) - 2)))
    text = f"{opening} {comma.join(words)} . {again} {comma.join(words[start:])} ."
    return Document(
        " ".join(
            rng.choice(POOLS[token]) if token in ("JOB", "NAME") else token
            for token in text.split()
        )
    )


def prose(rng: Random) -> Document:
    """Plain sentences around one topic."""
    label = _TOPIC_OF[rng.choice(POOLS["NOUN"])]
    own = {"TOPIC": LEXICON[label], "LABEL": (label,)}
    return Document(" ".join(_fill(rng, t, **own) for t in rng.sample(PROSE, rng.randint(3, 4))))


DOCUMENT_KINDS: tuple[Callable[[Random], Document], ...] = (
    story,
    facts,
    attributes,
    placing,
    lists,
    definitions,
    comparisons,
    sequence,
    counting,
    paraphrase,
    repetition,
    prose,
)


def general_document(rng: Random) -> Document:
    """One random document of a random kind; the same ``rng`` state gives the same document."""
    return rng.choice(DOCUMENT_KINDS)(rng)
