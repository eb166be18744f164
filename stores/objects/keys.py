"""Which object keys exist, the same for every backend.

No part may begin with a dot: that rules out `.` and `..`, and leaves such names to the stores.
"""

MAX_KEY_BYTES = 1024  # Amazon S3's limit
MAX_PART_BYTES = 255  # NAME_MAX of the common filesystems


def split_key(key: str) -> list[str]:
    """The parts of a key; raises ValueError if it is none."""
    parts = key.split("/")
    if len(_encoded(key)) > MAX_KEY_BYTES or not all(map(is_part, parts)):
        raise _not("an object key", key)
    return parts


def split_prefix(prefix: str) -> tuple[list[str], str]:
    """The whole parts of a prefix and the beginning of the next part, which may be empty."""
    *parts, rest = prefix.split("/")
    whole = all(map(is_part, parts)) and (not rest or is_part(rest))
    if len(_encoded(prefix)) > MAX_KEY_BYTES or not whole:
        raise _not("a prefix of object keys", prefix)
    return parts, rest


def is_part(part: str) -> bool:
    return (
        part != ""
        and not part.startswith(".")
        and "\\" not in part
        and "\0" not in part
        and part.isprintable()  # neither control characters nor lone surrogates
        and len(part.encode()) <= MAX_PART_BYTES
    )


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _not(what: str, text: str) -> ValueError:
    return ValueError(f"{text[:200]!r} is not {what}")
