"""Draw the moving image at the top of README: an example scene, and its words layer by layer.

    python docs/moving_image.py

writes docs/layers.webp, and docs/layers.png, a still for people who want no motion.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

import llavit_lens as ll
from llavit_lens.disk import write_atomically
from llavit_lens.figures import draw_patch_words

MODEL, SCENE, QUESTION = "demo:llavit", "crown-north-kite", "what is at the left ?"
STILL = 3
"""The layer of the still."""
MILLISECONDS, LAST = 1100, 2600
"""How long a layer is shown, and the last one."""
QUALITY, COLORS = 80, 256
TEXT, MUTED, MARK = "#1a1a1a", "#8a8a8a", "#0b6e4f"


def main() -> None:
    scene = ll.example(SCENE)
    words = ll.logit_lens(ll.load(MODEL).trace(scene, QUESTION), k=1)
    frames = [frame(scene, words, layer) for layer in words.layers]
    folder = Path(__file__).parent
    with write_atomically(folder / "layers.webp") as path:
        frames[0].save(
            path,
            save_all=True,
            append_images=frames[1:],
            duration=[MILLISECONDS] * (len(frames) - 1) + [LAST],
            loop=0,
            quality=QUALITY,
            method=6,
        )
    with write_atomically(folder / "layers.png") as path:
        still = frames[STILL].quantize(COLORS, dither=Image.Dither.NONE)
        still.save(path, optimize=True)
    for name in ("layers.webp", "layers.png"):
        print(f"{name}: {(folder / name).stat().st_size / 1000:.0f} kB")


def frame(scene: ll.LabelledImage, words: ll.Words, layer: int) -> Image.Image:
    """The scene, the words of one layer, and a slider that stands at this layer."""
    figure = Figure(figsize=(8.4, 4.9), dpi=100, facecolor="white")
    plain = figure.add_axes((0.01, 0.15, 0.475, 0.82))
    plain.imshow(scene.display)
    plain.axis("off")
    read = figure.add_axes((0.515, 0.15, 0.475, 0.82))
    draw_patch_words(words, scene.display, layer, ax=read)
    read.set_title("")
    slider = figure.add_axes((0.515, 0.0, 0.475, 0.15))
    last = len(words.layers) - 1
    slider.set(xlim=(-0.8, last + 0.8), ylim=(-1.35, 0.75))
    slider.axis("off")
    slider.plot([0, last], [0, 0], color=MUTED, linewidth=2, zorder=1)
    slider.plot([0, layer], [0, 0], color=MARK, linewidth=4, zorder=2)
    for number in words.layers:
        here = number == layer
        slider.plot(number, 0, "o", ms=15 if here else 6, color=MARK if number <= layer else MUTED)
        name, color = (f"layer {number}", TEXT) if here else (str(number), MUTED)
        weight = "bold" if here else "normal"
        slider.text(number, -0.95, name, ha="center", fontsize=12, color=color, weight=weight)
    figure.text(0.248, 0.075, "the image", fontsize=12, color=TEXT, ha="center")
    with BytesIO() as file:
        figure.savefig(file, format="png", dpi=100)
        return Image.open(file).convert("RGB")


if __name__ == "__main__":
    main()
