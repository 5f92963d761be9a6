"""Tables 1 and 3 of the paper (arXiv 2511.10301): accuracies, averaged over each category.

Percent, of benchmarks of photographs and documents, for models of 3 and 7 billion parameters.
"""

from __future__ import annotations

BASE_LLMS = ("Qwen2.5-3B", "Qwen2.5-7B")
CATEGORIES = ("vision_centric", "ocr_chart", "knowledge", "general")

BASELINE = {"Qwen2.5-3B": (39.3, 27.4, 67.5, 65.9), "Qwen2.5-7B": (45.0, 31.8, 71.7, 68.5)}

# Rows by the name of the variant, in the paper's order; values in the order of CATEGORIES.
TABLE_1 = {
    "baseline": BASELINE,
    "no_visual_attention": {
        "Qwen2.5-3B": (24.9, 10.7, 64.6, 50.2),
        "Qwen2.5-7B": (40.8, 27.6, 69.8, 67.0),
    },
}
TABLE_3 = {
    "baseline": BASELINE,
    "separate_qkv": {
        "Qwen2.5-3B": (44.7, 30.4, 68.2, 66.4),
        "Qwen2.5-7B": (47.2, 32.9, 72.6, 69.3),
    },
    "separate_qkv_bidirectional": {
        "Qwen2.5-3B": (45.4, 31.8, 68.4, 66.8),
        "Qwen2.5-7B": (47.8, 34.3, 73.1, 70.0),
    },
    "separate_qkv_local_global": {
        "Qwen2.5-3B": (47.5, 31.8, 68.5, 67.1),
        "Qwen2.5-7B": (48.8, 34.7, 73.8, 70.0),
    },
    "llavit": {
        "Qwen2.5-3B": (47.6, 32.2, 68.3, 67.2),
        "Qwen2.5-7B": (50.7, 35.7, 72.7, 71.2),
    },
}
