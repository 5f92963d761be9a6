"""Scenes, their truth, and what is said about them."""

import random
from collections import Counter

import numpy as np
import pytest
from fonts import needs_font
from hypothesis import given, settings
from hypothesis import strategies as st

from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.miniature.benchmark.evaluate import benchmark_questions
from llavit_lens.miniature.benchmark.guess import guess, is_guessed
from llavit_lens.miniature.world import render as render_module
from llavit_lens.miniature.world.captions import caption
from llavit_lens.miniature.world.concepts import CONCEPTS, NUMBERS, POSITIONS, SIGN_WORDS
from llavit_lens.miniature.world.corpus import held_out_seed, pick
from llavit_lens.miniature.world.fingerprint import world_fingerprint
from llavit_lens.miniature.world.questions import (
    ALWAYS_IN_CAPTIONS,
    CATEGORIES_OF_QUESTIONS,
    IN_CAPTIONS_WITH_PLACE,
    Question,
    questions,
)
from llavit_lens.miniature.world.relations import INVERSE, relation
from llavit_lens.miniature.world.render import render
from llavit_lens.miniature.world.scenes import (
    GRID,
    MIXED,
    PATCH,
    SIZE,
    Scene,
    Truth,
    example_names,
    example_path,
    example_truth,
    labels_of_patches,
    sample_scene,
)

seeds = st.integers(0, 2 * 10**9)


@given(seeds)
def test_scenes_are_repeatable_and_stay_inside_the_picture(seed):
    scene = sample_scene(seed)
    assert scene == sample_scene(seed) == Scene.from_dict(scene.to_dict())
    assert 1 <= len(scene.objects) <= 3
    assert len({t.name for t in scene.objects}) == len(scene.objects)
    for t in scene.things:
        assert t.width / 2 <= t.x <= SIZE - t.width / 2
        assert t.height / 2 <= t.y <= SIZE - t.height / 2


