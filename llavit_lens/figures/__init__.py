"""Words drawn on the image: patch-grid overlays and the paper's figures, all with matplotlib.

draw_patch_words       the top word on every patch, at one layer
draw_word_panels       the same for several layers and models, panel beside panel
draw_selected_patches  a few numbered patches with their top-k words and values (Figures 1 and 4)
draw_comparison        the demo's figure: scene, models and layers in one look
"""

from __future__ import annotations

from llavit_lens.figures.demo import draw_comparison
from llavit_lens.figures.panels import draw_word_panels
from llavit_lens.figures.patch_words import draw_patch_words
from llavit_lens.figures.selected import draw_selected_patches

__all__ = [
    "draw_comparison",
    "draw_patch_words",
    "draw_selected_patches",
    "draw_word_panels",
]
