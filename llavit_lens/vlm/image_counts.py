"""How many visual tokens each of several images of a prompt has: the proof of their layouts.

The places of several images' tokens follow each other without a mark. A layout that takes a token
too few from one image gives it to the next, and all looks well. So each image is processed by
itself too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image

Count = Callable[[Sequence[Image.Image], str], int]
"""Images and a text with a place for each of them -> how many visual tokens are made of them."""


def visual_tokens_of_each(
    count: Count, images: Sequence[Image.Image], text: str, mark: str
) -> list[int] | None:
    """How many visual tokens each image has in its prompt; None if it cannot be told.

    Some processors take several images in another way than one (LLaVA-OneVision leaves out their
    tiles). Then each image is processed as often as there are images, which makes equal shares.

    Args:
        count: processes images and a text.
        images: in the order of the prompt.
        text: of the prompt.
        mark: what stands for an image in it.
    """
    n, pieces, total = len(images), text.split(mark), count(images, text)
    alone = [
        count([image], "".join(pieces[:number]) + mark + "".join(pieces[number:]))
        for number, image in enumerate(images, 1)
    ]
    if sum(alone) == total:
        return alone
    repeated = [count([image] * n, text) for image in images]
    if sum(repeated) == n * total and all(made % n == 0 for made in repeated):
        return [made // n for made in repeated]
    return None
