"""Operators: each uploads a real clip, follows it, plays it while it grows, and deletes it."""

import random
import time
from functools import cache
from pathlib import Path
from secrets import token_hex

from locust import between, task
from locust.contrib.fasthttp import ResponseContextManager

from bench.load.guest import Guest
from bench.load.viewers import Plans, play

CLIPS = Path(__file__).parents[2] / "tests" / "media"
UPLOADED = ("anamorphic-sar2x1-no-audio.mp4", "audio-only-cover.mp3")
BOUNDARY = "headrace-load-7d6b1c"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
POLL_S = 0.5
FOLLOWED_S = 120.0
PLAYED_S = 4.0
MB = 1_000_000


class NotEncoded(Exception):
    """An uploaded title did not become playable."""


class Operator(Guest):
    wait_time = between(1.0, 3.0)

    def on_start(self) -> None:
        self._user_id = f"load-{token_hex(4)}"

    @task
    def publish(self) -> None:
        media_id = self._upload(CLIPS / random.choice(UPLOADED))
        if media_id is None:
            return
        try:
            self._steer(media_id)
            if self._follow(media_id):
                plans = Plans(leave_at_s=time.monotonic() + PLAYED_S)
                play(self, media_id, self._user_id, plans)
            self._call("GET", "/media", "/media")
        finally:
            self._call("DELETE", f"/media/{media_id}", "/media/{id}", expected=204)

    def _upload(self, clip: Path) -> str | None:
        body = _form(clip)
        answer = self._call(
            "POST", "/upload", "/upload", expected=201, headers=MULTIPART, data=body
        )
        if answer is None:
            return None
        ms: float = answer.request_meta["response_time"]
        self.tell("upload", "ms per MB", ms / max(len(body) / MB, 1))
        return str(answer.json()["id"])

    def _steer(self, media_id: str) -> None:
        wanted = {"priority": "high"}
        self._call("POST", f"/media/{media_id}/priority", "/media/{id}/priority", json=wanted)

    def _follow(self, media_id: str) -> bool:
        """Until it is playable, or the run is over."""
        uploaded_s = time.monotonic()
        error: Exception | None = None
        while not self.is_leaving:
            answer = self._call("GET", f"/media/{media_id}", "/media/{id}")
            waited_s = time.monotonic() - uploaded_s
            title = {} if answer is None else answer.json()
            if title.get("playable"):
                break
            if title.get("error") or waited_s > FOLLOWED_S:
                error = NotEncoded(str(title.get("error") or f"not within {FOLLOWED_S:g} s"))
                break
            time.sleep(POLL_S)
        else:
            return False
        self.tell("operator", "playable", (time.monotonic() - uploaded_s) * 1000, error)
        return error is None

    def _call(
        self, method: str, path: str, name: str, **sent: object
    ) -> ResponseContextManager | None:
        return self.call(method, path, name, self._user_id, **sent)


@cache
def _form(clip: Path) -> bytes:
    head = (
        f"--{BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{clip.name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + clip.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()
