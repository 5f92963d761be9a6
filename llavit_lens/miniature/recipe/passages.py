"""Passages with questions, nearly all of which can be answered only by reading the passage: each
holds several candidates of the right type."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

from llavit_lens.miniature.recipe.lexicon import (
    KINDS,
    LIST_HEADS,
    NUMBERS,
    POOLS,
    RELATIONS,
    SCALES,
    SIDES,
    TOPIC_OF,
)
from llavit_lens.miniature.recipe.wording import Passage, Turns, fill, put, sample, with_article


def _some(rng: Random, turns: Sequence[tuple[str, str]], most: int = 4) -> Turns:
    return tuple(rng.sample(turns, min(len(turns), rng.randint(1, most))))


def _yes_no(rng: Random, true: str, false: str) -> tuple[str, str]:
    """One of two questions, with its answer: yes as often as no."""
    return (true, "yes") if rng.random() < 0.5 else (false, "no")


def story(rng: Random) -> Passage:
    """People move, take, drop and give things; the last event counts."""
    people, things = sample(rng, "NAME", rng.randint(2, 4)), sample(rng, "THING", 3)
    places = sample(rng, "PLACE", 3)
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
    return Passage(" . ".join(sentences) + " .", tuple(dict.fromkeys(_some(rng, turns))))


def facts(rng: Random) -> Passage:
    """One or two relations between several subjects and values, with questions both ways."""
    sentences, turns = [], []
    relations = rng.sample(RELATIONS, rng.randint(1, 2))
    for form, other, subject, value, ask_value, ask_subject in relations:
        n = rng.randint(2, 3) + (len(relations) == 1)
        subjects = sample(rng, subject, n)
        values = [v for v in sample(rng, value, 2 * n) if v not in subjects][:n]
        for s, v in zip(subjects, values, strict=True):
            sentences.append(put(form if rng.random() < 0.6 else other, s, v))
            turns += [(put(ask_value, s, v), v), (put(ask_subject, s, v), s)]
    rng.shuffle(sentences)
    return Passage(" . ".join(sentences) + " .", _some(rng, turns))


def attributes(rng: Random) -> Passage:
    """Things of one name that differ in one word, each with a quality."""
    n = rng.randint(3, 4)
    thing = rng.choice(POOLS["THING"])
    marks = sample(rng, rng.choice(("STUFF", "COLOR", "QUALITY", "RANK")), n)
    qualities = [q for q in sample(rng, "QUALITY", 2 * n) if q not in marks][:n]
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
    return Passage(" . ".join(sentences) + " .", _some(rng, turns))


def placing(rng: Random) -> Passage:
    """Things beside, above and below each other; no two links of one thing share an axis."""
    things = sample(rng, rng.choice(("THING", "ANIMAL", "THING")), rng.randint(3, 5))
    axes: dict[str, set[str]] = {things[0]: set()}
    sentences, turns = [], []
    links: dict[str, list[str]] = {thing: [] for thing in things}
    for new in things[1:]:
        old, side = rng.choice([(o, s) for o in axes for s in SIDES if SIDES[s][0] not in axes[o]])
        axis, inverse = SIDES[side]
        axes[old].add(axis)
        axes[new] = {axis}
        a, b, relation = (new, old, side) if rng.random() < 0.5 else (old, new, inverse)
        on = rng.choice(("on the ", "to the ")) if axis == "x" else ""
        wording = rng.choice(("the {a} is {on}{side} the {b}", "{on}{side} the {b} is the {a}"))
        sentences.append(wording.format(a=a, b=b, on=on, side=relation))
        links[new].append(f"{side} the {old}")
        links[old].append(f"{inverse} the {new}")
        turns += [(f"what is {side} the {old} ?", new), (f"what is {inverse} the {new} ?", old)]
        true, false = (f"is the {new} {s} the {old} ?" for s in (side, inverse))
        turns.append(_yes_no(rng, true, false))
    turns += [(f"where is the {t} ?", where[0]) for t, where in links.items() if len(where) == 1]
    rng.shuffle(sentences)
    return Passage(" . ".join(sentences) + " .", _some(rng, turns))


def lists(rng: Random) -> Passage:
    """An ordered list, with questions about members, neighbors, ends and length."""
    pool = POOLS[rng.choice(("THING", "NOUN", "NOUN", "WORD", "FOOD", "ANIMAL", "IDEA"))]
    *items, absent = rng.sample(pool, rng.randint(6, 10))
    head = fill(rng, rng.choice(LIST_HEADS).replace("ITEMS", "@"))
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
        _yes_no(rng, f"is there {with_article(items[j])} ?", f"is there {with_article(absent)} ?"),
        _yes_no(rng, f"is {items[j]} on the list ?", f"is {absent} on the list ?"),
        _yes_no(rng, f"is {first} before {second} ?", f"is {second} before {first} ?"),
    ]
    return Passage(head.replace("@", " , ".join(items)), _some(rng, turns))


def _defined(rng: Random, word: str) -> str:
    topic = TOPIC_OF[word]
    wordings = (
        ("{w} is {a}", "{w} is a kind of {t}", "{w} : {a}", "one {t} is called {w}")
        if topic in KINDS
        else ("{w} is a word of {t}", "{w} is a {t} word", "{w} : {t}", "{w} belongs to {t}")
    )
    return rng.choice(wordings).format(w=word, t=topic, a=with_article(topic))


def definitions(rng: Random) -> Passage:
    """What kind of thing words name: said in the passage, or asked without one."""
    words = sample(rng, "NOUN", rng.randint(3, 6))
    topics = [TOPIC_OF[word] for word in words]
    turns = [(f"what kind of thing is {word} ?", TOPIC_OF[word]) for word in words]
    if rng.random() < 0.4:
        return Passage("", _some(rng, turns))
    turns += [
        (f"which word is for {topic} ?", word)
        for word, topic in zip(words, topics, strict=True)
        if topics.count(topic) == 1
    ]
    if rng.random() < 0.3:  # only the words are named: their kinds have to be known
        return Passage(
            f"some words we saw in the book are these : {' , '.join(words)} .", _some(rng, turns)
        )
    return Passage(" . ".join(_defined(rng, word) for word in words) + " .", _some(rng, turns))


def comparisons(rng: Random) -> Passage:
    """A hidden order, given by pairs of neighbors in shuffled sentences."""
    slot, the = rng.choice((("NAME", ""), ("ANIMAL", "the "), ("JOB", "the ")))
    order = [the + word for word in sample(rng, slot, rng.randint(3, 5))]
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
    return Passage(" . ".join(sentences) + " .", _some(rng, turns))


def sequence(rng: Random) -> Passage:
    """Where one person went, in order of time or with before and after."""
    who = rng.choice(POOLS["NAME"])
    towns = sample(rng, rng.choice(("TOWN", "PLACE")), rng.randint(3, 5))
    article = "" if towns[0] in POOLS["TOWN"] else "the "
    towns = [article + town for town in towns]
    pairs = list(pairwise(towns))
    if rng.random() < 0.5:
        text = f"{who} went to {towns[0]} . " + " . ".join(
            f"{rng.choice(('then', 'after that'))} {who} went to {town}" for town in towns[1:]
        )
    else:
        rng.shuffle(pairs)
        text = " . ".join(
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
    return Passage(text + " .", _some(rng, turns))


def counting(rng: Random) -> Passage:
    """How often each thing was seen, and who scored how much."""
    if rng.random() < 0.5:
        people = sample(rng, "NAME", rng.randint(3, 5))
        scores = rng.sample(range(13), len(people))
        sentences = [f"{p} scored {NUMBERS[s]}" for p, s in zip(people, scores, strict=True)]
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
        return Passage(" . ".join(sentences) + " .", _some(rng, turns))
    kinds = sample(rng, rng.choice(("THING", "ANIMAL", "FOOD")), 4)
    seen = rng.choices(kinds[:3], k=rng.randint(5, 9))
    turns = [
        (f"how many times is there {with_article(k)} ?", NUMBERS[seen.count(k)]) for k in kinds
    ]
    opening = fill(rng, "NAME saw these things in the PLACE : ")
    return Passage(f"{opening} {' , '.join(seen)} .", _some(rng, turns))
