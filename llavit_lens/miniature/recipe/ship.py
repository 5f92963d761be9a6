"""Put a trained tower and language model among the package's assets, in bfloat16.

python -m llavit_lens.miniature.recipe.ship runs/shared
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer, CLIPVisionModel, Qwen2ForCausalLM

from llavit_lens.disk import write_folder_atomically, write_text_atomically
from llavit_lens.miniature.recipe.presets import PRESETS
from llavit_lens.miniature.recipe.shared_parts import SHIPPED, shared_recipe


def ship_shared(shared: Path) -> None:
    """Copy tokenizer, tower and language model of `prepare_shared`, and their recipe."""
    for name, kind in (("tower", CLIPVisionModel), ("llm", Qwen2ForCausalLM)):
        model = kind.from_pretrained(shared / name).bfloat16()
        with write_folder_atomically(SHIPPED / name) as folder:
            model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(shared / "tokenizer")
    with write_folder_atomically(SHIPPED / "tokenizer") as folder:
        tokenizer.save_pretrained(folder)
    recipe = shared_recipe(PRESETS["cpu"])
    write_text_atomically(SHIPPED / "recipe.json", json.dumps(recipe, indent=1))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("python -m llavit_lens.miniature.recipe.ship FOLDER")
    ship_shared(Path(sys.argv[1]))
