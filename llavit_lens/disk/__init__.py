"""Files from outside are read within limits; our files are written whole or not at all."""

from llavit_lens.disk.durable import flush, new_file_mode, settle
from llavit_lens.disk.names import is_web_address, shown, user_path
from llavit_lens.disk.read import (
    MAX_TEXT_BYTES,
    check_file,
    has_file,
    read_bytes,
    read_json,
    read_text,
)
from llavit_lens.disk.strays import is_unfinished, remove
from llavit_lens.disk.write import (
    check_target,
    write_atomically,
    write_folder_atomically,
    write_text_atomically,
)

__all__ = [
    "MAX_TEXT_BYTES",
    "check_file",
    "check_target",
    "flush",
    "has_file",
    "is_unfinished",
    "is_web_address",
    "new_file_mode",
    "read_bytes",
    "read_json",
    "read_text",
    "remove",
    "settle",
    "shown",
    "user_path",
    "write_atomically",
    "write_folder_atomically",
    "write_text_atomically",
]
