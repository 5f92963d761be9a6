"""The errors a person gets to see: each message is one line, what is wrong and what to do."""

from __future__ import annotations


class LlavitLensError(Exception):
    """Base of all errors meant for the user.

    As text it is one line that a terminal can print: names from outside may hold anything.
    """

    def __str__(self) -> str:
        text = super().__str__()
        return text if text.isprintable() else _escaped(" ".join(text.split()))


class ImageError(LlavitLensError):
    """An image that is missing, unreadable or too large, or whose masks are broken."""


class CheckpointError(LlavitLensError):
    """A model that cannot be found, or whose files do not fit the architecture."""


class ConfigurationError(LlavitLensError, ValueError):
    """A switch, setting or combination of arguments that has no right meaning."""


def install(extra: str) -> str:
    """How to install an extra of this package, for messages. It is on no index: a clone has it."""
    return f"pip install '.[{extra}]' in a clone of llavit-lens"


def one_line(error: Exception, most: int = 300) -> str:
    """The message of another library's error, on one line of at most `most` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[:most]}…"


def printable(text: str, most: int = 300) -> str:
    """A text from outside on one line of at most `most` characters.

    Only what no terminal prints is escaped: a name in any script stays readable.
    """
    text = _escaped(text)
    return text if len(text) <= most else f"{text[:most]}…"


def _escaped(text: str) -> str:
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )
