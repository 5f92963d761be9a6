"""Checkpoints of every LLaVA format, read as they are and written as LLaViT or LLaVA folders.

The way of a checkpoint: `detect` says what the folder is; `source` maps its keys (`layouts`) and
opens its weights lazily (`read`) as transformers' own LLaVA, complete and checked; `target` applies
LLaViT's switches; `convert` writes the result shard by shard (`writing`).
"""

from __future__ import annotations
