"""`readability` on a model whose words the test writes: against loops, and with injected faults."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracle import COLORS, ID, NAMES, STATES, VOCABULARY, Oracle, Write, knows, picture, world
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.evaluation.labelled.labelled_images import LabelledImage, LazyImages
from llavit_lens.evaluation.readability.measures import chance_of_average_precision
from llavit_lens.evaluation.readability.readability import readability
from llavit_lens.evaluation.readability.word_tokens import WordTokens
from llavit_lens.results.readability import Readability

KS = (1, 2, 3)


def values(table: pd.DataFrame, column: str = "value", layer: int = 1) -> dict[str, float]:
    """By `measure` or `measure@k`."""
    rows = table[table["layer"].eq(layer)]
    names = [
        m if pd.isna(k) else f"{m}@{k}" for m, k in zip(rows["measure"], rows["k"], strict=True)
    ]
    return dict(zip(names, rows[column], strict=True))


def scrambled(pixels: np.ndarray) -> np.ndarray:
    """Random logits, the same for the same picture."""
    rng = np.random.default_rng(int(pixels.astype(np.int64).sum()))
    return rng.normal(0, 2, (STATES, 16, len(VOCABULARY)))


def measured(write: Write, pictures: Iterable[LabelledImage], **options: Any) -> pd.DataFrame:
    return result_of(write, pictures, **options).table


def result_of(write: Write, pictures: Iterable[LabelledImage], **options: Any) -> Readability:
    """Readability of an oracle, which is no `VLM` but has what is asked of one."""
    vlm: Any = Oracle(write)
    return readability(vlm, pictures, **options)


def test_who_reads_everything_has_every_right_answer() -> None:
    table = measured(knows, world(), ks=KS, probe=world(20, seed=1))
    found = values(table)
    perfect = (
        "hit@1 name@1 localisation binding_color replace_follow replace_switch replace_stay "
        "recolour_follow recolour_switch recolour_stay probe"
    )
    assert {name: found[name] for name in perfect.split()} == dict.fromkeys(perfect.split(), 1)
    assert found["leak_object@1"] == found["leak_background@1"] == 0
    background = np.mean([16 - len(_owned(own)) for own in world()]) / 16
    assert found["newline"] == found["non_word"] == pytest.approx(background)
    assert set(table["layer"]) == {0, 1, 2}
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    assert found["hit_lift@1"] == pytest.approx(1 / values(table, "chance")["hit@1"])


def test_words_of_a_patch_beside_are_seen_by_where_they_are() -> None:
    def beside(pixels: np.ndarray) -> np.ndarray:
        return np.roll(knows(pixels), 1, axis=1)

    found = values(measured(beside, world(), ks=KS))
    assert found["localisation"] < 0.8 and found["hit@1"] < 0.8
    assert found["leak_background@1"] > 0


@pytest.mark.long
def test_words_of_another_picture_are_chance() -> None:
    pictures = [replace(own, changes=()) for own in world(150)]
    other = {
        np.asarray(own.image).tobytes(): np.asarray(after.image)
        for own, after in pairwise([*pictures, pictures[0]])
    }

    def elsewhere(pixels: np.ndarray) -> np.ndarray:
        return knows(other.get(pixels.tobytes(), pixels))

    table = measured(elsewhere, pictures, ks=KS)
    found, chance = values(table), values(table, "chance")
    for measure in ("hit@1", "name@1", "hit@2", "binding_color"):
        assert found[measure] == pytest.approx(chance[measure], abs=0.06)
    assert found["localisation"] < 0.7


def test_a_word_that_leaks_is_seen_where_it_leaks() -> None:
    """The first thing's name is put on top of all else in its picture."""

    def leaking(pixels: np.ndarray) -> np.ndarray:
        logits = knows(pixels)
        name = pixels[pixels[:, 1, 0].nonzero()[0][0], 1, 0]
        own = pixels[3::7, 3::7, 0].ravel() == name
        logits[:, ~own, ID[NAMES[name - 1]]] = 20
        return logits

    clean, found = (values(measured(write, world(), ks=KS)) for write in (knows, leaking))
    assert clean["leak_object@1"] == clean["leak_background@1"] == 0
    # one of the two names of each picture is everywhere
    assert found["leak_background@1"] == 0.5
    assert found["leak_object@1"] > 0.3
    assert found["localisation"] < clean["localisation"] == 1
    assert found["binding_color"] == clean["binding_color"] == 1  # colors are where they were


