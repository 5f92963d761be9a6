"""The choices of the page, each with the words that a user reads."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

MODES = {
    "look": "One model",
    "compare": "Compare two",
    "ablate": "Ablate",
}

COLORS = {
    "probability": "probability of the top word",
    "entropy": "certainty",
    "word": "the searched word",
    "difference": "where two models differ",
}

SCALES = {
    "": "as suits the color",
    "fixed": "the same for all layers",
    "layer": "fitted to the layer",
    "log": "logarithmic",
}

LABELS = {
    "": "as the patches are many or few",
    "each": "a word on each patch",
    "merged": "one word for neighbors that have the same",
    "off": "no words",
}

ABLATIONS = {
    "visual_attention": "No visual attention (Eq. 5)",
    "text->visual": "Text does not see the picture",
    "last->visual": "The last token does not see the picture",
    "visual->visual": "Patches do not see each other",
    "visual->text": "Patches do not see the text",
    "causal": "Patches see only patches before them",
    "bidirectional": "Patches see all patches (Eq. 8)",
}
"""Interventions by the names that llavit_lens.interventions gives them."""

_TITLES = {
    "demo:baseline": "LLaVA baseline",
    "demo:llavit": "LLaViT",
    "demo:no_visual_attention": "LLaVA baseline without visual attention",
}


def demo_models() -> list[str]:
    """`vlm.load.demo_names`, without PyTorch, which that module needs: the page opens before it."""
    folder = files("llavit_lens") / "assets" / "checkpoints"
    found = [f for f in folder.iterdir() if (f / "config.json").is_file()]
    return [f"demo:{name}" for name in sorted(f.name for f in found)]


def model_title(name: str, public: bool = False) -> str:
    """A model's name as people read it; to the public, of a folder no more than its own name."""
    if name in _TITLES:
        return f"{_TITLES[name]} ({name})"
    path = Path(name).expanduser()
    return path.name if public and path.is_dir() else name
