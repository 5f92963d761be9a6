"""What an interruption leaves behind never counts as a result."""

import json

import pytest

from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.files import check_recipe, last_checkpoint


def test_the_newest_complete_checkpoint_counts(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for step, state in ((20, "{}"), (100, "{}"), (110, '{"global'), (120, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_text("w")
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-100")
    assert {f.name for f in tmp_path.iterdir()} == {"checkpoint-20", "checkpoint-100"}


def test_a_folder_keeps_its_recipe(tmp_path):
    folder = tmp_path / "run"
    check_recipe(folder, {"steps": 3})
    check_recipe(folder, {"steps": 3})
    with pytest.raises(ConfigurationError, match="another recipe"):
        check_recipe(folder, {"steps": 4})
    assert json.loads((folder / "recipe.json").read_text()) == {"steps": 3}
