"""What the reports on words share: traces of one image, words of patches, a table of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llavit_lens.disk import shown
from llavit_lens.errors import ConfigurationError
from llavit_lens.inputs import DEFAULT_PROMPT
from llavit_lens.miniature.example import ExampleScene, example
from llavit_lens.output import write_files
from llavit_lens.shipped import example_of
from llavit_lens.token_text import printable
from llavit_lens.vlm.load import vocabulary_size
from llavit_lens.vlm.program import load
from llavit_lens.waiting import waiting

if TYPE_CHECKING:
    from PIL.Image import Image

    from llavit_lens.results.words import Words
    from llavit_lens.vlm.trace import Trace


def traces_of_image(
    image: Image, model: str, baseline: str | None, prompt: str | None, k: int
) -> Iterator[tuple[str, Trace]]:
    """Name and trace of each model, the baseline's first; one model is in memory at a time.

    Args:
        image: the image, upright.
        model, baseline, prompt, k: as `logit_lens_report`.

    Raises:
        LlavitLensError: as `logit_lens_report`.
    """
    names = [model] if baseline is None else [baseline, model]
    for name in names:
        if (words := vocabulary_size(name)) is not None and k > words:
            raise ConfigurationError(f"-k {k}: the vocabulary of {name} has {words} words")
    for name in names:
        vlm = load(name)
        with waiting(f"Looking at the image with {shown(name)}"):
            trace = vlm.trace(image, prompt or DEFAULT_PROMPT)
        del vlm
        yield name, trace


def scene_of(image: Path | None) -> ExampleScene | None:
    """The example scene that a command reads, with its truth; None for another image."""
    name = example_of(image)
    return None if name is None else example(name)


def write_words(named_words: Sequence[tuple[str, Words]], out: Path) -> None:
    """Write a table with one row for each model, lens, layer, patch and rank."""
    import pandas as pd

    tables = []
    for name, words in named_words:
        table = words.to_pandas().drop(columns=["image", "model", "prompt"])
        table.insert(0, "model", name)
        table.insert(1, "lens", words.kind)
        tables.append(table)
    write_files({out: pd.concat(tables, ignore_index=True)})


def print_by_token(name: str, words: Words, layers: Sequence[int]) -> None:
    """Print the best word of every visual token at some layers: what there is to read where tokens
    are no patches."""
    table = Table()
    table.add_column("token", justify="right")
    for layer in layers:
        table.add_column(f"layer {layer}")
    rows = [words.layer_index(layer) for layer in layers]
    for number, position in enumerate(words.layout.positions.tolist()):
        best = [words.strings[int(words.ids[row, number, 0])] for row in rows]
        table.add_row(str(position), *(Text(printable(word)) for word in best))
    console = Console()
    console.print(Text(f"{name}, logit lens: {words.layout.summary}", style="bold"))
    console.print(table)


def print_frequent(name: str, words: Words, k: int) -> None:
    """Print, for each layer, the `k` words that most often come first, and on how many patches."""
    cosine = words.kind == "input_similarity"
    lens = "input similarity" if cosine else "logit lens"
    on_image = words.layout.on_image
    what = "patches" if words.layout.has_map else "visual tokens"
    table = Table()
    table.add_column("layer", justify="right")
    table.add_column(f"most frequent ({what})")
    table.add_column("mean cosine" if cosine else "mean probability", justify="right")
    for layer, ids, values in zip(
        words.layers, words.ids[:, on_image, 0], words.values[:, on_image, 0], strict=True
    ):
        frequent = Counter(ids.tolist()).most_common(k)
        # Text, not str: a token such as [red] is no markup
        cell = Text("  ".join(f"{printable(words.strings[i])} ({count})" for i, count in frequent))
        table.add_row(str(layer), cell, f"{(values if cosine else np.exp(values)).mean():.3f}")
    console = Console()
    console.print(Text(f"{name}, {lens}: top words of {on_image.sum()} {what}", style="bold"))
    console.print(table)
