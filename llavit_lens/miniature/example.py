"""`ll.example`: a drawn scene with everything that is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from llavit_lens.evaluation.labelled.labelled_images import LabelledImage
from llavit_lens.evaluation.labelled.patch_labels import BACKGROUND, patch_labels
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import open_image
from llavit_lens.miniature.benchmark.benchmark_questions import benchmark_questions
from llavit_lens.miniature.benchmark.labelled import labelled_objects
from llavit_lens.miniature.world.captions import plain_caption
from llavit_lens.miniature.world.questions import Question
from llavit_lens.miniature.world.scenes import BACKGROUND_COVER, Scene, example_truth
from llavit_lens.shipped import example_names, example_path, labels_path, sharper_path


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ExampleScene(LabelledImage):
    """A scene of the demo world that ships with the package: an image, and the truth about it.

    No demo model was trained on it. Its masks are those by which it was drawn, pixel by pixel: a
    pixel belongs to the thing in front that covers at least half of it.

    Attributes:
        image: 112 x 112 pixels, as the demo models see it.
        display: the same drawn with 448 x 448 pixels, for people.
        objects: its things; a sign has words, but no name of its own.
        name: as `ll.example` takes it.
        caption: what is there and where, in the words of the demo world.
        questions: with the right answer to each, as the benchmark asks them. Each is a tuple of
            (category, kind, question, answer).
        scene: the fields that it is drawn from.
    """

    display: Image.Image = field()
    name: str = ""
    caption: str = ""
    questions: tuple[Question, ...] = ()
    scene: Scene

    def true_words(self, layout: VisualLayout) -> list[frozenset[str] | None]:
        """As of every labelled image; of patches of the background, too."""
        words = super().true_words(layout)
        label = patch_labels(layout, self).label
        top, bottom = (frozenset({name}) for name in self.scene.backgrounds)
        for i in np.flatnonzero(label == BACKGROUND).tolist():
            _, y0, _, y1 = layout.boxes[i]
            above = min(max((self.scene.horizon - y0) / (y1 - y0), 0.0), 1.0)
            if top == bottom or above >= BACKGROUND_COVER:
                words[i] = top
            elif 1 - above >= BACKGROUND_COVER:
                words[i] = bottom
        return words

    def __repr__(self) -> str:
        width, height = self.image.size
        return f"ExampleScene({self.name}, {width} x {height} pixels: {self.caption})"


def example(name: str | None = None) -> ExampleScene:
    """An example scene, by one of the names that `examples` lists; without a name, the one on
    which the demo models do best.

    Whatever takes an image takes it, and its name as text, too:

        vlm.generate(ll.example("kite-moon"), "what is at the bottom ?")
        vlm.generate("example:kite-moon", "what is at the bottom ?")

    Raises:
        ImageError: there is no such scene.
    """
    path = example_path(name)
    scene = example_truth(path.stem).scene
    labels = np.asarray(Image.open(labels_path(path))).astype(np.int16) - 1
    return ExampleScene(
        image=open_image(path),
        objects=labelled_objects(scene, labels),
        display=open_image(sharper_path(path)),
        name=path.stem,
        caption=plain_caption(scene),
        questions=tuple(benchmark_questions(scene)),
        scene=scene,
    )


def examples() -> list[str]:
    """The names of the example scenes."""
    return example_names()
