"""General text: declared words only, deterministic, and answers that the passage really supports.

The look-up kinds are re-read here by small independent parsers of the English, not of the tables.
"""

import hashlib
import re
from collections import Counter
from random import Random

import pytest

from llavit_lens.miniature.recipe import general_text
from llavit_lens.miniature.recipe.general_text import PASSAGE_KINDS, general_passage
from llavit_lens.miniature.recipe.lexicon import (
    FUNCTION_WORDS,
    LEXICON,
    NUMBERS,
    SCALES,
    lexicon_words,
)
from llavit_lens.miniature.recipe.wording import Passage

READ_TO_ANSWER = {"attributes", "placing", "lists", "comparisons", "sequence", "facts", "story"}


def _many(kind: str, n: int = 1500) -> list[Passage]:
    rng = Random(kind)
    return [getattr(general_text, kind)(rng) for _ in range(n)]


def _sentences(document: Passage) -> list[str]:
    return [s for s in document.context.removesuffix(" .").split(" . ") if s]


@pytest.fixture(scope="module")
def corpus() -> list[Passage]:
    rng = Random(0)
    return [general_passage(rng) for _ in range(30_000)]


def test_lexicon_is_clean_and_large() -> None:
    words = [word for topic in LEXICON.values() for word in topic]
    assert len(words) == len(set(words))
    assert 3300 <= len(lexicon_words()) <= 3800
    assert all(re.fullmatch("[a-z]+", word) for word in lexicon_words())
    assert len(FUNCTION_WORDS) == len(set(FUNCTION_WORDS))


@pytest.mark.long
def test_every_token_is_declared_and_nearly_every_word_occurs(corpus: list[Passage]) -> None:
    seen: Counter[str] = Counter()
    for document in corpus:
        for text in (document.context, *(part for turn in document.turns for part in turn)):
            assert text == " ".join(text.split())
            seen.update(text.split())
    assert set(seen) <= set(lexicon_words()) | set(FUNCTION_WORDS)
    assert set(FUNCTION_WORDS) <= set(seen)
    assert sum(word in seen for word in lexicon_words()) >= 0.98 * len(lexicon_words())


def test_same_seed_same_documents() -> None:
    first, again, other = (
        [general_passage(rng) for _ in range(300)] for rng in map(Random, (5, 5, 6))
    )
    assert first == again
    assert first != other


def test_the_text_that_the_demo_models_read_stays_the_same() -> None:
    """Byte for byte: the recipe of the demo models names no version of it."""
    digest = hashlib.sha256()
    for kind in PASSAGE_KINDS:
        for seed in range(300):
            passage = kind(Random(f"{kind.__name__} {seed}"))
            digest.update(repr((passage.context, passage.turns)).encode())
    for seed in range(2000):
        passage = general_passage(Random(seed))
        digest.update(repr((passage.context, passage.turns)).encode())
    assert digest.hexdigest() == (
        "2f0c9c0a9941d8c25faf42430a7b3cd9d12f34a3662dd8a7dc13a7a0947e389b"
    )


@pytest.mark.long
def test_passages_have_the_promised_size(corpus: list[Passage]) -> None:
    lengths = [len(d.context.split()) for d in corpus if d.context]
    assert min(lengths) >= 12
    assert max(lengths) <= 70
    assert max(len(d.turns) for d in corpus) == 4
    assert all(d.context or d.turns for d in corpus)


def test_no_document_asks_one_question_twice_with_two_answers(corpus: list[Passage]) -> None:
    for document in corpus:
        assert len(dict(document.turns)) == len(set(document.turns)), document


@pytest.mark.parametrize("kind", sorted(READ_TO_ANSWER))
def test_looked_up_answers_stand_in_the_passage_but_not_in_the_question(kind: str) -> None:
    for document in _many(kind):
        for question, answer in document.turns:
            if answer in ("yes", "no") or question.startswith("how many"):
                continue
            content = answer.split()[-1]
            assert content in document.context.split(), document
            two_offered = " or " in question
            repeats_the_noun = kind == "attributes"
            assert two_offered or repeats_the_noun or content not in question.split(), document


@pytest.mark.parametrize("kind", ["attributes", "placing", "lists", "comparisons", "sequence"])
def test_yes_and_no_are_balanced(kind: str) -> None:
    answers = Counter(a for d in _many(kind, 4000) for _, a in d.turns if a in ("yes", "no"))
    n = sum(answers.values())
    assert n > 400
    # Fair coin: five standard deviations of the count, each sqrt(n) / 2.
    assert abs(answers["yes"] - n / 2) < 2.5 * n**0.5


