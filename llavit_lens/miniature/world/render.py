"""Draw a scene with the system's Noto Color Emoji font, and label what every pixel shows."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.world.concepts import CONCEPTS
from llavit_lens.miniature.world.scenes import BACKGROUND_BOTTOM, BACKGROUND_TOP, SIZE, Scene, Thing

FONT_SIZE = 109  # the only size of the bitmaps in Noto Color Emoji
FONT_FILE = "NotoColorEmoji.ttf"
FONT_FOLDERS = ("/usr/share/fonts/truetype/noto", "/usr/share/fonts/noto", "/usr/share/fonts")


def emoji_font_path() -> Path:
    """The font file: $LLAVIT_LENS_EMOJI_FONT, or where Linux distributions put it.

    Raises ConfigurationError that says how to get it.
    """
    setting = os.environ.get("LLAVIT_LENS_EMOJI_FONT")
    candidates = [Path(setting)] if setting else [Path(d) / FONT_FILE for d in FONT_FOLDERS]
    for path in candidates:
        if path.is_file():
            return path
    raise ConfigurationError(
        f"drawing scenes needs the font {FONT_FILE}, which is not at any of "
        f"{', '.join(map(str, candidates))}; install it "
        "(Debian, Ubuntu: apt-get install fonts-noto-color-emoji) or set "
        "LLAVIT_LENS_EMOJI_FONT to its path"
    )


def render(scene: Scene, scale: int = 1) -> tuple[Image.Image, np.ndarray]:
    """The image of a scene, RGB [SIZE * scale]², and the labels of its pixels at scale 1.

    Models see scale 1; larger scales are for people. Labels are int16 [SIZE, SIZE]: the index of a
    thing, BACKGROUND_TOP or BACKGROUND_BOTTOM.
    """
    top, bottom = scene.backgrounds
    rng = np.random.default_rng(scene.seed)
    texture = [_texture(top, scene.horizon, SIZE, rng)]
    if scene.horizon < SIZE:
        texture.append(_texture(bottom, SIZE - scene.horizon, SIZE, rng))
    pixels = np.clip(np.concatenate(texture), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels).resize((SIZE * scale, SIZE * scale), Image.Resampling.BICUBIC)
    labels = np.full((SIZE, SIZE), BACKGROUND_TOP, np.int16)
    labels[scene.horizon :] = BACKGROUND_BOTTOM
    for index, thing in enumerate(scene.things):
        sprite = _draw_sign(thing.word) if thing.kind == "sign" else _draw_object(thing)
        left, upper = thing.x - thing.width // 2, thing.y - thing.height // 2
        scaled = sprite.resize(
            (thing.width * scale, thing.height * scale), Image.Resampling.LANCZOS
        )
        image.paste(scaled, (left * scale, upper * scale), scaled)
        small = sprite.resize((thing.width, thing.height), Image.Resampling.LANCZOS)
        opaque = np.asarray(small.getchannel("A")) > 127
        labels[upper : upper + thing.height, left : left + thing.width][opaque] = index
    return image, labels


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(emoji_font_path()), FONT_SIZE)


@functools.cache
def _sprite(name: str) -> Image.Image:
    """The emoji of a concept, cropped, centered on a transparent square and halved in size."""
    canvas = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    emoji = CONCEPTS[name].emoji
    ImageDraw.Draw(canvas).text((10, 10), emoji, font=_font(), embedded_color=True)
    canvas = canvas.crop(canvas.getbbox())
    side = max(canvas.size)
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    square.paste(canvas, ((side - canvas.width) // 2, (side - canvas.height) // 2))
    return square


def _draw_object(thing: Thing) -> Image.Image:
    sprite = _sprite(thing.name)
    if thing.flip:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    sprite = sprite.rotate(thing.rotation, Image.Resampling.BILINEAR)
    alpha = sprite.getchannel("A")
    sprite = ImageEnhance.Brightness(sprite.convert("RGB")).enhance(thing.brightness)
    sprite.putalpha(alpha)
    return sprite


@functools.cache
def _draw_sign(word: str) -> Image.Image:
    """A white board with the word in black, drawn at four times the size that models see."""
    width, height = 56 * 4, 22 * 4
    board = Image.new("RGBA", (width, height), (255, 255, 252, 255))
    draw = ImageDraw.Draw(board)
    draw.rectangle([2, 2, width - 3, height - 3], outline=(40, 40, 40), width=5)
    size = 64
    while (font := ImageFont.load_default(size=size)).getlength(word) > width - 24:
        size -= 2
    draw.text((width / 2, height / 2 - 2), word, fill=(15, 15, 15), font=font, anchor="mm")
    return board


def _texture(name: str, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A textured background, float [height, width, 3] in 0..255."""
    noise = rng.standard_normal((height, width, 1))
    y, x = np.mgrid[:height, :width]
    match name:
        case "sky":
            return (
                np.array([140, 195, 245]) + noise * 3 + np.linspace(-25, 15, height)[:, None, None]
            )
        case "grass":
            blades = (noise + np.roll(noise, 1, 0) + np.roll(noise, 2, 0)) / 1.7
            return np.array([112, 180, 80]) + blades * 18
        case "sand":
            ripples = 6 * np.sin(y / 6 + np.sin(x / 15))
            return np.array([228, 205, 150]) + noise * 11 + ripples[..., None]
        case "brick":
            row = y // 9
            mortar = ((y % 9) < 1) | (((x + (row % 2) * 9) % 18) < 1)
            return np.where(
                mortar[..., None], np.array([215, 208, 200]), np.array([172, 96, 76]) + noise * 6
            )
        case "water":
            waves = 18 * np.sin(y / 2.2 + 2 * np.sin(x / 7))
            return np.array([62, 135, 180]) + waves[..., None] + noise * 4
        case "snow":
            return np.array([238, 243, 250]) + noise * 4
    raise ValueError(f"no such background: {name}")
