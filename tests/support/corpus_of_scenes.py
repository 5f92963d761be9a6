"""A small corpus of example scenes, read by a demo model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import llavit_lens as ll
from llavit_lens.corpus.scan import scan
from llavit_lens.miniature.world.scenes import example_path

SCENES = ["crown-north-kite", "house-grapes-stop-robot", "kite-moon"]
PROMPT = "What color is it?"


def read_scenes(folder: Path) -> Path:
    """The corpus: `folder`/index, read from `folder`/photos. It takes seconds."""
    (folder / "photos").mkdir()
    for name in SCENES:
        shutil.copy(example_path(name), folder / "photos" / f"{name}.png")
    scan(
        folder / "photos", ll.load("demo:llavit"), folder / "index", layers=[0, 3, 6], prompt=PROMPT
    )
    return folder


def copied(corpus: Path, folder: Path, model: str = "demo:llavit") -> Path:
    """The index of a copy, whose photos are in the copy, too, and whose model goes by this name."""
    for part in ("photos", "index"):
        shutil.copytree(corpus / part, folder / part)
    about = folder / "index" / "index.json"
    content = json.loads(about.read_text())
    content["origin"] = {"images": str(folder / "photos")}
    about.write_text(json.dumps({**content, "model": model}))
    return folder / "index"
