"""Words as a model of real size would give them: 24 x 24 patches, or tiles; a large vocabulary of
words of several scripts, some long, some that cannot be printed."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import pixel_sha256
from llavit_lens.results.words import Tracked, Words

VOCABULARY = 151_936
_SYLLABLES = "ka lo mi ren stu vor tex ing un de pri son qua ble ar th"
HOSTILE = ["</script><b>", "' onload='", '"><img>', "&amp;", "\u202eabc", "\n\n", "\x00"]


def made_up_words(
    rows: int = 24,
    columns: int = 24,
    n_layers: int = 4,
    k: int = 5,
    *,
    tiles: int = 0,
    kind: Literal["logit_lens", "input_similarity"] = "logit_lens",
    sure: bool = False,
    tracked: bool = False,
    seed: int = 0,
    model: str = "made up",
) -> Words:
    """Words of an image with a scene in it: neighbors often share a word.

    Args:
        rows, columns: of the patch grid.
        n_layers: of the model; the logit lens has one more.
        tiles: further grids of the same size, two in a row.
        sure: whether probabilities are near 1; else they are as of a model that knows nothing.
    """
    rng = np.random.default_rng(seed)
    layout = _layout(rows, columns, tiles)
    n, layers = len(layout), list(range(n_layers + 1)) if kind == "logit_lens" else [0]
    texts = _texts(rng)
    ids = rng.integers(0, len(texts), (len(layers), n, k))
    shared = rng.random((len(layers), n)) < 0.6
    ids[..., 0] = np.where(shared, (layout.row // 6) * 7 + layout.col // 8, ids[..., 0])
    for layer in ids:  # a word comes once among the k of a patch
        for patch in layer:
            while len(set(patch.tolist())) < k:
                patch[1:] = rng.integers(0, len(texts), k - 1)
    top = rng.uniform(0.4, 0.99, ids.shape[:2]) if sure else rng.uniform(2e-4, 2e-3, ids.shape[:2])
    falling = np.cumprod(rng.uniform(0.2, 0.9, ids.shape), axis=2)
    shares = np.minimum(top[..., None] * falling / falling[..., :1], 1)
    lens = kind == "logit_lens"
    values = (np.log(shares) if lens else shares).astype(np.float32)
    image = image_of(columns, rows)
    return Words(
        kind=kind,
        layers=layers,
        ids=ids * 7,
        values=values,
        logsumexp=np.zeros(ids.shape[:2], np.float32) if lens else None,
        entropy=rng.uniform(9, 11.5, ids.shape[:2]).astype(np.float32) if lens else None,
        strings={7 * token: text for token, text in enumerate(texts)} | {3: "zebra"},
        layout=layout,
        provenance={
            "model": model,
            "revision": None,
            "n_layers": n_layers,
            "vocabulary": VOCABULARY,
            "prompt": "USER: describe the image",
            "image_sha256": pixel_sha256(image),
        },
        tracked=_tracked(rng, len(layers), n) if tracked else None,
        image=image,
    )


def image_of(columns: int, rows: int) -> Image.Image:
    """A sky, a meadow and a sun, 14 pixels for a patch."""
    y, x = np.mgrid[: 14 * rows, : 14 * columns]
    pixels = np.stack([90 + y / 4, 140 + 0 * y, 230 - y / 3], axis=2)
    pixels[y > 9 * rows] = (60, 140, 50)
    pixels[(x - 10 * columns) ** 2 + (y - 3 * rows) ** 2 < (2 * rows) ** 2] = (250, 220, 60)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _texts(rng: np.random.Generator) -> list[str]:
    syllables = _SYLLABLES.split()
    plain = [f" {''.join(rng.choice(syllables, rng.integers(1, 4)))}" for _ in range(4000)]
    chinese = [chr(code) + chr(code + 7) * (code % 2) for code in range(0x4E00, 0x4E00 + 1200)]
    others = ["привет", " мир", "한국어", "こんにちは", "مرحبا", "שלום", "नमस्ते", "🙂", " café"] * 40
    long = [" extraordinarily", " internationalization", "=" * 30] * 60
    texts = np.array([*plain, *chinese, *others, *long, *HOSTILE * 10], object)
    rng.shuffle(texts)
    common = [" sky", " blue", " light", " sun", " grass", " green", " 天空", " meadow", " the"] * 4
    return [*common, *texts.tolist()]


def _layout(rows: int, columns: int, tiles: int) -> VisualLayout:
    row, col = (axis.ravel() for axis in np.indices((rows, columns)))
    width, height = 14 * columns, 14 * rows
    parts = [(0, row, col, np.stack([col, row, col + 1, row + 1], axis=1) * 14.0)]
    for tile in range(1, tiles + 1):
        across, down = (tile - 1) % 2, (tile - 1) // 2
        lines = -(-tiles // 2)
        x0, y0 = across * width / 2, down * height / lines
        x, y = width / 2 / columns, height / lines / rows
        boxes = np.stack(
            [x0 + col * x, y0 + row * y, x0 + (col + 1) * x, y0 + (row + 1) * y], axis=1
        )
        parts.append((tile, row, col, boxes))
    n = len(parts) * rows * columns
    return VisualLayout(
        positions=np.arange(5, 5 + n),
        tile=np.concatenate([np.full(row.size, tile) for tile, *_ in parts]),
        row=np.concatenate([part[1] for part in parts]),
        col=np.concatenate([part[2] for part in parts]),
        grid=((rows, columns),) * len(parts),
        image_size=(width, height),
        boxes=np.concatenate([part[3] for part in parts]),
    )


def _tracked(rng: np.random.Generator, layers: int, n: int) -> Tracked:
    values = np.log(rng.uniform(1e-6, 1e-4, (layers, n, 1))).astype(np.float32)
    return Tracked(["zebra"], np.array([3]), values, np.full((layers, n, 1), 900))
