"""The top 3 words of visual tokens at the output of the LLM, baseline beside LLaViT.

    python analyses/figure_5.py --out figures
    python analyses/figure_5.py --image street.jpg --relevant scooter,dog,leash,fruits \\
        --baseline baseline-3b --model llavit-3b --out figures

After Figure 5 of the paper, which shows models on Qwen2.5-3B; Figure 6 shows such on Qwen2.5-7B.
Without models and images it draws example scenes with the demo models.
"""

from __future__ import annotations

from llavit_lens.studies.paper_figures.options import figure_app
from llavit_lens.terminal import run

app = figure_app(
    5, "Draw the top 3 output words of numbered patches, baseline beside LLaViT: Figure 5."
)

if __name__ == "__main__":
    run(app)
