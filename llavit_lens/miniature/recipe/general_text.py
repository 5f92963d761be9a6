"""Ordinary text for pretraining the miniature language model: short passages and questions.

The passages are about everything but the emoji scenes.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from llavit_lens.miniature.recipe.lexicon import LEXICON, POOLS, PROSE, RELATIONS, TOPIC_OF
from llavit_lens.miniature.recipe.passages import (
    attributes,
    comparisons,
    counting,
    definitions,
    facts,
    lists,
    placing,
    sequence,
    story,
)
from llavit_lens.miniature.recipe.wording import Passage, fill, put, sample


def paraphrase(rng: Random) -> Passage:
    """The same facts twice, in another order and wording."""
    wordings = []
    for form, other, subject, value, *_ in rng.sample(RELATIONS, rng.randint(1, 3)):
        s, v = rng.choice(POOLS[subject]), rng.choice(POOLS[value])
        wordings.append((put(form, s, v), put(other, s, v)))
    actor, verb, thing = (rng.choice(POOLS[slot]) for slot in ("JOB", "DID", "THING"))
    wordings.append((f"the {actor} {verb} the {thing}", f"it is the {thing} the {actor} {verb}"))
    again = rng.choice(("in other words :", "once more :", "that is to say :", "again :"))
    first = [pair[0] for pair in wordings]
    rng.shuffle(wordings)
    return Passage(f"{' . '.join(first)} . {again} {' . '.join(p[1] for p in wordings)} .")


def repetition(rng: Random) -> Passage:
    """A sequence of any words, and the same sequence again."""
    words = sample(rng, "WORD", rng.randint(5, 12))
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
    return Passage(
        " ".join(
            rng.choice(POOLS[token]) if token in ("JOB", "NAME") else token
            for token in text.split()
        )
    )


def prose(rng: Random) -> Passage:
    """Plain sentences around one topic."""
    label = TOPIC_OF[rng.choice(POOLS["NOUN"])]
    templates = rng.sample(PROSE, rng.randint(3, 4))
    return Passage(" ".join(fill(rng, t, TOPIC=LEXICON[label], LABEL=(label,)) for t in templates))


PASSAGE_KINDS: tuple[Callable[[Random], Passage], ...] = (
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


def general_passage(rng: Random) -> Passage:
    """One random passage of a random kind; the same state of `rng` gives the same passage."""
    return rng.choice(PASSAGE_KINDS)(rng)