def _pick(items: list[str], words: list[str]) -> str | None:
    """The item (or the count) that a question in these words asks for; None for yes-no."""
    match words:
        case ["what", "comes", "after", item, _]:
            return items[items.index(item) + 1]
        case ["what", "comes", "before", item, _]:
            return items[items.index(item) - 1]
        case ["what", "is", end, _]:
            return items[{"first": 0, "last": -1}[end]]
        case ["how", "many", "things", _]:
            return NUMBERS[len(items)]
    return None


def test_lists_answers() -> None:
    for document in _many("lists"):
        items = re.split(r": | there are ", document.context.removesuffix(" ."))[-1].split(" , ")
        for question, answer in document.turns:
            words = question.split()
            expected = _pick(items, words)
            if expected is None:
                if words[2] == "before":
                    truth = items.index(words[1]) < items.index(words[3])
                else:
                    truth = (words[1] if words[2] == "on" else words[3]) in items
                assert answer == ("yes" if truth else "no"), document
            else:
                assert answer == expected, document


def test_story_answers_follow_the_last_event() -> None:
    asked: Counter[str] = Counter()
    for document in _many("story"):
        place: dict[str, str] = {}  # of persons, and of things put down
        holder: dict[str, str] = {}
        for sentence in _sentences(document):
            who, _, rest = sentence.partition(" ")
            for event in rest.split(" and "):
                if found := re.fullmatch(r"(?:is in|went to) the (\w+)", event):
                    place[who] = found[1]
                elif found := re.fullmatch(r"(?:picked up|took) the (\w+)", event):
                    assert found[1] not in holder
                    assert place.get(found[1], place[who]) == place[who]
                    holder[found[1]] = who
                elif found := re.fullmatch(r"(?:put down|dropped) the (\w+)", event):
                    assert holder.pop(found[1]) == who
                    place[found[1]] = place[who]
                else:
                    found = re.fullmatch(r"gave the (\w+) to (\w+) in the (\w+)", event)
                    assert found and holder[found[1]] == who and place[who] == found[3]
                    holder[found[1]], place[found[2]] = found[2], found[3]
        for question, answer in document.turns:
            asked[question.split()[0]] += 1
            if found := re.fullmatch(r"where is (?:the )?(\w+) \?", question):
                assert answer == place[holder.get(found[1], found[1])], document
            elif found := re.fullmatch(r"who has the (\w+) \?", question):
                assert answer == holder[found[1]], document
            elif found := re.fullmatch(r"what does (\w+) have \?", question):
                assert [t for t, who in holder.items() if who == found[1]] == [answer], document
            else:
                found = re.fullmatch(r"how many things does (\w+) have \?", question)
                assert found, question
                assert answer == NUMBERS[list(holder.values()).count(found[1])], document
    assert min(asked[w] for w in ("where", "who", "what", "how")) > 50


def test_placing_answers() -> None:
    inverse = {"left": "right", "right": "left", "above": "below", "below": "above"}
    link = r"(?:on the |to the )?(left|right|above|below)(?: of)? the (\w+)"
    for document in _many("placing"):
        truth: dict[tuple[str, str], str] = {}
        for sentence in _sentences(document):
            if found := re.fullmatch(rf"the (\w+) is {link}", sentence):
                a, side, b = found.groups()
            else:
                found = re.fullmatch(rf"{link} is the (\w+)", sentence)
                assert found, sentence
                side, b, a = found.groups()
            for key, value in (((side, b), a), ((inverse[side], a), b)):
                assert key not in truth, document
                truth[key] = value
        for question, answer in document.turns:
            if found := re.fullmatch(rf"what is {link} \?", question):
                assert answer == truth[found[1], found[2]], document
            elif found := re.fullmatch(r"where is the (\w+) \?", question):
                told = re.fullmatch(link, answer)
                assert told and truth[told[1], told[2]] == found[1], document
            else:
                found = re.fullmatch(rf"is the (\w+) {link} \?", question)
                assert found, question
                assert answer == ("yes" if truth.get((found[2], found[3])) == found[1] else "no")


def test_comparison_answers_follow_from_the_chain() -> None:
    opposite = {down: up for up, down, *_ in SCALES}
    for document in _many("comparisons"):
        edges = []
        for sentence in _sentences(document):
            a, word, b = re.fullmatch(r"(.+) is (\w+) than (.+)", sentence).groups()
            edges.append((b, a) if word in opposite else (a, b))
        order = [next(a for a, _ in edges if a not in {b for _, b in edges})]
        while following := dict(edges).get(order[-1]):
            order.append(following)
        assert len(order) == len(edges) + 1 >= 3
        for question, answer in document.turns:
            if found := re.fullmatch(r"who is the (\w+) \?", question):
                top = found[1] in {scale[2] for scale in SCALES}
                assert answer == order[0 if top else -1], document
            elif found := re.fullmatch(r"who is (\w+) , (.+) or (.+) \?", question):
                pair = sorted(found.groups()[1:], key=order.index)
                assert answer == pair[found[1] in opposite], document
            else:
                found = re.fullmatch(r"is (.+) (\w+) than (.+) \?", question)
                truth = order.index(found[1]) < order.index(found[3])
                assert answer == ("yes" if truth != (found[2] in opposite) else "no"), document


