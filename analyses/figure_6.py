"""The top 3 words of visual tokens at the output of the LLM, for a second pair of models.

    python analyses/figure_6.py --out figures
    python analyses/figure_6.py --image zoo.jpg --relevant car,giraffe,tire,rack \\
        --baseline baseline-7b --model llavit-7b --out figures

After Figure 6 of the paper, which shows models on Qwen2.5-7B where Figure 5 has Qwen2.5-3B. The
demo has models of one size: the default shows them on two other scenes. Without models and
images it draws example scenes with the demo models.
"""

from __future__ import annotations

from llavit_lens.studies.paper_figures.options import figure_app
from llavit_lens.terminal import run

app = figure_app(
    6, "Draw the top 3 output words of numbered patches, baseline beside LLaViT: Figure 6."
)

if __name__ == "__main__":
    run(app)
