"""The attack, repeated: about 600 seeded bad inputs, and what has to become of each of them.

No traceback, no hang, nothing accepted silently, nothing lost. Another seed is another attack:
`LLAVIT_LENS_SEED=7 make test-robustness`. Counts are printed.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from damage import NASTY, damaged_bytes, damaged_json
from outcomes import Case, attack
from PIL import Image
from programs import Program
from tiny import tiny_image, tiny_llavit, tiny_processor

import llavit_lens as ll
from llavit_lens.evaluation.labelled.labelled_images import LazyImages
from llavit_lens.images.open import open_image
from llavit_lens.studies.tables.run_result import RunResult, load_result

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("LLAVIT_LENS_SEED", "0"))
RESULTS = Path(__file__).parents[2] / "analyses" / "results"


def repeated(count: int, make: Callable[[Random], Case]) -> Iterator[Case]:
    """`count` cases, each made with a generator of its own."""
    for number in range(count):
        case = make(Random(f"{SEED}-{number}"))
        yield Case(f"{number}, {case.name}", case.act, case.is_right)


# Images


def test_images(tmp_path: Path) -> None:
    """A damaged image is refused, or is what Pillow makes of the same bytes."""
    whole = []
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        for mode in ("RGB", "L"):
            buffer = io.BytesIO()
            exif = Image.Exif()
            exif[0x0112] = 6
            tiny_image(width=37, height=23).convert(mode).save(buffer, kind, exif=exif)
            whole.append((f"{kind} {mode}", buffer.getvalue()))

    def make(random: Random) -> Case:
        name, data = random.choice(whole)
        done, bad = damaged_bytes(data, random)
        source: Any = bad
        if random.random() < 0.5:
            source = tmp_path / "image"
            source.write_bytes(bad)
        return Case(f"{name}, {done}", lambda: open_image(source), _is_an_image)

    attack("images", repeated(120, make))


def _is_an_image(image: Image.Image) -> bool:
    return image.mode == "RGB" and sorted(image.size) == [23, 37]


# Saved words


def test_words(tmp_path: Path) -> None:
    """A damaged file is refused, or gives the words that were saved."""
    words = ll.logit_lens(ll.load("demo:llavit").trace(tiny_image()), k=3)
    path = tmp_path / "words.parquet"
    words.save(path)
    whole = path.read_bytes()

    def make(random: Random) -> Case:
        done, data = damaged_bytes(whole, random)
        path.write_bytes(data)
        return Case(done, lambda: ll.Words.load(path), lambda loaded: loaded == words)

    attack("saved words", repeated(100, make))


# COCO-style files


def test_coco(tmp_path: Path) -> None:
    """Whatever is broken beside them, valid annotations of valid images are read as ever."""
    whole: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    for number in range(3):
        tiny_image(seed=number).save(tmp_path / f"{number}.png")
        size = {"width": 40, "height": 30}
        whole["images"].append({"id": number, "file_name": f"{number}.png", **size})
        whole["categories"].append({"id": number, "name": f"thing {number}"})
        for left in (3, 20):
            box = [left, 4.0 + number, 12, 9]
            whole["annotations"].append(
                {
                    "id": len(whole["annotations"]),
                    "image_id": number,
                    "category_id": number,
                    "bbox": box,
                    "segmentation": [_corners(box)] if left == 3 else [],
                    "area": 108,
                    "iscrowd": 0,
                }
            )
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(whole))
    right = _objects(ll.coco_images(path, tmp_path, changes=False))

    def make(random: Random) -> Case:
        content = deepcopy(whole)
        part = random.choice(["images", "annotations", "annotations", "categories"])
        entry = deepcopy(random.choice(content[part]))
        if part != "annotations":  # a second entry of one id would make the first ambiguous
            entry["id"] = 77
        bad = random.choice([entry, None, [], "x", 5])
        done = "no entry"
        if isinstance(bad, dict):
            key = random.choice([key for key in bad if key != "id"])
            bad[key] = random.choice([*NASTY, [[1, 2, 3, 4]], [-50, -50, 10, 10], [1, 2, "x", 4]])
            done = f"{key} = {bad[key]!r}"
        content[part].insert(random.randrange(len(content[part]) + 1), bad)
        path.write_text(json.dumps(content))
        return Case(
            f"{part}: {done}"[:200],
            lambda: _objects(ll.coco_images(path, tmp_path, changes=False)),
            lambda objects: objects >= right,
        )

    attack("COCO-style files", repeated(100, make))


def _corners(box: list[float]) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def _objects(pictures: LazyImages) -> set[tuple[bytes, str, bytes]]:
    """Image, name and mask of every object that can be read."""
    objects = set()
    for number in range(len(pictures)):
        try:
            picture = pictures[number]
        except ll.ImageError:
            continue
        pixels = picture.image.tobytes()
        objects |= {(pixels, thing.name, thing.mask.tobytes()) for thing in picture.objects}
    return objects


# Checkpoints

# Another value of these is another model, which nothing contradicts.
FREE = {
    "rms_norm_eps",
    "layer_norm_eps",
    "rope_theta",
    "rope_parameters",
    "image_mean",
    "image_std",
    "rescale_factor",
    "resample",
    "hidden_act",
    "chat_template",
    "eos_token_id",
    "crop_size",
    "size",
    "merges",
    "chat_template.jinja",
}


def test_checkpoints(tmp_path: Path) -> None:
    """A damaged checkpoint is refused, or answers as before; but for settings that are free."""
    good = tmp_path / "good"
    tiny_llavit().save_pretrained(good)
    tiny_processor().save_pretrained(good)
    image = tiny_image()
    right = _answers(good, image)
    files = sorted(path.name for path in good.iterdir())

    def make(random: Random) -> Case:
        folder = tmp_path / "bad"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        file = folder / random.choice(files)
        free = file.name in FREE
        if file.suffix == ".json" and random.random() < 0.7:
            done, place, text = damaged_json(json.loads(file.read_text()), random)
            file.write_text(text)
            free |= bool(FREE & {*map(str, place)})
        elif file.suffix == ".safetensors":
            data = file.read_bytes()
            # the values themselves carry no checksum
            header = 8 + int.from_bytes(data[:8], "little")
            done, start = damaged_bytes(data[:header], random)
            file.write_bytes(start + data[header:])
        else:
            done, data = damaged_bytes(file.read_bytes(), random)
            file.write_bytes(data)
        return Case(
            f"{file.name}: {done}",
            lambda: _answers(folder, image),
            lambda answers: free or answers == right,
        )

    attack("checkpoints", repeated(100, make))


def _answers(folder: Path, image: Image.Image) -> tuple[list[int], str]:
    vlm = ll.load(folder)
    words = ll.logit_lens(vlm.trace(image, "What is it?"), k=3)
    return words.ids.ravel().tolist(), vlm.generate(image, "What is it?", max_new_tokens=4)


# Results of runs


def test_results(tmp_path: Path) -> None:
    """A damaged result is refused, or says what it said."""
    whole = sorted(RESULTS.glob("*.json"))[0]
    content = json.loads(whole.read_text())

    def make(random: Random) -> Case:
        path = tmp_path / whole.name
        part = random.choice(list(content))
        if random.random() < 0.6:  # long lists would take nearly all of the damage
            done, _, text = damaged_json({part: content[part]}, random)
            path.write_text(json.dumps({**content, **json.loads(text)}))
        else:
            done, data = damaged_bytes(whole.read_bytes(), random)
            path.write_bytes(data)
        return Case(
            f"{part}: {done}", lambda: load_result(path), lambda run: _is_sound(run, content)
        )

    attack("results", repeated(60, make))


def _is_sound(run: RunResult, content: dict[str, Any]) -> bool:
    """Counts are those of the file, or at least counts: whole numbers that add up."""
    read, patches = np.array(run.read), np.array(run.patches)
    return bool(
        read.dtype.kind == "i"
        and patches.dtype.kind == "i"
        and (read >= 0).all()
        and (read <= patches[:, None]).all()
        and set(run.right) == set(content["right"])
    )


# The command line


class CommandRun:
    """What a command printed, and what it left of a file that was there."""

    def __init__(self, code: int, out: str, err: str, lost: bool) -> None:
        self.code, self.out, self.err, self.lost = code, out, err, lost

    def __repr__(self) -> str:
        return f"code {self.code}, lost {self.lost}, stderr {self.err!r}"

    @property
    def is_clean(self) -> bool:
        """A usage error of Typer's, or one line of ours; nothing lost."""
        lines = self.err.strip().splitlines()
        ours = len(lines) == 1 and lines[0].startswith("llavit-lens: error: ")
        usage = bool(lines) and lines[0].startswith("Usage: ")
        return self.code == 2 and (ours or usage) and not self.lost


