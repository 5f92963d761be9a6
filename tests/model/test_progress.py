"""How far the loading of a model is, from the progress bars that there are anyway."""

import io
from threading import Thread

import pytest
from tiny import tiny_llavit, tiny_processor
from transformers.utils import logging

from llavit_lens.model import progress
from llavit_lens.model.progress import download_bar, report, watching
from llavit_lens.steps import BUILD, DOWNLOAD, READ
from llavit_lens.vlm.load import load


@pytest.fixture
def calls():
    return []


def test_loading_reports_bytes_and_weights(tmp_path, calls, capfd):
    model = tiny_llavit()
    model.save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    with watching(lambda *call: calls.append(call)):
        load(tmp_path)
    steps = [step for step, _, _ in calls]
    assert steps == sorted(steps, key=[READ, BUILD].index) and set(steps) == {READ, BUILD}
    read = [call for call in calls if call[0] == READ]
    assert read[0][1] == 0 and {total for _, _, total in read} == {
        sum(x.nbytes for x in model.state_dict().values())
    }
    done = [done for _, done, _ in read]
    assert done == sorted(done) and len(read) == len(model.state_dict())
    assert calls[-1] == (BUILD, calls[-1][2], calls[-1][2])
    assert "Loading weights" not in capfd.readouterr().err
    assert logging._tqdm_hook is None
    calls.clear()
    load(tmp_path)
    assert not calls


def test_the_hook_is_given_back_after_an_error(calls):
    with pytest.raises(KeyError), watching(lambda *call: None), progress.weights_bar():
        assert logging._tqdm_hook is not None
        raise KeyError
    assert logging._tqdm_hook is None
    report(READ, 1, 2)
    assert download_bar() is None


def test_downloads_report_bytes_of_all_threads_and_no_files(calls, monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    with watching(lambda *call: calls.append(call)):
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
    assert {step for step, _, _ in calls} == {DOWNLOAD}
    assert calls[-1] == (DOWNLOAD, 900, 900)
    assert (DOWNLOAD, 300, 900) in calls and not written.getvalue()
