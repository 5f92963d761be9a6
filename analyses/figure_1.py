"""The words nearest to visual tokens at the input of the LLM, and its words at the output.

    python analyses/figure_1.py --out figures
    python analyses/figure_1.py --image cat.jpg --image band.jpg --relevant cat,tail,belly,claws \\
        --relevant helmet,guitar,uniform --baseline llava-hf/llava-1.5-7b-hf --out figures

After Figure 1 of the paper: of the top 3 words of each patch, the two that a stated rule chooses.
Figure 4 has all three, with their values. Without models and images it draws example scenes
with the demo models.
"""

from __future__ import annotations

from llavit_lens.studies.paper_figures.options import figure_app
from llavit_lens.terminal import run

app = figure_app(
    1, "Draw two words of numbered patches at the LLM's input (Eq. 4) and output: Figure 1."
)

if __name__ == "__main__":
    run(app)
