import pytest

from stores.objects.keys import split_key, split_prefix

KEYS = [
    ("a", ["a"]),
    ("source/0193", ["source", "0193"]),
    ("v/m/1/720p/00001-ab.m4s", ["v", "m", "1", "720p", "00001-ab.m4s"]),
    ("v/Grüße und Spaß", ["v", "Grüße und Spaß"]),
    ("a..b/c.", ["a..b", "c."]),
    ("x" * 255, ["x" * 255]),
]
NO_PARTS = [
    *("..", ".", ".tmp", "../x", "a/../b", "a/./b", "a/.hidden/b", "/a", "//", "a//b"),
    *("a\\b", "a\0b", "a\nb", "a\x7fb", "a\ud800b", "C:\\x"),
    "x" * 256,
    "ü" * 128,
    "/".join(["part"] * 300),
]
NO_KEYS = [*NO_PARTS, "", "/", "a/", "a/..", "a/."]


@pytest.mark.parametrize(("key", "parts"), KEYS)
def test_key_is_split(key: str, parts: list[str]) -> None:
    assert split_key(key) == parts


@pytest.mark.parametrize("key", NO_KEYS)
def test_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is not an object key"):
        split_key(key)


@pytest.mark.parametrize(
    ("prefix", "split"),
    [
        ("", ([], "")),
        ("a", ([], "a")),
        ("a/", (["a"], "")),
        ("a/b", (["a"], "b")),
        ("a/b/", (["a", "b"], "")),
    ],
)
def test_prefix_is_split(prefix: str, split: tuple[list[str], str]) -> None:
    assert split_prefix(prefix) == split


@pytest.mark.parametrize("prefix", [*NO_PARTS, "/", "a/..", "a//", "../"])
def test_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="is not a prefix"):
        split_prefix(prefix)