def test_the_label_is_the_largest_thing_above_a_quarter_else_clear_background():
    pixels = np.full((SIZE, SIZE), -1, np.int16)
    area = PATCH * PATCH
    patch = pixels[:PATCH, :PATCH].reshape(-1).copy()
    patch[: area // 4] = 0  # exactly a quarter
    pixels[:PATCH, :PATCH] = patch.reshape(PATCH, PATCH)
    patch[area // 4 - 1] = -1  # one pixel less
    pixels[:PATCH, PATCH : 2 * PATCH] = patch.reshape(PATCH, PATCH)
    pixels[PATCH // 2 : PATCH, 2 * PATCH : 3 * PATCH] = -2  # half sky, half sand
    labels = labels_of_patches(pixels)
    assert labels.shape == (GRID, GRID)
    assert labels[0, 0] == 0
    assert labels[0, 1] == MIXED
    assert labels[0, 2] == MIXED
    assert (labels[1:] == -1).all()


@given(seeds)
def test_captions_name_everything(seed):
    scene = sample_scene(seed)
    words = set(caption(scene, random.Random(seed)).split())
    for thing in scene.things:
        assert (thing.word or thing.name) in words
    assert set(scene.backgrounds) <= words


@given(seeds)
def test_relations_are_inverse(seed):
    things = sample_scene(seed).things
    for a in things:
        for b in things:
            if a is not b and relation(a, b):
                assert relation(b, a) == INVERSE[relation(a, b)]


def answer_from_the_scene(kind: str, body: str, scene: Scene) -> set[str]:
    """The right answers to a question, found from its wording by looking at every thing."""
    named = {t.phrase: t for t in scene.things}
    where = next((p for row in POSITIONS for p in row if body.split()[-1] == p), None)
    how = next((h for h in INVERSE if f" {h} the " in f" {body} "), None)
    if kind == "is_relation":
        one, other = body.removeprefix("is the ").split(f" {how} the ")
        return {"yes" if relation(named[one], named[other]) == how else "no"}
    if where and "background" not in body:
        found = [t for t in scene.things if t.position == where]
    elif how:
        other = named[body.split(f"{how} the ")[1]]
        found = [t for t in scene.things if t is not other and relation(t, other) == how]
    else:
        found = list(scene.things)
    if kind in ("position", "word_position"):
        return {named[body.removeprefix("where is the ")].position}
    if kind in ("at", "relation", "beside_word"):
        return {t.name for t in found}
    if kind in ("read", "read_at", "read_relation"):
        return {t.word or t.name for t in found if kind != "read" or t.kind == "sign"}
    if kind == "read_kind":
        return {t.word for t in scene.signs if SIGN_WORDS[t.word] == body.split()[1]}
    if kind == "word_kind_at":
        return {SIGN_WORDS.get(t.word, t.name) for t in found}
    if kind == "says":
        return {"yes" if body.split()[-1] in {t.word for t in scene.signs} else "no"}
    if kind == "larger":
        names = body.split("the ")[1].removesuffix(" or "), body.split("the ")[2]
        return {n for n in names if named[n].size == "large"}
    if kind == "count":
        return {NUMBERS[len(scene.things)]}
    if kind == "count_signs":
        return {NUMBERS[len(scene.signs)]}
    if kind == "behind":
        thing = named[body.removeprefix("what is behind the ")]
        assert abs(thing.y - scene.horizon) >= thing.height // 2
        return {scene.backgrounds[thing.y > scene.horizon]}
    if kind == "background":
        return {scene.backgrounds[body.endswith("bottom")]}
    concepts = {t.name: CONCEPTS[t.name] for t in found if t.kind == "object"}
    if kind.endswith(("_at", "_relation")):
        assert len(found) == 1, "another thing is there too"
        return {getattr(c, kind.split("_")[0]) for c in concepts.values()}
    if kind.startswith("count_"):
        return (
            {NUMBERS[sum(body.split()[-1] in c.words - {n} for n, c in concepts.items())]}
            if (kind == "count_category")
            else {NUMBERS[sum(c.color == body.split()[-1] for c in concepts.values())]}
        )
    if kind.startswith("exist"):
        asked = {"exist": "name", "exist_kind": "category", "exist_trait": "trait"}[kind]
        there = {getattr(c, asked) for c in concepts.values()}
        return {"yes" if body.split()[-1] in there else "no"}
    if kind == "which":
        return {n for n, c in concepts.items() if c.category == body.split()[1]}
    assert kind == "which_trait", f"no such kind of question: {kind}"
    return {n for n, c in concepts.items() if c.trait == body.split()[-1]}


@pytest.mark.long
@given(seeds)
@settings(max_examples=300)
def test_every_question_has_one_right_answer_and_that_is_it(seed):
    """Questions are read back by their wording and answered from the scene alone."""
    scene = sample_scene(seed)
    for q in questions(scene, random.Random(seed)):
        body = q.question.removesuffix(" ?")
        body = body.removesuffix(" say") if q.kind == "read_at" else body
        assert answer_from_the_scene(q.kind, body, scene) == {q.answer}, q


@given(seeds)
def test_a_place_is_asked_and_said_only_where_it_is_clear(seed):
    """Then most of the thing's patches lie in the place's ninth, or in its middle column or row."""
    scene = sample_scene(seed)
    named = {t.phrase: t for t in scene.things}
    for q in questions(scene, random.Random(seed)):
        if q.kind in ("position", "word_position"):
            thing = named[q.question.removeprefix("where is the ").removesuffix(" ?")]
            edges = [abs(at - edge * SIZE / 3) for at in (thing.x, thing.y) for edge in (1, 2)]
            assert min(edges) >= 6
    text = caption(scene, random.Random(seed))
    for how in INVERSE:
        text = text.replace(f" {how} ", " ")
    said = [word for word in text.split() if word in PLACES]
    assert set(said) <= {t.position for t in scene.things if t.place_is_clear} | {"top", "bottom"}


PLACES = {place for row in POSITIONS for place in row}


def exam_questions(scenes: int = 1500):
    return [
        q for i in range(scenes) for q in benchmark_questions(sample_scene(held_out_seed(7, i)))
    ]


@pytest.mark.long
def test_looking_away_does_not_pay():
    """The likeliest answer to each question's words is right at most this often, by category."""
    right, asked = Counter(), Counter()
    for q in exam_questions():
        asked[q.category] += 1
        right[q.category] += is_guessed(q)
    share = {category: right[category] / asked[category] for category in CATEGORIES_OF_QUESTIONS}
    assert set(share) == set(asked)
    assert share["vision_centric"] < 0.25 and share["ocr_chart"] < 0.25
    assert share["knowledge"] < 0.35 and share["general"] < 0.4


@pytest.mark.long
def test_no_kind_of_question_is_answered_by_its_words():
    right, asked = Counter(), Counter()
    for q in exam_questions():
        asked[q.kind] += 1
        right[q.kind] += is_guessed(q)
    for kind, n in asked.items():
        # two answers, like yes and no: .5, and what is left to chance in some hundred questions
        assert n > 100 and right[kind] / n < 0.6, kind


@pytest.mark.long
def test_a_guess_is_the_most_frequent_answer_to_the_words_or_to_the_kind():
    said = Counter()
    for seed in range(3000):
        for q in questions(sample_scene(seed), random.Random(f"guess {seed}"), benchmark=True):
            said[q.answer] += q.kind == "count_signs"
    asked = Question("vision_centric", "count_signs", "how many signs are there ?", "two")
    assert guess(asked) == said.most_common(1)[0][0] == "zero"
    rare = Question("vision_centric", "count_signs", "how many unicorns are there ?", "two")
    assert guess(rare) == "zero"
    coin = Question("vision_centric", "larger", "which is larger , the dog or the cat ?", "cat")
    assert guess(coin) == "dog" and not is_guessed(coin)


@pytest.mark.long
@given(seeds)
@settings(max_examples=200)
def test_in_an_exam_nothing_else_lies_on_the_side_that_is_asked_about(seed):
    scene = sample_scene(seed)
    named = {t.phrase: t for t in scene.things}
    for q in questions(scene, random.Random(seed), benchmark=True):
        if (not q.kind.endswith("relation") and q.kind != "beside_word") or q.kind == "is_relation":
            continue
        how = next(h for h in INVERSE if f" {h} the " in q.question)
        other = named[q.question.removesuffix(" ?").split(f"{how} the ")[1]]
        (thing,) = [t for t in scene.things if relation(t, other) == how]
        rivals = [t for t in scene.things if t not in (thing, other) and relation(t, other) is None]
        axis, sign = {"left of": ("x", -1), "right of": ("x", 1), "above": ("y", -1)}.get(
            how, ("y", 1)
        )
        assert all((getattr(t, axis) - getattr(other, axis)) * sign < PATCH for t in rivals)


def test_kinds_that_captions_tell_are_kinds():
    kinds = {q.kind for q in exam_questions(300)}
    assert kinds >= (ALWAYS_IN_CAPTIONS | IN_CAPTIONS_WITH_PLACE)


def test_the_world_is_the_one_of_the_counted_runs():
    """A change here makes results and checkpoints those of another world: train all anew."""
    assert world_fingerprint() == "5473e05d93c097ee"


def test_held_out_scenes_are_never_training_scenes():
    training = {pick(40_000, "stage 2", seed, i) for seed in range(3) for i in range(1000)}
    assert max(training) < 40_000 < held_out_seed(0, 0)
    assert len({held_out_seed(s, i) for s in range(3) for i in range(1000)}) == 3000


def test_examples_ship_with_their_truth():
    assert len(example_names()) == 12
    for name in example_names():
        truth = example_truth(name)
        assert example_path(name).is_file()
        assert truth.patch_labels.shape == (GRID, GRID)
        shown = {int(o) for o in truth.patch_labels.flat if o >= 0}
        assert shown == set(range(len(truth.scene.things)))
    with pytest.raises(ImageError, match="nothing: no such example scene"):
        example_path("nothing")


def test_a_missing_font_is_one_clear_error(monkeypatch, tmp_path):
    monkeypatch.setenv("LLAVIT_LENS_EMOJI_FONT", str(tmp_path / "none.ttf"))
    with pytest.raises(ConfigurationError, match="fonts-noto-color-emoji"):
        render_module.emoji_font_path()


@pytest.mark.long
@needs_font
def test_labels_mark_the_pixels_that_a_thing_changed():
    for seed in range(20):
        scene = sample_scene(seed)
        bare = Scene(scene.seed, (), scene.backgrounds, scene.horizon)
        with_things, labels = render(scene)
        without, ground = render(bare)
        changed = (np.asarray(with_things) != np.asarray(without)).any(-1)
        assert changed[labels >= 0].mean() > 0.97  # a white sign on snow changes nearly all
        assert (labels[~changed] < 0).mean() > 0.97
        assert set(np.unique(ground)) <= {-1, -2}


@needs_font
def test_shipped_examples_are_what_the_code_draws():
    name = example_names()[0]
    truth = example_truth(name)
    _, labels = render(truth.scene)
    assert np.array_equal(labels_of_patches(labels), truth.patch_labels)


def test_truth_speaks_of_the_thing_or_the_background():
    truth = example_truth()
    rows, cols = np.nonzero(truth.patch_labels >= 0)
    thing = truth.thing(rows[0], cols[0])
    assert truth.words(rows[0], cols[0]) == thing.words
    sign = next((t for t in truth.scene.things if t.kind == "sign"), None)
    assert sign is None or sign.words == {"sign", "text", sign.word, SIGN_WORDS[sign.word]}
    mixed = Truth(truth.scene, np.full((GRID, GRID), MIXED))
    assert mixed.words(0, 0) == frozenset()
