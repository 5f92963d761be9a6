"""Images of which the truth is known, where a view takes an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from llavit_lens.evaluation.labelled.labelled_images import LabelledImage
from llavit_lens.images.open import open_image, pixel_sha256
from llavit_lens.miniature.example import ExampleScene, example
from llavit_lens.results.result import image_of
from llavit_lens.shipped import EXAMPLE_PREFIX, example_names, example_path

if TYPE_CHECKING:
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.words import Words


class Known(NamedTuple):
    """What is known of an image."""

    image: ImageSource | None
    """For people: of an example scene the sharper drawing."""
    truth: LabelledImage | None
    """What knows the words that are true of each patch; None: nothing does."""


def known_of(image: ImageSource | None, words: Words) -> Known:
    """Of an example scene and of a `LabelledImage` the truth, of others nothing.

    Args:
        image: as `show` takes it.
        words: read from it.

    Raises:
        ConfigurationError: the words were read from another image of this size.
        ImageError: there is no such example scene.
    """
    if isinstance(image, str) and image.startswith(EXAMPLE_PREFIX):
        image = example(image.removeprefix(EXAMPLE_PREFIX))
    if not isinstance(image, LabelledImage):
        return Known(image, None)
    if image.image.size != words.layout.image_size:  # a copy: its masks are of another size
        return Known(image.image, None)
    # checked here: the sharper drawing has another size, so nothing can check it later
    pixels = image_of(image.image, None, words.layout, words.provenance.get("image_sha256"))
    return Known(image.display if _is_shipped(image) else pixels, image)


def _is_shipped(image: LabelledImage) -> TypeGuard[ExampleScene]:
    """Whether it is an example scene with the image that it came with."""
    if not isinstance(image, ExampleScene) or image.name not in example_names():
        return False
    return pixel_sha256(image.image) == pixel_sha256(open_image(example_path(image.name)))
