"""The choices of the page, each with the words that a user reads."""

from __future__ import annotations

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

ABLATIONS = {
    "none": "Nothing",
    "visual_attention": "No visual attention (Eq. 5)",
    "text->visual": "Text does not see the picture",
    "last->visual": "The last token does not see the picture",
    "visual->visual": "Patches do not see each other",
    "visual->text": "Patches do not see the text",
}
"""Interventions by the names that llavit_lens.interventions gives them."""
