"""The choices of the page, each with the words that a user reads."""

from __future__ import annotations

MODES = {
    "look": "One model",
    "compare": "Compare two",
    "ablate": "Ablate",
    "corpus": "Corpus",
}

PER = {
    "patch": "patch",
    "image": "image",
}
"""What a hit of a search is, by its name in `WordIndex.find`."""

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

EQ_5 = (
    "Eq. 5: $x'_i = x_i$ for each patch $i$. Attention adds nothing to a patch; its MLP still "
    "works, and text still sees it."
)
EQ_8 = (
    "Eq. 8: Two patches see each other whichever comes first, $M_{ij} = 0$ for visual $i, j$; "
    "text still sees only what is before it."
)
"""The equations of the paper, for Markdown."""

OF_PATCHES = {
    "visual_attention": "No visual attention (Eq. 5)",
    "visual->visual": "Patches see no patches, not even themselves",
    "self": "Patches see themselves, but no other patches",
    "visual->text": "Patches do not see the text",
    "causal": "Patches see only patches before them",
    "bidirectional": "Patches see all patches (Eq. 8)",
}
OF_TEXT = {
    "text->visual": "Text does not see the patches",
    "last->visual": "The last token does not see the patches",
    "text->text": "Text does not see text, not even itself",
    "last->text": "The last token does not see the text, not even itself",
}
ABLATIONS = OF_PATCHES | OF_TEXT
"""Interventions by their names in `llavit_lens.interventions`. Those of the first group change what
patches read, and so their words; those of the second group only change what text reads."""
HELP = {
    "visual_attention": EQ_5,
    "visual->visual": "A patch sees no patch and not itself: of other tokens only text is left.",
    "self": "A patch sees itself and text, so patches exchange nothing with each other.",
    "visual->text": "A patch sees no text: no word of the prompt can change it.",
    "causal": "A patch sees only patches before it, row by row, as in LLaVA. This undoes Eq. 8.",
    "bidirectional": EQ_8,
    "text->visual": "No token of text sees a patch: the image reaches no word of the answer here.",
    "last->visual": "The token that predicts the next word sees no patch; text before it does.",
    "text->text": "A token of text sees no text and not itself: only patches are left to it.",
    "last->text": "The token that predicts the next word sees no text and not itself.",
}
"""What each of them does; Markdown."""

PAIRS = {
    "one": "{model}: before and after",
    "model": "both models; words of {model}, before and after",
    "other": "both models; words of {other}, before and after",
    "after": "both models; words of both, after",
}
"""Which models are ablated, and which words are shown."""
