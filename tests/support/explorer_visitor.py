"""A visitor of the explorer without a browser: what any program may send to its server."""

from __future__ import annotations

import http.client
import socket
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

SECONDS = 120


class Visitor:
    """One session of the page.

    Attributes:
        alerts: the boxes that the last run of the page showed.
        elements: kinds of all elements of that run.
        uploader: the widget's identity; "" where there is none.
    """

    def __init__(self, socket: ClientConnection, address: str) -> None:
        self.socket, self.address = socket, address
        self.session = self.uploader = ""
        self.alerts: list[str] = []
        self.elements: list[str] = []

    def run(self, upload: tuple[str, str, int] | None = None) -> None:
        """Let the page run; with an upload's identity, name and size in its uploader."""
        message = BackMsg()
        message.rerun_script.query_string = ""
        if upload is not None:
            state = message.rerun_script.widget_states.widgets.add(id=self.uploader)
            info = state.file_uploader_state_value.uploaded_file_info.add()
            info.file_id, info.name, info.size = upload
            info.file_urls.file_id = info.file_id
        self.alerts, self.elements = [], []
        self.socket.send(message.SerializeToString())
        while True:
            answer = ForwardMsg()
            answer.ParseFromString(self.socket.recv(SECONDS))
            kind = answer.WhichOneof("type")
            if kind == "new_session":
                self.session = answer.new_session.initialize.session_id
            elif kind == "delta":
                element = answer.delta.new_element
                self.elements.append(element.WhichOneof("type"))
                if self.elements[-1] == "alert":
                    self.alerts.append(element.alert.body)
                elif self.elements[-1] == "file_uploader":
                    self.uploader = element.file_uploader.id
            elif kind == "script_finished":
                return

    def put(self, data: bytes) -> tuple[int, str]:
        """Send a file to the session's store; the status and the file's identity."""
        with urllib.request.urlopen(f"{self.address}/_stcore/health") as answer:
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
        identity, bound = str(uuid.uuid4()), "boundary"
        head = f'--{bound}\r\nContent-Disposition: form-data; name="x"; filename="mine.png"\r\n\r\n'
        link = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=SECONDS)
        link.request(
            "PUT",
            f"/_stcore/upload_file/{self.session}/{identity}",
            head.encode() + data + f"\r\n--{bound}--\r\n".encode(),
            {
                "Content-Type": f"multipart/form-data; boundary={bound}",
                "Cookie": cookie,
                "X-Xsrftoken": cookie.partition("=")[2].strip('"'),
            },
        )
        status = link.getresponse().status
        link.close()
        return status, identity


@contextmanager
def visitor(address: str, host: str | None = None) -> Iterator[Visitor]:
    """A visitor whose browser opened the page, under another name than the server's if need be."""
    netloc = urlsplit(address).netloc
    with connect(
        f"ws://{host or netloc}/_stcore/stream",
        origin=f"http://{host or netloc}",
        subprotocols=["streamlit"],
        max_size=None,
        sock=None if host is None else _socket_to(netloc),
    ) as link:
        found = Visitor(link, address)
        found.run()
        yield found


def _socket_to(netloc: str) -> socket.socket:
    name, _, port = netloc.rpartition(":")
    return socket.create_connection((name, int(port)), timeout=SECONDS)
