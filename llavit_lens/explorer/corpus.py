"""The index that the page searches, opened once on this server, and its images."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.explorer import session
from llavit_lens.explorer.image_store import ImageStore, StoredImage
from llavit_lens.explorer.input_image import InputImage
from llavit_lens.explorer.view import View, corpus_picture

if TYPE_CHECKING:
    from llavit_lens.corpus.index_images import IndexImages
    from llavit_lens.corpus.word_index import WordIndex

_SHOWN = "corpus_image"
"""The session's image of a corpus: what it is, and its `StoredImage`."""

Stamp = tuple[int, ...]
"""Of what an index holds: times at which its parts were last written."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """An index that is open; visitors share it.

    Attributes:
        path: as it was given.
        stamp: see `stamp_of`.
        words: searches it.
        images: opens its images.
    """

    path: str
    stamp: Stamp
    words: WordIndex
    images: IndexImages


def chosen_index(view: View) -> str:
    """Folder of the index that a view searches.

    Raises:
        ConfigurationError: there is none, or the page does not offer it.
    """
    offered = st.session_state[session.INDEXES]
    index = view.index or offered.first
    if index is None:
        raise ConfigurationError("no index is open: open one first")
    if offered.public and index not in offered.names:
        raise ConfigurationError(
            f"{index}: not among the indexes of this page; choose one of those"
        )
    return index


def open_corpus(index: str) -> Corpus:
    """The index, opened if it was not, or if it has grown or changed since.

    Raises:
        ConfigurationError: it is no index, or one that cannot be read.
    """
    return _opened(index, stamp_of(index))


def stamp_of(index: str) -> Stamp:
    """Another one whenever a scan has written a part of the index."""
    times = []
    folder = Path(index).expanduser()
    for part in ("index.json", "images"):
        with suppress(OSError, ValueError):
            times.append((folder / part).stat().st_mtime_ns)
    return tuple(times)


@st.cache_resource(max_entries=32, show_spinner=False)
def _opened(index: str, stamp: Stamp) -> Corpus:
    from llavit_lens.corpus.index_images import IndexImages
    from llavit_lens.corpus.word_index import WordIndex

    return Corpus(index, stamp, WordIndex(index), IndexImages(index))


def corpus_image(index: str, number: int) -> InputImage:
    """An image of the index, which the session keeps until it shows another one.

    Raises:
        LlavitLensError: it is gone, or it has changed since it was read; or as `open_corpus`.
    """
    corpus = open_corpus(index)
    key = index, corpus.stamp, number
    kept: tuple[object, StoredImage] | None = st.session_state.get(_SHOWN)
    if kept is not None and kept[0] == key:
        with suppress(ImageError):  # it had to make room for others
            return _image_store().get(kept[1])
    from llavit_lens.images.open import pixel_sha256

    name = corpus.images.name(number)
    try:
        pixels = corpus.images.open(number)
    except ImageError as error:
        raise ImageError(f"{name or f'image {number}'}: {error}".rstrip(".")) from error
    image = InputImage(
        corpus_picture(number), pixels, pixels, pixel_sha256(pixels), name.rpartition("/")[2]
    )
    st.session_state[_SHOWN] = key, _image_store().put(image)
    return image


@st.cache_resource(show_spinner=False)
def _image_store() -> ImageStore:
    return ImageStore()
