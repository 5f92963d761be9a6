"""A model that is no network: its states are logits, which a test writes for each picture.

Pictures of 28 x 28 pixels on a grid of 4 x 4 patches. A pixel's red and green are the numbers of a
name and of a color in `NAMES` and `COLORS`, counted from 1; black is background. So an oracle can
read everything off the picture, and a test can break it in one way at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from llavit_lens.evaluation.labelled.labelled_images import Change, LabelledImage, LabelledObject
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.llava_like import LLAVA_LIKE
from llavit_lens.vlm.readout import Readout
from llavit_lens.vlm.trace import Trace

NAMES = ("dog", "cat", "bus", "tree", "cup")
COLORS = ("red", "blue", "gray")
VOCABULARY = ("<unk>", "\n", ",", "the", *NAMES, *COLORS)
ID = {word: i for i, word in enumerate(VOCABULARY)}
GRID, PATCH, STATES = 4, 7, 3
SIDE = GRID * PATCH

Write = Callable[[np.ndarray], np.ndarray]
"""From pixels uint8 [28, 28, 3] to logits [STATES, 16, vocabulary]."""


def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel(ID, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")


def layout() -> VisualLayout:
    row, col = (axis.ravel() for axis in np.indices((GRID, GRID)))
    boxes = np.stack([col, row, col + 1, row + 1], 1) * float(PATCH)
    positions = np.arange(GRID * GRID)
    return VisualLayout(
        positions, np.zeros_like(row), row, col, ((GRID, GRID),), (SIDE, SIDE), boxes
    )


class Oracle:
    """Stands for a VLM."""

    name = "oracle"
    model = SimpleNamespace(model=SimpleNamespace())
    family = LLAVA_LIKE

    def __init__(self, write: Write) -> None:
        self.write, self.tokenizer = write, tokenizer()

    def trace(self, image: Image.Image, prompt: str = "") -> Trace:
        size = len(VOCABULARY)
        return Trace(
            hidden=torch.tensor(self.write(np.asarray(image)), dtype=torch.float32),
            layouts=(layout(),),
            input_ids=torch.zeros(1, dtype=torch.long),
            prompt=prompt,
            images=(image,),
            readout=Readout(
                torch.nn.Identity(), torch.eye(size), None, torch.eye(size), self.tokenizer
            ),
            provenance={"n_layers": STATES - 1},
        )

    def trace_batches(self, asked: Iterable[tuple[Image.Image, str]]) -> Iterator[list[Trace]]:
        for image, prompt in asked:
            yield [self.trace(image, prompt)]


def knows(pixels: np.ndarray) -> np.ndarray:
    """The oracle: name first, color second; a newline on the background."""
    logits = np.zeros((STATES, GRID * GRID, len(VOCABULARY)))
    centers = pixels[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH].reshape(-1, 3)
    for patch, (name, color, _) in enumerate(centers):
        if name:
            logits[:, patch, ID[NAMES[name - 1]]] = 9
            logits[:, patch, ID[COLORS[color - 1]]] = 7
        else:
            logits[:, patch, ID["\n"]] = 9
    return logits


Place = tuple[str, str, tuple[int, int, int, int]]
"""Name, color, and (left, top, right, bottom) in patches."""


def picture(*places: Place, changes: Any = ()) -> LabelledImage:
    """A drawn and labelled picture; `changes` are (kind, number of the object, new name, color)."""
    masks = [_mask(box) for _, _, box in places]
    things = tuple(
        LabelledObject(mask, name, attributes={"color": color})
        for mask, (name, color, _) in zip(masks, places, strict=True)
    )
    made = []
    for kind, number, name, color in changes:
        new = list(places)
        new[number] = (name, color, places[number][2])
        old_name, old_color, _ = places[number]
        old, now = (old_name, name) if kind == "replace" else (old_color, color)
        made.append(Change(kind, _draw(new), masks[number], old, now))
    return LabelledImage(_draw(places), things, changes=tuple(made))


def _mask(box: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    left, top, right, bottom = (edge * PATCH for edge in box)
    mask[top:bottom, left:right] = True
    return mask


def _draw(places: Any) -> Image.Image:
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    for name, color, box in places:
        pixels[_mask(box)] = (NAMES.index(name) + 1, COLORS.index(color) + 1, 0)
    return Image.fromarray(pixels)


def world(count: int = 12, seed: int = 0) -> list[LabelledImage]:
    """Pictures of two things each, of different names and colors, with both changes."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        names, colors = rng.permutation(NAMES), rng.permutation(COLORS)
        wide = int(rng.integers(1, 3))
        places = [
            (str(names[0]), str(colors[0]), (0, int(rng.integers(0, 2)), wide, 3)),
            (str(names[1]), str(colors[1]), (2, 1, 4, int(rng.integers(2, 5)))),
        ]
        changes = [
            ("replace", 0, str(names[2]), str(colors[0])),
            ("recolour", 0, str(names[0]), str(colors[2])),
        ]
        made.append(picture(*places, changes=changes))
    return made
