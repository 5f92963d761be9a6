"""How the words of a view are sent to the browser: as JSON, with an identity."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EncodedPayload:
    """A payload of `payload.words_payload`, encoded.

    Attributes:
        identity: the same for the same JSON: the browser builds its view again when it changes.
        body: the JSON.
    """

    identity: str
    body: bytes

    @classmethod
    def of(cls, payload: dict[str, Any]) -> EncodedPayload:
        """The payload's JSON and its identity."""
        body = json.dumps(payload, separators=(",", ":")).encode()
        return cls(hashlib.sha256(body).hexdigest()[:16], body)

    def payload(self) -> dict[str, Any]:
        """Inverse of `of`."""
        return json.loads(self.body)

    def lines(self) -> bytes:
        """The two lines that static/component.js reads."""
        return self.identity.encode() + b"\n" + self.body
