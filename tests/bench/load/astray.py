"""A service whose playlists lead to another host, and that host, which only counts connections."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MEDIA = {"items": [{"id": "0" * 24, "playable": True}], "next_cursor": None}


class Host(ThreadingHTTPServer):
    daemon_threads = True
    playback_host = ""
    playlist = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def body(self, path: str) -> str | None:
        if path.endswith("/playback"):
            url = f"{self.playback_host}/t/x/v/m/1/index.m3u8"
            return json.dumps({"url": url, "cmcd_url": f"{self.url}/api/v1/cmcd?token=x"})
        if path.startswith("/api/v1/media"):
            return json.dumps(MEDIA)
        return self.playlist if path.endswith(".m3u8") else None


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Host

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_GET(self) -> None:
        body = self.server.body(self.path)
        content = (body or "").encode()
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def astray() -> Iterator[tuple[Host, Host]]:
    """The named host, which at first says that playback is elsewhere, and the other."""
    with Host() as named, Host() as elsewhere:
        named.playback_host = elsewhere.url
        named.playlist = (
            f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n{elsewhere.url}/v/m/1/360p/playlist.m3u8\n"
        )
        threads = [threading.Thread(target=host.serve_forever) for host in (named, elsewhere)]
        for thread in threads:
            thread.start()
        try:
            yield named, elsewhere
        finally:
            for host in (named, elsewhere):
                host.shutdown()
            for thread in threads:
                thread.join()
