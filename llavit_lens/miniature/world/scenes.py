"""Scenes of the demo world and the truth of every patch.

A scene is a list of things on one or two textured backgrounds; it is fully given by its fields, so
it can be stored and drawn again at any scale. `sample_scene(seed)` makes one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from llavit_lens.evaluation.labelled.patch_labels import BACKGROUND, labels_from
from llavit_lens.miniature.world.concepts import BACKGROUNDS, CONCEPTS, POSITIONS, SIGN_WORDS
from llavit_lens.shipped import FIRST_EXAMPLE as FIRST_EXAMPLE
from llavit_lens.shipped import example_folder
from llavit_lens.shipped import example_names as example_names
from llavit_lens.shipped import example_path as example_path
from llavit_lens.shipped import sharper_path as sharper_path

SIZE = 112  # pixels of a side
PATCH = 14  # pixels of a patch side
GRID = SIZE // PATCH

# Label of a patch or pixel that shows no thing; a thing's label is its index in `Scene.things`.
BACKGROUND_TOP, BACKGROUND_BOTTOM, MIXED = -1, -2, -3
BACKGROUND_COVER = 0.9
PLACE_MARGIN = 6  # pixels from the edges of its ninth that make a thing's place clear


@dataclass(frozen=True)
class Thing:
    """An emoji (kind `object`) or a sign with a word on it; positions and sizes in pixels."""

    kind: str
    name: str
    x: int
    y: int
    width: int
    height: int
    size: str
    word: str = ""
    flip: bool = False
    rotation: float = 0.0
    brightness: float = 1.0

    @property
    def position(self) -> str:
        """The ninth of the image that holds the center, e.g. `top-left`."""
        return POSITIONS[min(2, self.y * 3 // SIZE)][min(2, self.x * 3 // SIZE)]

    @property
    def place_is_clear(self) -> bool:
        """Whether the center lies well inside of its ninth, so that its patches agree on it."""
        edges = (SIZE / 3, 2 * SIZE / 3)
        return min(abs(at - edge) for at in (self.x, self.y) for edge in edges) >= PLACE_MARGIN

    @property
    def places(self) -> frozenset[str]:
        """The ninths in which a person may say that it is: one, and those on both sides of an edge
        that is near its center."""
        near = (1 - PLACE_MARGIN, 0, PLACE_MARGIN - 1)
        rows = {min(2, (self.y + shift) * 3 // SIZE) for shift in near}
        cols = {min(2, (self.x + shift) * 3 // SIZE) for shift in near}
        return frozenset(POSITIONS[row][col] for row in rows for col in cols)

    @property
    def phrase(self) -> str:
        """Its name in questions: `dog`, `stop sign`."""
        return f"{self.word} sign" if self.kind == "sign" else self.name

    @property
    def words(self) -> frozenset[str]:
        """Every word that is true of a patch of this thing."""
        if self.kind == "sign":
            return frozenset({"sign", "text", self.word, SIGN_WORDS[self.word]})
        return CONCEPTS[self.name].words

    @property
    def names(self) -> frozenset[str]:
        """The thing's own name; for a sign also its word."""
        return frozenset({"sign", self.word}) if self.kind == "sign" else frozenset({self.name})


@dataclass(frozen=True)
class Scene:
    """One image: `backgrounds` above and below `horizon` (pixels; SIZE if there is only one)."""

    seed: int
    things: tuple[Thing, ...]
    backgrounds: tuple[str, str]
    horizon: int

    @property
    def objects(self) -> list[Thing]:
        return [t for t in self.things if t.kind == "object"]

    @property
    def signs(self) -> list[Thing]:
        return [t for t in self.things if t.kind == "sign"]

    def to_dict(self) -> dict:
        return asdict(self)

    @staticmethod
    def from_dict(record: dict) -> Scene:
        things = tuple(Thing(**t) for t in record["things"])
        a, b = record["backgrounds"]
        return Scene(record["seed"], things, (a, b), record["horizon"])


@dataclass(frozen=True)
class Truth:
    """What each patch of a scene shows.

    Attributes:
        scene: the scene.
        patch_labels: int [GRID, GRID], the index of a thing, or one of BACKGROUND_TOP,
            BACKGROUND_BOTTOM, MIXED (neither clearly a thing nor clearly background).
    """

    scene: Scene
    patch_labels: np.ndarray

    def words(self, row: int, col: int) -> frozenset[str]:
        """Every word that is true of the patch; empty where the patch is mixed."""
        thing = self.thing(row, col)
        if thing is not None:
            return thing.words
        return self.background(row, col)

    def thing(self, row: int, col: int) -> Thing | None:
        label = int(self.patch_labels[row, col])
        return self.scene.things[label] if label >= 0 else None

    def background(self, row: int, col: int) -> frozenset[str]:
        label = int(self.patch_labels[row, col])
        if label in (BACKGROUND_TOP, BACKGROUND_BOTTOM):
            return frozenset({self.scene.backgrounds[0 if label == BACKGROUND_TOP else 1]})
        return frozenset()