def test_a_color_that_is_likelier_everywhere_binds_to_nothing() -> None:
    def gray_first(pixels: np.ndarray) -> np.ndarray:
        logits = np.zeros((STATES, 16, len(VOCABULARY)))
        logits[:, :, [ID[color] for color in COLORS]] = [1, 2, 3]
        return logits

    table = measured(gray_first, world(), ks=KS)
    assert values(table)["binding_color"] == 0.5
    assert values(table)["hit@1"] == pytest.approx(values(table, "chance")["hit@1"], abs=0.15)
    assert values(table)["recolour_switch"] == 0


def test_words_that_do_not_see_a_change_do_not_follow_it() -> None:
    """The model remembers the picture before the change."""
    seen = {np.asarray(c.image).tobytes(): own for own in world() for c in own.changes}

    def remembers(pixels: np.ndarray) -> np.ndarray:
        own = seen.get(pixels.tobytes())
        return knows(pixels if own is None else np.asarray(own.image))

    found = values(measured(remembers, world(), ks=KS))
    assert found["replace_follow"] == found["recolour_follow"] == 0.5
    assert found["replace_switch"] == found["recolour_switch"] == 0
    assert found["replace_stay"] == 1

    def upset(pixels: np.ndarray) -> np.ndarray:
        """Everything else changes too."""
        return knows(pixels) if pixels.tobytes() not in seen else np.roll(knows(pixels), 9, axis=2)

    assert values(measured(upset, world(), ks=KS))["replace_stay"] == 0


def _owned(own: LabelledImage) -> dict[int, int]:
    """Object of each patch, by counting pixels."""
    found = {}
    for patch in range(16):
        row, col = divmod(patch, 4)
        for i, thing in enumerate(own.objects):
            if thing.mask[row * 7 : row * 7 + 7, col * 7 : col * 7 + 7].mean() >= 0.25:
                found[patch] = i
    return found


def test_values_and_chance_equal_loops() -> None:
    pictures, layer = world(7), 2
    table = measured(scrambled, pictures, ks=KS)
    logits = [scrambled(np.asarray(own.image))[layer] for own in pictures]
    right: dict[str, list[float]] = {}
    lucky: dict[str, list[float]] = {}

    def note(where: dict[str, list[float]], name: str, value: float) -> None:
        where.setdefault(name, []).append(value)

    chances: dict[str, list[tuple[int, float]]] = {}
    for number, (own, scores) in enumerate(zip(pictures, logits, strict=True)):
        owned = _owned(own)
        tops = [[VOCABULARY[i] for i in np.argsort(-row)] for row in scores]
        present = set().union(*(thing.words for thing in own.objects))
        for k in KS:
            for patch in range(16):
                said = set(tops[patch][:k])
                for i, thing in enumerate(own.objects):
                    if owned.get(patch) == i:
                        note(right, f"hit@{k}", bool(said & thing.words))
                        note(right, f"name@{k}", thing.name in said)
                    elif patch in owned:
                        note(right, f"leak_object@{k}", thing.name in said)
                    else:
                        note(right, f"leak_background@{k}", thing.name in said)
            trials: dict[str, list[tuple[float, bool]]] = {}
            for j, other in enumerate(pictures):
                if j == number:
                    continue
                theirs = list(_owned(other).values())
                for i, thing in enumerate(other.objects):
                    for patch in range(16):
                        said = set(tops[patch][:k])
                        if patch in owned:
                            hit = theirs.count(i), bool(said & thing.words)
                            trials.setdefault(f"hit@{k}", []).append(hit)
                            name = theirs.count(i), thing.name in said
                            trials.setdefault(f"name@{k}", []).append(name)
                        if thing.name not in present:
                            kind = "object" if patch in owned else "background"
                            leak = 1, thing.name in said
                            trials.setdefault(f"leak_{kind}@{k}", []).append(leak)
            for name, tried in trials.items():
                weights, hits = np.array(tried, float).T
                asked = sum(p in owned for p in range(16))
                if name.startswith("leak"):
                    asked = 2 * (16 - asked) if "background" in name else asked
                chances.setdefault(name, []).append((asked, float(weights @ hits / weights.sum())))
        p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        for i, thing in enumerate(own.objects):
            assert thing.name is not None
            order = np.argsort(-p[:, ID[thing.name]])
            places = [n for n, patch in enumerate(order) if owned.get(patch) == i]
            precision = [(n + 1) / (place + 1) for n, place in enumerate(places)]
            note(right, "localisation", float(np.mean(precision)))
            note(lucky, "localisation", chance_of_average_precision(len(places), 16))
        bound = []
        for i, thing in enumerate(own.objects):
            color, foil = thing.attributes["color"], own.objects[1 - i].attributes["color"]
            here = [patch for patch, owner in owned.items() if owner == i]
            bound.append(np.mean(p[here, ID[color]] > p[here, ID[foil]]))
        note(right, "binding_color", float(np.mean(bound)))
        note(right, "newline", 0)
        right["newline"][-1:] = [float(top[0] == "\n") for top in tops]
        note(right, "non_word", 0)
        right["non_word"][-1:] = [float(top[0] in ("\n", ",", "<unk>")) for top in tops]
    found, drawn = values(table, layer=layer), values(table, "chance", layer)
    for name, expected in right.items():
        assert found[name] == pytest.approx(np.mean(expected)), name
        assert values(table, "n", layer)[name] == len(expected), name
    for name, parts in chances.items():
        asked, shares = np.array(parts).T
        assert drawn[name] == pytest.approx(asked @ shares / asked.sum()), name
    assert drawn["localisation"] == pytest.approx(np.mean(lucky["localisation"]))
    assert len(chances) == 12


