"""The search as a program, to be pasted into a file or a notebook."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llavit_lens.explorer.view import View
    from llavit_lens.results.hits import Hits


def corpus_code(index: str, view: View, hits: Hits) -> str:
    """Finds the same hits, and writes their sheet.

    Args:
        index: folder of the index, as people may see it.
    """
    options = [json.dumps(view.word, ensure_ascii=False)]
    if view.at is not None:
        options.append(f"layer={view.at}")
    if view.least and hits.lens == "logit_lens":
        options.append(f"min_probability={view.least / 100}")
    if view.per != "patch":
        options.append(f'per="{view.per}"')
    return "\n".join(
        [
            "import llavit_lens as ll",
            "",
            f"index = ll.WordIndex({json.dumps(index, ensure_ascii=False)})",
            f"hits = index.find({', '.join(options)}, limit={max(1, len(hits))})",
            'hits.sheet("sheet.html")',
        ]
    )
