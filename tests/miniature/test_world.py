"""Scenes, their truth, and what is said about them."""

import random
from collections import Counter

import numpy as np
import pytest
from fonts import needs_font
from hypothesis import given, settings
from hypothesis import strategies as st

from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature import render as render_module
from llavit_lens.miniature.concepts import CONCEPTS, SIGN_WORDS
from llavit_lens.miniature.corpus import held_out_seed, pick
from llavit_lens.miniature.language import INVERSE, caption, questions, relation
from llavit_lens.miniature.render import render
from llavit_lens.miniature.scenes import (
    GRID,
    MIXED,
    PATCH,
    SIZE,
    Scene,
    Truth,
    example_names,
    example_path,
    example_truth,
    patch_owners,
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


def test_owner_is_the_largest_thing_above_a_quarter_else_clear_background():
    labels = np.full((SIZE, SIZE), -1, np.int16)
    area = PATCH * PATCH
    patch = labels[:PATCH, :PATCH].reshape(-1).copy()
    patch[: area // 4] = 0  # exactly a quarter
    labels[:PATCH, :PATCH] = patch.reshape(PATCH, PATCH)
    patch[area // 4 - 1] = -1  # one pixel less
    labels[:PATCH, PATCH : 2 * PATCH] = patch.reshape(PATCH, PATCH)
    labels[PATCH // 2 : PATCH, 2 * PATCH : 3 * PATCH] = -2  # half sky, half sand
    owner = patch_owners(labels)
    assert owner.shape == (GRID, GRID)
    assert owner[0, 0] == 0
    assert owner[0, 1] == MIXED
    assert owner[0, 2] == MIXED
    assert (owner[1:] == -1).all()


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


@given(seeds)
@settings(max_examples=200)
def test_every_answer_follows_from_the_scene(seed):
    """Questions are read back by their wording and answered from the scene alone."""
    scene = sample_scene(seed)
    named = {t.word + " sign" if t.kind == "sign" else t.name: t for t in scene.things}
    names = [t.name for t in scene.objects]
    for q in questions(scene, random.Random(seed)):
        body = q.question.removesuffix(" ?")
        if q.kind == "position":
            assert q.answer == named[body.removeprefix("where is the ")].position
        elif q.kind in ("at", "kind_at", "color_at", "trait_at"):
            (thing,) = [t for t in scene.things if t.position == body.split()[-1]]
            field = {"at": "name", "kind_at": "category", "color_at": "color", "trait_at": "trait"}
            source = thing if q.kind == "at" else CONCEPTS[thing.name]
            assert q.answer == getattr(source, field[q.kind])
        elif q.kind in ("relation", "kind_relation", "read_relation"):
            how = next(h for h in INVERSE if f" {h} the " in body)
            other = named[body.split(f" {how} the ")[1]]
            (thing,) = [t for t in scene.things if t is not other and relation(t, other) == how]
            assert q.answer in thing.words | {thing.name}
        elif q.kind == "count":
            assert q.answer == ["zero", "one", "two", "three", "four", "five"][len(scene.things)]
        elif q.kind in ("read", "sign_kind"):
            (sign,) = scene.signs
            assert q.answer in (sign.word, SIGN_WORDS[sign.word])
        elif q.kind == "read_at":
            (sign,) = [t for t in scene.signs if t.position in body.split()]
            assert q.answer == sign.word
        elif q.kind == "exist":
            assert (q.answer == "yes") == (body.split()[-1] in names)
        elif q.kind == "exist_kind":
            kinds = {CONCEPTS[n].category for n in names}
            assert (q.answer == "yes") == (body.split()[-1] in kinds)
        elif q.kind in ("which_trait", "exist_trait"):
            having = [n for n in names if CONCEPTS[n].trait == body.split()[-1]]
            assert (
                [q.answer] == having
                if q.kind == "which_trait"
                else (q.answer == "yes") == bool(having)
            )
        elif q.kind == "which":
            (name,) = [n for n in names if CONCEPTS[n].category == body.split()[1]]
            assert q.answer == name
        elif q.kind == "background":
            assert q.answer == scene.backgrounds[body.endswith("bottom")]
        else:
            assert q.kind == "size" and q.answer == named[body.split()[-1]].size


def test_yes_and_no_are_balanced_enough_that_neither_is_a_good_guess():
    rng = random.Random(0)
    said = Counter(
        q.answer
        for seed in range(600)
        for q in questions(sample_scene(seed), rng)
        if q.answer in ("yes", "no")
    )
    assert 0.4 < said["yes"] / said.total() < 0.6


def test_held_out_scenes_are_never_training_scenes():
    training = {pick(40_000, "stage 2", seed, i) for seed in range(3) for i in range(1000)}
    assert max(training) < 40_000 < held_out_seed(0, 0)
    assert len({held_out_seed(s, i) for s in range(3) for i in range(1000)}) == 3000


def test_examples_ship_with_their_truth():
    assert len(example_names()) == 12
    for name in example_names():
        truth = example_truth(name)
        assert example_path(name).is_file()
        assert truth.owner.shape == (GRID, GRID)
        shown = {int(o) for o in truth.owner.flat if o >= 0}
        assert shown == set(range(len(truth.scene.things)))
    with pytest.raises(ConfigurationError, match="no example scene 'nothing'"):
        example_path("nothing")


def test_a_missing_font_is_one_clear_error(monkeypatch, tmp_path):
    monkeypatch.setenv("LLAVIT_LENS_EMOJI_FONT", str(tmp_path / "none.ttf"))
    with pytest.raises(ConfigurationError, match="fonts-noto-color-emoji"):
        render_module.emoji_font_path()


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
    assert np.array_equal(patch_owners(labels), truth.owner)


def test_truth_speaks_of_the_thing_or_the_background():
    truth = example_truth()
    rows, cols = np.nonzero(truth.owner >= 0)
    thing = truth.thing(rows[0], cols[0])
    assert truth.words(rows[0], cols[0]) == thing.words
    sign = next((t for t in truth.scene.things if t.kind == "sign"), None)
    assert sign is None or sign.words == {"sign", "text", sign.word, SIGN_WORDS[sign.word]}
    mixed = Truth(truth.scene, np.full((GRID, GRID), MIXED))
    assert mixed.words(0, 0) == frozenset()
