"""The top 3 words of visual tokens at the LLM's input and output, with cosines and probabilities.

    python analyses/figure_4.py --out figures
    python analyses/figure_4.py --image cat.jpg --patches '3,5 8,10 12,2' --relevant cat,tail \\
        --baseline llava-hf/llava-1.5-7b-hf --out figures

After Figure 4 of the paper, the detailed version of Figure 1. Without models and images it
draws example scenes with the demo models.
"""

from __future__ import annotations

from llavit_lens.studies.paper_figures.options import figure_app
from llavit_lens.terminal import run

app = figure_app(
    4, "Draw the top 3 words of numbered patches at the LLM's input (Eq. 4) and output: Figure 4."
)

if __name__ == "__main__":
    run(app)
