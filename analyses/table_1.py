"""Visual attention matters: the baseline beside a model trained without it, in miniature.

    python analyses/table_1.py --out tables
    python analyses/table_1.py --train runs --seeds 0,1,2 --out tables

After Table 1 of the paper. The first command compares our runs, with results in
`analyses/results`; the second trains every model that is missing in the folder (hours), evaluates
it and compares those. Training needs the font Noto Color Emoji.
"""

from __future__ import annotations

from pathlib import Path

from llavit_lens.studies.tables.options import table_app
from llavit_lens.terminal import run

app = table_app(1, Path(__file__).parent / "results")

if __name__ == "__main__":
    run(app)
