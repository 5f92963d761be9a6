"""What an interruption leaves behind never counts as a result."""

import json
from types import SimpleNamespace

import pytest

from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.world.corpus import Corpus
from llavit_lens.training.run import _Clock
from llavit_lens.training.run_folder import check_recipe, last_checkpoint


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


def test_damaged_notes_of_a_training_are_one_error(tmp_path):
    (tmp_path / "pictures.json").write_text("{half")
    with pytest.raises(ConfigurationError, match=r"pictures\.json: is no JSON"):
        Corpus(tmp_path, 1)
    for content, message in (("{half", "is no JSON"), ('"7"', "is not a number of minutes")):
        (tmp_path / "minutes.json").write_text(content)
        with pytest.raises(ConfigurationError, match=rf"minutes\.json: {message}"):
            _Clock(tmp_path / "minutes.json").on_train_begin(
                None, SimpleNamespace(global_step=1), 0
            )
