"""Scenes of the demo world as labelled pictures: the same truth, and changes that are made."""

from __future__ import annotations

import numpy as np
import pytest
from fonts import needs_font

from llavit_lens.evaluation.labelled.patch_labels import BACKGROUND, patch_labels
from llavit_lens.evaluation.labelled.recolour import main_hue
from llavit_lens.evaluation.readability.readability import readability
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.miniature.benchmark.labelled import demo_images
from llavit_lens.miniature.world.concepts import CONCEPTS
from llavit_lens.miniature.world.corpus import held_out_seed
from llavit_lens.miniature.world.render import render
from llavit_lens.miniature.world.scenes import labels_of_patches, sample_scene
from llavit_lens.vlm.load import load

pytestmark = needs_font


@pytest.mark.long
def test_tokens_belong_to_what_the_scenes_truth_says() -> None:
    layout = None
    for number, picture in enumerate(demo_images(12, seed=3, changes=False)):
        scene = sample_scene(held_out_seed(3, number))
        image, labels = render(scene)
        assert picture.image == image
        for thing, own in zip(scene.things, picture.objects, strict=True):
            assert own.words == thing.words
            assert own.name == (thing.name if thing.kind == "object" else None)
        layout = layout or load("demo:llavit").prepare(image).layout
        found, true = patch_labels(layout, picture).label, labels_of_patches(labels).ravel()
        assert (np.where(true >= 0, true, -9) == np.where(found >= 0, found, -9)).all()
        # background of which no kind is clear has no words in a scene's truth, but is background
        assert (found[(true == -1) | (true == -2)] == BACKGROUND).all()


def test_changes_are_of_the_thing_alone() -> None:
    kinds = []
    for picture in demo_images(12, seed=3):
        words = frozenset().union(*(thing.words for thing in picture.objects))
        for change in picture.changes:
            kinds.append(change.kind)
            changed = (np.asarray(change.image) != np.asarray(picture.image)).any(2)
            thing = next(own for own in picture.objects if (own.mask & change.mask).any())
            assert changed[change.mask].mean() > 0.5 and change.mask.any()
            if change.kind == "replace":
                assert change.old == thing.name and not CONCEPTS[change.new].words & words
                assert not (change.mask & ~thing.mask).any()
            else:
                assert change.old == thing.attributes["color"] != change.new
                assert not changed[~thing.mask].any()
                hue = main_hue(change.image, thing.mask)
                assert hue is not None and hue.share > 0.4
    assert kinds.count("replace") == 12 and kinds.count("recolour") >= 3


@pytest.mark.long
def test_the_demo_reads_far_above_chance() -> None:
    vlm = load("demo:baseline")
    table = readability(vlm, demo_images(6, seed=3)).table
    hits = []  # by the words' texts
    for number in range(6):
        scene = sample_scene(held_out_seed(3, number))
        image, labels = render(scene)
        words = logit_lens(vlm.trace(image), k=3, layers=2)
        for (row, col), owner in np.ndenumerate(labels_of_patches(labels)):
            if owner >= 0:
                said = {word.word.strip() for word in words.at(2, row, col)}
                hits.append(bool(said & scene.things[owner].words))
    rows = table[table["layer"].eq(2)].set_index(["measure", "k"])
    assert rows.loc[("hit", 3), "low"].item() > 3 * rows.loc[("hit", 3), "chance"].item()
    assert rows.loc[("hit", 3), "value"].item() == pytest.approx(np.mean(hits))
    plain = table[table["layer"].eq(2)].set_index("measure")
    assert plain.loc["localisation", "value"] > 0.8
    assert plain.loc["replace_follow", "value"] > 0.9
