"""A receiver of webhooks: a real HTTP server that does as it is told and writes down what came."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # that of the standard's own examples

RETRY_AFTER_S = 3000  # said with every 503
HANG, CLOSE, ENDLESS, REDIRECT = "hang", "close", "endless", "redirect"
Act = int | str


@dataclass(frozen=True, slots=True)
class Message:
    """A request, verified by the reference implementation."""

    id: str
    body: dict[str, Any]
    headers: dict[str, str]
    raw: bytes

    @property
    def media_id(self) -> str:
        return str(self.body["data"]["media_id"])

    @property
    def number(self) -> int:
        return int(self.body["data"]["number"])


@dataclass
class Receiving:
    """`decide` says what to do with a message, and with how many have come before it."""

    decide: Callable[[Message, int], Act] = lambda message, before: 204
    messages: list[Message] = field(default_factory=list)  # all that came, in that order
    taken: list[Message] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def numbers(self, media_id: str) -> list[int]:
        """Of what was taken of a title, in that order."""
        return [message.number for message in self.taken if message.media_id == media_id]


class Server(ThreadingHTTPServer):
    receiver: Receiving


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        message = Message(
            headers["webhook-id"], Webhook(SECRET).verify(body, headers), headers, body
        )
        with receiver.lock:
            act = receiver.decide(message, len(receiver.messages))
            receiver.messages.append(message)
            if act in (204, ENDLESS):
                receiver.taken.append(message)
        self._answer(receiver, act)

    def _answer(self, receiver: Receiving, act: Act) -> None:
        self.close_connection = act in (HANG, CLOSE, ENDLESS)
        if act == HANG:
            receiver.released.wait()
        elif act == ENDLESS:
            self._send_without_end(receiver)
        elif act != CLOSE:
            self.send_response(307 if act == REDIRECT else int(act))
            if act == REDIRECT:
                self.send_header("Location", f"{receiver.url}/elsewhere")
            if act == 503:
                self.send_header("Retry-After", str(RETRY_AFTER_S))
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send_without_end(self, receiver: Receiving) -> None:
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):  # once the sender has heard enough
            while not receiver.released.is_set():
                self.wfile.write(b"x" * 65536)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def receiving(decide: Callable[[Message, int], Act] | None = None) -> Iterator[Receiving]:
    receiver = Receiving() if decide is None else Receiving(decide)
    server = Server(("127.0.0.1", 0), Handler)
    server.receiver = receiver
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        serving.join()
        server.server_close()
