"""Under which names the page of one machine may be opened."""

from __future__ import annotations

import pytest

from llavit_lens.explorer.allowed_hosts import is_allowed_host

OWN_HOSTS = [
    None,
    "localhost",
    "localhost:8501",
    "LOCALHOST:1",
    "localhost.",
    "127.0.0.1:8501",
    "127.5.4.3",
    "[::1]:8501",
]
FOREIGN = [
    "evil.example",
    "evil.example:8501",
    "localhost.evil.example",
    "127.0.0.1.evil.example:8501",
    "evil.example:localhost",
    "localhost@evil.example",
    "user:localhost@evil.example",
    "localhost/@evil.example",
    "localhost#.evil.example",
    "localhost:80:80",
    "localhost:x",
    "192.168.1.9:8501",
    "[2001:db8::1]",
    "[::1",
    "0x7f.1",
    "",
    ":8501",
    " localhost",
    "localhost, evil.example",
]


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_this_machine(host: str | None) -> None:
    assert is_allowed_host(host, "127.0.0.1", "localhost")


@pytest.mark.parametrize("server", ["127.0.0.1", "localhost", "::1"])
@pytest.mark.parametrize("host", FOREIGN)
def test_other_names(host: str | None, server: str | None) -> None:
    assert not is_allowed_host(host, server, "localhost")


@pytest.mark.parametrize("server", [None, "", "0.0.0.0", "::", "192.168.1.9", "lab.example"])
def test_who_listens_for_others_is_opened_by_number(server: str | None) -> None:
    assert is_allowed_host("192.168.1.9:8501", server, "localhost")
    assert is_allowed_host("[2001:db8::1]:8501", server, "localhost")
    assert not is_allowed_host("evil.example:8501", server, "localhost")


def test_names_that_the_command_line_gives() -> None:
    assert is_allowed_host("Lab.example:80", "lab.example", "localhost")
    assert is_allowed_host("page.example", "0.0.0.0", "page.example")
    assert not is_allowed_host("other.example", "lab.example", "page.example")
