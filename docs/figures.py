"""Figures of the analyses for these pages: small files, and a page that has their captions.

    python docs/figures.py FOLDER

FOLDER has what the commands of `analyses/README.md` wrote. Each PNG in it that belongs to the page
is stored in `docs/analyses` with a palette, which makes it a third as large and looks the same.
Then `docs/analyses/README.md` is written anew: every figure with its title and its caption, which
are in the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

HERE = Path(__file__).resolve().parent / "analyses"
COLORS, FLAT = 112, 80
COMMANDS = {
    "figure_1": "python analyses/figure_1.py --out figures",
    "figure_3": "python analyses/figure_3.py --out figures",
    "figure_4": "python analyses/figure_4.py --out figures",
    "figure_5": "python analyses/figure_5.py --out figures",
    "figure_6": "python analyses/figure_6.py --out figures",
    "table_1": "python analyses/table_1.py --out tables",
    "table_3": "python analyses/table_3.py --out tables",
    "table_3_kinds": "python analyses/table_3.py --out tables",
    "table_4": "python analyses/table_4.py --out tables",
    "table_5": "python analyses/table_5.py --out tables",
    "visual_attention_ablation": "python analyses/visual_attention_ablation.py --out ablation",
    "attention_distance": "python analyses/attention_distance.py --out distance",
    "visual_qkv_drift": "python analyses/visual_qkv_drift.py --out drift",
    "visual_qkv_undone": "python analyses/visual_qkv_undone.py --out undone",
    "readability": "llavit-lens readability --model demo:baseline --model demo:llavit --scenes 60 "
    "--out readability.png",
    "word_maps": "python analyses/word_maps.py --out maps",
    "text_only": "python analyses/text_only.py --base llavit_lens/assets/shared/llm --out text",
}
"""The figures of the page in order, and the command that draws each."""

ELSEWHERE = {"visual_attention_ablation": "../ablation.png"}
HEAD = """# What the analyses show

Every figure with its caption, as the file has it in its metadata (`Description`). All but Tables 4
and 5 are of the miniature models that ship, and say nothing about photographs.
[How to run and read the analyses](../../analyses/README.md).
Written by `python docs/figures.py`.
"""


def path_of(name: str) -> str:
    """Where a figure is, seen from the page."""
    return ELSEWHERE.get(name, f"{name}.png")


def store(source: Path, target: Path) -> None:
    """The same image with a palette, and the same title and caption."""
    with Image.open(source) as image:
        texts = PngInfo()
        for field in ("Title", "Description"):
            texts.add_text(field, image.text[field])  # type: ignore[attr-defined]
        small = with_palette(image.convert("RGB"))
        small.save(target, optimize=True, pnginfo=texts, dpi=image.info["dpi"])


def with_palette(image: Image.Image) -> Image.Image:
    """The most frequent colors as they are, which are those of lines, marks and letters; others
    by the nearest one in a palette."""
    counts = sorted(image.getcolors(image.width * image.height) or [], reverse=True)
    flat = [value for _, color in counts[:FLAT] for value in color]  # type: ignore[union-attr]
    others = image.quantize(COLORS - FLAT, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.array([*flat, *(others.getpalette() or [])][: 3 * COLORS]).reshape(-1, 3)
    red, green, blue = np.asarray(image).astype(np.int64).transpose(2, 0, 1)
    seen, places = np.unique(red << 16 | green << 8 | blue, return_inverse=True)
    colors = np.stack([seen >> 16, seen >> 8 & 255, seen & 255], axis=1)
    nearest = [((palette - color) ** 2).sum(1).argmin() for color in colors]
    small = Image.fromarray(np.array(nearest, dtype=np.uint8)[places].reshape(red.shape), "P")
    small.putpalette(palette.ravel().tolist())
    return small


def page() -> str:
    """The page: title, figure, caption and command of each."""
    parts = [HEAD]
    for name, command in COMMANDS.items():
        with Image.open(HERE / path_of(name)) as image:
            title, caption = image.text["Title"], image.text["Description"]  # type: ignore[attr-defined]
        parts.append(f"## {title}\n\n![{title}]({path_of(name)})\n\n{caption}\n\n    {command}\n")
    return "\n".join(parts)


def main(folder: Path) -> None:
    for name in COMMANDS:
        source = folder / f"{name}.png"
        if source.is_file():
            store(source, HERE / path_of(name))
    (HERE / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