def labels_of_patches(pixel_labels: np.ndarray) -> np.ndarray:
    """Labels of patches, int16 [GRID, GRID], from labels of pixels, int [SIZE, SIZE].

    The rule for things is that of `labels_from`. A background patch is of one kind where that kind
    covers BACKGROUND_COVER of it or more, else MIXED.
    """
    things = np.array([_share(pixel_labels == i) for i in range(pixel_labels.max() + 1)])
    share = things.reshape(-1, GRID * GRID)
    labels = labels_from(share, share.sum(0) == 0)
    is_background = labels == BACKGROUND
    labels[labels < 0] = MIXED
    for kind in (BACKGROUND_TOP, BACKGROUND_BOTTOM):
        labels[is_background & (_share(pixel_labels == kind) >= BACKGROUND_COVER)] = kind
    return labels.reshape(GRID, GRID).astype(np.int16)


def _share(mask: np.ndarray) -> np.ndarray:
    """float64 [GRID * GRID], the share of each patch that a mask [SIZE, SIZE] covers."""
    return mask.reshape(GRID, PATCH, GRID, PATCH).mean((1, 3)).ravel()


def sample_scene(seed: int, max_things: int = 3) -> Scene:
    """A random scene: 1 to `max_things` different objects, and up to three signs in 60 % of scenes.

    Things do not overlap by more than a few pixels. The same seed gives the same scene.
    """
    rng = random.Random(f"scene {seed}")
    top = bottom = rng.choice(BACKGROUNDS)
    horizon = SIZE
    if rng.random() < 0.55:
        bottom = rng.choice([b for b in BACKGROUNDS if b != top])
        horizon = rng.choice([42, 56, 70])
    things: list[Thing] = []
    for _ in range(rng.choices([0, 1, 2, 3], [0.4, 0.18, 0.27, 0.15])[0]):
        _place(rng, things, _sample_sign)
    for _ in range(rng.choice([1, 2, 2, 3, 3][: 1 + 2 * (max_things - 1)])):
        _place(rng, things, _sample_object)
    if not any(t.kind == "object" for t in things):  # crowded out by signs: very rare
        things = [_sample_object(rng, [])]
    rng.shuffle(things)
    return Scene(seed, tuple(things), (top, bottom), horizon)


def _place(
    rng: random.Random,
    things: list[Thing],
    sample: Callable[[random.Random, list[Thing]], Thing],
) -> None:
    """Add a sampled thing where it is free; does nothing after 40 tries without a free place."""
    for _ in range(40):
        new = sample(rng, things)
        slack = 3
        if all(
            abs(new.x - t.x) >= (new.width + t.width) // 2 - slack
            or abs(new.y - t.y) >= (new.height + t.height) // 2 - slack
            for t in things
        ):
            things.append(new)
            return


def _sample_sign(rng: random.Random, things: list[Thing]) -> Thing:
    used = {t.word for t in things}
    width, height = 56, 22
    x = rng.randint(width // 2, SIZE - width // 2)
    y = rng.randint(height // 2, SIZE - height // 2)
    word = rng.choice([w for w in SIGN_WORDS if w not in used])
    return Thing("sign", "sign", x, y, width, height, "wide", word=word)


def _sample_object(rng: random.Random, things: list[Thing]) -> Thing:
    used = {t.name for t in things}
    size = rng.choice(["small", "large"])
    side = rng.randint(30, 36) if size == "small" else rng.randint(46, 56)
    x = rng.randint(side // 2 + 1, SIZE - side // 2 - 1)
    y = rng.randint(side // 2 + 1, SIZE - side // 2 - 1)
    name = rng.choice([n for n in CONCEPTS if n not in used])
    return Thing(
        "object", name, x, y, side, side, size,
        flip=rng.random() < 0.5, rotation=rng.uniform(-12, 12), brightness=rng.uniform(0.85, 1.12),
    )  # fmt: skip


# ---- the example scenes that ship with the package -------------------------------------------


def example_truth(name: str | None = None) -> Truth:
    """The scene of an example image and the truth of its patches."""
    path = example_path(name)
    record = json.loads((example_folder() / "scenes.json").read_text())[path.stem]
    return Truth(Scene.from_dict(record["scene"]), np.array(record["owner"], np.int16))
