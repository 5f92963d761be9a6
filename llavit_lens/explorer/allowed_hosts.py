"""The names under which a page may be opened.

A web site can give its own name the address of this machine (DNS rebinding). Without a check it
could then use the page in its visitors' browsers.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_allowed_host(
    host: str | None, server_address: str | None, browser_address: str | None
) -> bool:
    """Whether a page on this machine may answer a request.

    Args:
        host: the request's Host header, with or without a port; None: no browser sent it.
        server_address: where the server listens, None for everywhere.
        browser_address: the name under which people open the page.
    """
    if host is None:
        return True
    name = _name(host)
    if name in {"localhost", *map(_bare, filter(None, (server_address, browser_address)))}:
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    # other machines open the page by its number, and a number cannot be rebound
    return address.is_loopback or not _is_local(server_address)


def _name(host: str) -> str:
    """The name in a Host header; "" if the header is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises if it is no number
    except ValueError:
        return ""
    return _bare(parts.hostname or "") if parts.netloc == host and "@" not in host else ""


def _bare(name: str) -> str:
    return name.strip("[]").lower().rstrip(".")


def _is_local(server_address: str | None) -> bool:
    if not server_address:
        return False
    try:
        return ip_address(_bare(server_address)).is_loopback
    except ValueError:
        return _bare(server_address) == "localhost"
