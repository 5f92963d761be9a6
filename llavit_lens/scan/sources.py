"""What a scan reads: one entry for all kinds of lists of images."""

from __future__ import annotations

from pathlib import Path

from llavit_lens.disk import shown, user_path
from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.scan.from_folder import images_of_folder
from llavit_lens.scan.image_list import ImageList


def source_of(images: str | Path) -> ImageList:
    """The list of images that a name stands for.

    Args:
        images: a folder: all images in it and below it.

    Raises:
        LlavitLensError: there is no such thing, or it holds no image.
    """
    path = user_path(images, what="the name of the images", error=ImageError)
    if path.is_dir():
        return images_of_folder(path)
    raise ConfigurationError(f"{shown(images)}: is no folder")
