"""Who waits for a model hears how far its loading is, from the bars that there are anyway."""

import io
from threading import Thread

import pytest
from tiny import tiny_llavit, tiny_processor
from transformers.utils import logging

from llavit_lens.model import progress
from llavit_lens.model.progress import BUILD, DOWNLOAD, READ, download_bar, tell, watching
from llavit_lens.vlm.load import load


@pytest.fixture
def heard():
    return []


def test_loading_tells_of_bytes_and_weights(tmp_path, heard, capfd):
    model = tiny_llavit()
    model.save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    with watching(lambda *said: heard.append(said)):
        load(tmp_path)
    steps = [step for step, _, _ in heard]
    assert steps == sorted(steps, key=[READ, BUILD].index) and set(steps) == {READ, BUILD}
    read = [said for said in heard if said[0] == READ]
    assert read[0][1] == 0 and {total for _, _, total in read} == {
        sum(x.nbytes for x in model.state_dict().values())
    }
    done = [done for _, done, _ in read]
    assert done == sorted(done) and len(read) == len(model.state_dict())
    assert heard[-1] == (BUILD, heard[-1][2], heard[-1][2])
    assert "Loading weights" not in capfd.readouterr().err
    assert logging._tqdm_hook is None
    heard.clear()
    load(tmp_path)
    assert not heard


def test_the_hook_is_given_back_after_an_error(heard):
    with pytest.raises(KeyError), watching(lambda *said: None), progress.weights_bar():
        assert logging._tqdm_hook is not None
        raise KeyError
    assert logging._tqdm_hook is None
    tell(READ, 1, 2)
    assert download_bar() is None


def test_downloads_tell_of_bytes_from_all_threads_and_not_of_files(heard, monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    with watching(lambda *said: heard.append(said)):
        bar = download_bar()
    # as huggingface_hub's snapshot_download uses it
    files = bar(range(3), desc="Fetching 3 files", total=3)
    size = bar(desc="Reconstructing (incomplete total...)", total=0, initial=0, unit="B")
    size.total = 900

    def fetch():
        size.update(300)
        size.refresh()

    for _ in files:
        thread = Thread(target=fetch)
        thread.start()
        thread.join()
    size.close()
    assert {step for step, _, _ in heard} == {DOWNLOAD}
    assert heard[-1] == (DOWNLOAD, 900, 900)
    assert (DOWNLOAD, 300, 900) in heard and not written.getvalue()
