"""The errors a person gets to see: each message is one line, what is wrong and what to do."""

from __future__ import annotations


class LlavitLensError(Exception):
    """Base of all errors meant for the user."""


class ImageError(LlavitLensError):
    """An image that is missing, unreadable or too large, or whose masks are broken."""


class CheckpointError(LlavitLensError):
    """A model that cannot be found, or whose files do not fit the architecture."""


class ConfigurationError(LlavitLensError, ValueError):
    """A switch, setting or combination of arguments that has no right meaning."""


def one_line(error: Exception, most: int = 300) -> str:
    """What somebody else's error says, on one line of at most `most` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[:most]}…"
