"""Multipart bodies by hand, so that they can be wrong."""

from collections.abc import Iterable

BOUNDARY = "headrace-test-boundary"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, value: bytes, *extra: str, filename: str | None = None) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    head = "\r\n".join((f"--{BOUNDARY}", disposition, *extra))
    return head.encode() + b"\r\n\r\n" + value + b"\r\n"


def file_part(value: bytes, filename: str = "clip.mp4") -> bytes:
    return part("file", value, "Content-Type: video/mp4", filename=filename)


def form(parts: Iterable[bytes]) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