def test_chance_forgets_pictures_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a window of 1, the first of three pictures has only the second one's truth."""
    monkeypatch.setattr("llavit_lens.evaluation.readability.readability.WINDOW", 1)
    box = (0, 0, 2, 2)
    names = ("dog", "cat", "dog")
    pictures = [picture((name, "red", box)) for name in names]
    table = measured(knows, pictures, ks=(1,))
    assert values(table, "chance")["name@1"] == 0
    monkeypatch.setattr("llavit_lens.evaluation.readability.readability.WINDOW", 2)
    table = measured(knows, pictures, ks=(1,))
    assert values(table, "chance")["name@1"] == pytest.approx(1 / 3)
    assert np.isfinite(values(table)["name_lift@1"])


def test_a_lift_over_no_chance_is_not_a_number() -> None:
    pictures = [picture((name, "red", (0, 0, 2, 2))) for name in ("dog", "cat")]
    table = measured(knows, pictures, ks=(1,))
    assert values(table, "chance")["name@1"] == 0
    assert np.isnan(values(table)["name_lift@1"])


def test_words_that_cannot_be_said_are_on_record() -> None:
    pictures = world(3)
    odd = picture(("dog", "red", (0, 0, 2, 2)))
    object.__setattr__(odd.objects[0], "words", frozenset({"dog", "giraffe"}))
    result = result_of(knows, [*pictures, odd], ks=(1,))
    assert result.n_images == 4 and result.unreadable == []
    assert result.left_out == ["giraffe"] and result.by_first_piece == []


def test_words_are_said_in_any_of_three_cases() -> None:
    ids = {text: i for i, text in enumerate(("<unk>", "dog", "Dog", "Cat", "STOP"))}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(ids, unk_token="<unk>")), unk_token="<unk>"
    )
    words = WordTokens(tokenizer)
    said = {word: words.ids(word) for word in ("dog", "Dog", "DOG", "cat", "STOP", "stop")}
    assert said["dog"] == said["Dog"] == said["DOG"] == {1, 2}
    assert said["cat"] == {3} and said["STOP"] == {4} and said["stop"] == set()
    assert words.left_out == {"stop"} and words.by_first_piece == set()


def test_a_picture_that_cannot_be_read_is_left_out_and_on_record() -> None:
    pictures = [replace(own, changes=()) for own in world(4)]

    def make(number: int) -> LabelledImage:
        if number == 1:
            raise ImageError("one.png: is broken")
        return pictures[number]

    found = result_of(knows, LazyImages(range(4), make), ks=KS)
    assert found.n_images == 3 and found.unreadable == ["one.png: is broken"]
    expected = measured(knows, pictures[:1] + pictures[2:], ks=KS)
    pd.testing.assert_frame_equal(found.table, expected)
    with pytest.raises(ConfigurationError, match=r"not 1: .*; left out: one\.png"):
        measured(knows, LazyImages(range(2), make))
    with pytest.raises(ImageError):  # a generator ends with its first error
        measured(knows, (make(number) for number in range(4)))


@pytest.mark.parametrize(
    ("pictures", "options", "message"),
    [
        (world(1), {}, "at least 2 images"),
        ([picture(), picture()], {}, "is anything labelled"),
        (world(2), {"ks": ()}, "ks="),
        (world(2), {"ks": (0, 1)}, "ks="),
        (world(2), {"ks": (99,)}, "99"),
        (world(2), {"probe": [picture()]}, "no object with a name"),
        (world(2), {"probe": [picture(("dog", "red", (0, 0, 2, 2)))]}, "two names"),
    ],
)
def test_mistakes_give_one_error(pictures: list, options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        measured(knows, pictures, **options)