def test_command_line(tmp_path: Path, command: Program) -> None:
    """Bad arguments give one line and exit code 2, and the files that were there stay."""
    good = tmp_path / "model"
    tiny_llavit().save_pretrained(good)
    tiny_processor().save_pretrained(good)
    tiny_image().save(tmp_path / "image.png")
    old = tmp_path / "old.csv"
    old.write_text("old")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "cut.png").write_bytes((tmp_path / "image.png").read_bytes()[:60])
    os.mkfifo(tmp_path / "pipe.json")
    names = [
        "",
        "no-such-thing",
        "~nobody-of-this-name/x",
        "x" * 300,
        f"{tmp_path}/" + "y/" * 3000,
        "a\0b",
        "\udcff",
        "[/x]",
        "\x1b[31m",
        "http://127.0.0.1/x.png",
        "/dev/zero",
        str(tmp_path),
        str(tmp_path / "loop"),
        str(tmp_path / "pipe.json"),
        str(tmp_path / "deep.json"),
        str(tmp_path / "cut.png"),
        str(old),
    ]
    numbers = ["-1", "x", "", "1e9", "nan", str(10**30)]
    image, model = str(tmp_path / "image.png"), ["--model", str(good)]

    def make(random: Random) -> Case:
        name, number = random.choice(names), random.choice(numbers)
        arguments = random.choice(
            [
                ["lens", name, *model],
                ["lens", image, "--model", name or "no-such-thing"],
                ["lens", image, *model, "--baseline", name or "no-such-thing"],
                ["lens", image, *model, "--out", f"{name or 'no-such-thing'}/x.png"],
                ["lens", image, *model, "--out", str(tmp_path / f"{name[:5]}.doc")],
                ["lens", image, *model, "--layers", f"{number}x", "--out", str(old)],
                ["lens", image, *model, "-k", number, "--out", str(old)],
                ["lens", image, *model, "--tile", number or "x", "--out", str(old)],
                ["lens", str(tmp_path / "cut.png"), *model, "--out", str(old)],
                ["readability", *model, "--coco", name, "--images", str(tmp_path)],
                ["readability", *model, "--scenes", number],
                ["readability", *model, "--words", name],
                ["readability", *model, "--out", f"{name or 'no-such-thing'}/x.csv"],
                ["convert", name, str(tmp_path / "out")],
                ["convert", str(good), f"{name or 'no-such-thing'}/out/out"],
                ["convert", str(good), str(tmp_path / "out"), "--vision-feature-layer", number],
                ["convert", str(good), str(tmp_path / "out"), "--base", name or "x"],
                ["convert", str(good), str(tmp_path / "out"), "--to", name],
                ["demo", "score", "--model", name or "no-such-thing", "--scenes", "2"],
                ["demo", "score", *model, "--scenes", number],
                ["demo", "draw", "--out", f"{name or 'no-such-thing'}/x.png"],
                ["demo", "draw", "--scene", name, "--out", str(tmp_path / "x.png")],
                ["demo", "train", "--variant", name, "--out", str(tmp_path)],
            ]
        )

        def act() -> CommandRun:
            code, out, err = command(*arguments)
            lost = old.read_text() != "old" or (tmp_path / "out").exists()
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            old.write_text("old")
            return CommandRun(code, out, err, lost)

        return Case(" ".join(arguments)[:200], act, lambda run: run.is_clean)

    attack("command line", repeated(120, make))
