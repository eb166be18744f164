"""Object keys: the one place that knows where a title's bytes live.

    source/<media>                                        the uploaded original
    v/<media>/<version>/index.m3u8                        multivariant playlist
    v/<media>/<version>/<rendition>/playlist.m3u8         media playlist
    v/<media>/<version>/<rendition>/init-<hash>.mp4       init segment
    v/<media>/<version>/<rendition>/<number>-<hash>.m4s   segment

A name that holds a hash of its content is never overwritten with other bytes.
"""

import hashlib
import re

SOURCES = "source/"
PACKAGES = "v/"
INDEX = "index.m3u8"
PLAYLIST = "playlist.m3u8"

_NAMED_HASH = re.compile(r"(?:.*/)?(?:init-([0-9a-f]{16})\.mp4|[0-9]{5,}-([0-9a-f]{16})\.m4s)")


def source_key(media_id: str) -> str:
    return f"{SOURCES}{media_id}"


def media_prefix(media_id: str) -> str:
    """Everything published for a title, every version; what a playback token opens."""
    return f"{PACKAGES}{media_id}/"


def package_prefix(media_id: str, version: str) -> str:
    return f"{media_prefix(media_id)}{version}/"


def content_hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def init_name(data: bytes) -> str:
    return f"init-{content_hash(data)}.mp4"


def segment_name(number: int, data: bytes) -> str:
    return f"{number:05d}-{content_hash(data)}.m4s"


def named_hash(key: str) -> str | None:
    """The hash of its content that an object's name holds; None where there is none."""
    match = _NAMED_HASH.fullmatch(key)
    return None if match is None else match[1] or match[2]
