"""Held-out scenes of the demo world as labelled images, for the readability measures."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from PIL import Image

from llavit_lens.evaluation.labelled.labelled_images import (
    Change,
    LabelledImage,
    LabelledObject,
    LazyImages,
)
from llavit_lens.evaluation.labelled.recolour import recolouring
from llavit_lens.miniature.world.concepts import CONCEPTS
from llavit_lens.miniature.world.corpus import held_out_seed
from llavit_lens.miniature.world.render import emoji_font_path, render
from llavit_lens.miniature.world.scenes import Scene, sample_scene


def demo_images(scenes: int, seed: int = 0, first: int = 0, changes: bool = True) -> LazyImages:
    """Scenes `first`, `first` + 1, … of a held-out set; no demo model was trained on any of them.

    An object has its name, and color, category and trait as attributes; a sign has words but no
    name of its own. With `changes`, each image has its counterfactuals (see `labelled_scene`).

    Raises:
        ConfigurationError: the emoji font is missing.
    """
    emoji_font_path()  # one clear error before any work starts
    seeds = [held_out_seed(seed, first + i) for i in range(scenes)]
    return LazyImages(seeds, lambda seed: labelled_scene(sample_scene(seed), changes))


def labelled_scene(scene: Scene, changes: bool = True) -> LabelledImage:
    """A scene, drawn.

    Its changes: one object replaced by another concept at the same place, and one object in another
    hue, where a scene has one that is mostly of the hue its color word says.
    """
    image, labels = render(scene)
    labelled = with_labels(scene, image, labels)
    if not changes:
        return labelled
    made = _replacing(scene, labels), recolouring(labelled)
    return replace(labelled, changes=tuple(change for change in made if change is not None))


def with_labels(scene: Scene, image: Image.Image, labels: np.ndarray) -> LabelledImage:
    """A scene that was drawn; `labels` is the number of the thing of each pixel."""
    return LabelledImage(image, labelled_objects(scene, labels))


def labelled_objects(scene: Scene, labels: np.ndarray) -> tuple[LabelledObject, ...]:
    """The things of a scene; `labels` is the number of the thing of each pixel."""
    objects = []
    for i, thing in enumerate(scene.things):
        mask = labels == i
        if thing.kind == "sign":
            objects.append(LabelledObject(mask, None, thing.words))
        else:
            concept = CONCEPTS[thing.name]
            attributes = {
                "color": concept.color,
                "category": concept.category,
                "trait": concept.trait,
            }
            objects.append(LabelledObject(mask, thing.name, thing.words, attributes))
    return tuple(objects)


def _replacing(scene: Scene, labels: np.ndarray) -> Change | None:
    """One object of the scene as another one, of a name, category, color and trait of its own."""
    rng = random.Random(f"replace {scene.seed}")
    numbers = [i for i, thing in enumerate(scene.things) if thing.kind == "object"]
    if not numbers:
        return None
    number = rng.choice(numbers)
    old = scene.things[number]
    present = frozenset().union(*(thing.words for thing in scene.objects))
    others = [name for name, concept in CONCEPTS.items() if not concept.words & present]
    if not others:
        return None
    new = replace(old, name=rng.choice(others))
    things = (*scene.things[:number], new, *scene.things[number + 1 :])
    image, changed = render(replace(scene, things=things))
    mask = (labels == number) & (changed == number)
    return Change("replace", image, mask, old.name, new.name)
