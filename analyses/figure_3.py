"""Visual tokens in words at the output of the LLM, baseline beside LLaViT.

    python analyses/figure_3.py --out figures
    python analyses/figure_3.py --image street.jpg --relevant scooter,dog,leash \\
        --image zoo.jpg --relevant car,giraffe,roof --baseline baseline-3b --model llavit-3b \\
        --baseline baseline-7b --model llavit-7b --out figures

After Figure 3 of the paper: of the top 3 words of each patch, the two that a stated rule chooses;
relevant words are bold. Each image may have a pair of models of its own, as in the paper.
Without models and images it draws example scenes with the demo models.
"""

from __future__ import annotations

from llavit_lens.studies.paper_figures.options import figure_app
from llavit_lens.terminal import run

app = figure_app(3, "Draw two output words of numbered patches, baseline beside LLaViT: Figure 3.")

if __name__ == "__main__":
    run(app)
