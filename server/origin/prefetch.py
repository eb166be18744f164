"""What a player will ask for next, as far as the cache tells."""

from media.keys import PLAYLIST, named_hash
from native.cache import Cache
from native.origin import CachedObject, Request

_WHOLE = Request("GET", "")
_NEXT_LINES_BYTES = 512  # the tags of the next segment and its URI


def next_segment(objects: "Cache[CachedObject]", key: str) -> str | None:
    """The key of the segment behind this one in its media playlist, if that is in the cache and
    the segment is not."""
    folder, _, name = key.rpartition("/")
    playlist = objects.peek(f"{folder}/{PLAYLIST}")
    if playlist is None:
        return None
    uri = uri_behind(playlist.respond(_WHOLE).body, name)
    if uri is None or named_hash(uri) is None:
        return None
    following = f"{folder}/{uri}"
    return following if objects.peek(following) is None else None


def uri_behind(playlist: bytes, uri: str) -> str | None:
    line = b"\n%s\n" % uri.encode("ascii")
    at = playlist.find(line)
    if at < 0:
        return None
    start = at + len(line)
    for text in playlist[start : start + _NEXT_LINES_BYTES].splitlines():
        if not text.startswith(b"#"):
            return text.decode("ascii", "replace")
    return None
