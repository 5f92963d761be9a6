"""The vocabulary of an index: the text of every id once, and the tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llavit_lens.corpus.index import Index
from llavit_lens.corpus.schema import STRINGS_SCHEMA, strings_file, tokenizer_folder, with_metadata
from llavit_lens.disk import write_atomically, write_folder_atomically
from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.token_strings import string_of, token_strings


def write_vocabulary(index: Index, tokenizer: Any) -> None:
    """Write what is not there yet.

    Raises:
        ConfigurationError: it cannot be written.
    """
    if not strings_file(index.path).exists():
        with write_atomically(strings_file(index.path)) as path:
            pq.write_table(_strings(index, tokenizer), path, compression="zstd")
    if not (folder := tokenizer_folder(index.path)).exists():
        _save(tokenizer, folder)


def _strings(index: Index, tokenizer: Any) -> pa.Table:
    table = token_strings(tokenizer)
    ids = np.arange(index.settings.vocabulary, dtype=np.int32)
    texts = [string_of(table, number) for number in ids.tolist()]
    facts = {"part": "strings", "fingerprint": index.settings.fingerprint}
    return pa.table([pa.array(ids), pa.array(texts)], with_metadata(STRINGS_SCHEMA, facts))


def _save(tokenizer: Any, folder: Path) -> None:
    try:
        with write_folder_atomically(folder) as path:
            tokenizer.save_pretrained(path)
    except ConfigurationError:
        if not folder.exists():  # another process of this scan has not written it either
            raise