def test_attribute_answers() -> None:
    for document in _many("attributes"):
        told = {}
        for sentence in _sentences(document):
            mark, thing, quality = re.fullmatch(
                r"(?:there is |they called )?the (\w+) (\w+)(?: and it)?(?: is)? (\w+)", sentence
            ).groups()
            told[mark] = quality
        assert len(set(told.values())) == len(told) >= 3
        for question, answer in document.turns:
            words = question.split()
            if words[0] == "which":
                mark = next(m for m, q in told.items() if q == words[3])
                assert answer == f"the {mark} {thing}", document
            elif words[0] == "what":
                assert answer == told[words[3]], document
            else:
                assert answer == ("yes" if told[words[2]] == words[4] else "no"), document


def test_fact_answers_share_a_sentence_with_their_question() -> None:
    grammar = set(FUNCTION_WORDS) - set(NUMBERS) - set(lexicon_words())
    for document in _many("facts"):
        sentences = [set(s.split()) for s in _sentences(document)]
        assert len(sentences) >= 2
        for question, answer in document.turns:
            asked = [w for w in question.split() if w not in grammar]
            assert any(answer in s and s & set(asked) for s in sentences), document


def test_counting_answers() -> None:
    for document in _many("counting"):
        scores = {
            p: NUMBERS.index(n) for p, n in re.findall(r"(\w+) scored (\w+)", document.context)
        }
        seen = document.context.split(" : ")[-1].removesuffix(" .").split(" , ")
        for question, answer in document.turns:
            words = question.split()
            if words[2] == "times":
                assert answer == NUMBERS[seen.count(words[6])], document
            elif words[0] == "how":
                assert answer == NUMBERS[scores[words[3]]], document
            elif words[2] == "most":
                assert scores[answer] == max(scores.values()), document
            elif words[2] == "more":
                assert answer == max(words[4], words[6], key=scores.__getitem__), document
            else:
                assert NUMBERS[scores[answer]] == words[2], document


def test_sequence_answers() -> None:
    for document in _many("sequence"):
        stops, edges = [], []
        for sentence in _sentences(document):
            goal = re.sub(r"^(then |after that )?\w+ (went to|saw) ", "", sentence)
            if " before " in goal:
                edges.append(goal.split(" before "))
            elif " after " in goal:
                edges.append(goal.split(" after ")[::-1])
            else:
                stops.append(goal)
        if edges:
            stops = [next(a for a, _ in edges if a not in {b for _, b in edges})]
            while following := dict(edges).get(stops[-1]):
                stops.append(following)
        assert len(stops) >= 3
        for question, answer in document.turns:
            if found := re.fullmatch(r"did \w+ go to (.+) before (.+) \?", question):
                truth = stops.index(found[1]) < stops.index(found[2])
                assert answer == ("yes" if truth else "no"), document
            else:
                found = re.fullmatch(r"where did \w+ go (\w+) ?(.*) \?", question)
                step = {"first": 0, "last": -1, "after": 1, "before": -1}[found[1]]
                start = stops.index(found[2]) if found[2] else 0
                expected = stops[start + step]
                assert answer == expected, document


def test_definitions_name_the_topic_of_the_word() -> None:
    without_passage = 0
    for document in _many("definitions"):
        without_passage += not document.context
        for question, answer in document.turns:
            if found := re.fullmatch(r"what kind of thing is (\w+) \?", question):
                assert found[1] in LEXICON[answer], document
            else:
                assert answer in LEXICON[question.split()[4]], document
                assert answer in document.context.split(), document
    assert 0.3 < without_passage / 1500 < 0.5


def test_repetition_repeats_a_suffix() -> None:
    for document in _many("repetition"):
        first, again = (
            text.replace(" ,", "").split() for text in re.findall(r": (.*?) \.", document.context)
        )
        assert len(again) >= 2
        assert first[-len(again) :] == again


def test_all_kinds_are_equally_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(kind.__name__ for kind in PASSAGE_KINDS)
    monkeypatch.setattr(general_text, "PASSAGE_KINDS", tuple(lambda _, n=name: n for name in names))
    rng = Random(1)
    drawn = Counter(general_passage(rng) for _ in range(12_000))
    # 1,000 expected each, standard deviation sqrt(12000 * (1/12) * (11/12)) = 30; five of them.
    assert all(abs(drawn[name] - 1000) < 150 for name in names)
