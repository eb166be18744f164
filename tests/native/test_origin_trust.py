import pytest
from hypothesis import given
from hypothesis import strategies as st

from native.origin import Core, Miss, Request
from native.token import TokenVerifier
from server.tokens import TokenKeys, encode
from tests.native.test_origin import reference_split

NOW_S = 1_900_000_000.0
KEYS = TokenKeys({"k1": bytes(32)})
TOKEN = encode(KEYS, "m1", 2_000_000_000, bytes(16))
KEY = "v/m1/7/720p/00001-0123456789abcdef.m4s"
OLD, NEW = "o" * 32, "n" * 40


def core(*secrets: str) -> Core:
    return Core(TokenVerifier(KEYS.by_kid()), 1 << 20, 1 << 17, secrets=secrets)


def key_of(core: Core, path: str, given: str | None) -> str | None:
    answer = core.respond(Request("GET", path, origin_verify=given), NOW_S)
    if isinstance(answer, Miss):
        return answer.key
    assert answer.status == 403
    return None


@pytest.mark.parametrize(
    ("secrets", "given", "trusted"),
    [
        ([OLD, NEW], OLD, True),
        ([OLD, NEW], NEW, True),
        ([NEW], OLD, False),
        ([], OLD, False),
        ([], "", False),
        ([], None, False),
        ([OLD], None, False),
        ([OLD], "", False),
        ([OLD], OLD[:-1], False),
        ([OLD], OLD + "o", False),
        ([OLD], OLD[:-1] + "p", False),
        ([OLD], OLD.upper(), False),
        ([OLD], f"{OLD}, {OLD}", False),
        ([OLD], OLD[:-1] + "\u016f", False),  # ends in an o, were only its low byte compared
        ([OLD], "\u6f6f" * 16, False),  # the same bytes, as two of them for each character
    ],
)
def test_a_secret_takes_the_place_of_the_token(
    secrets: list[str], given: str | None, trusted: bool
) -> None:
    assert key_of(core(*secrets), f"/{KEY}", given) == (KEY if trusted else None)


def test_a_secret_opens_no_path_that_a_token_would_not_open() -> None:
    for path in ("/v/m1/7", "/v/m1/7/../a", "/v/m1//a", "/x/m1/7/a", "//v/m1/7/a", "v/m1/7/a", "/"):
        assert key_of(core(OLD), path, OLD) is None


@given(st.text("/v.m1_-%\0 é", max_size=20).map("/v/m/1".__add__) | st.text())
def test_a_secret_opens_what_is_a_key(path: str) -> None:
    split = reference_split(f"/t/T{path}")
    assert key_of(core(OLD), path, OLD) == (None if split is None else split[1])


def test_a_wrong_token_is_not_mended_by_a_secret() -> None:
    expired = encode(KEYS, "m1", int(NOW_S), bytes(16))
    assert key_of(core(OLD), f"/t/{TOKEN}/{KEY}", None) == KEY
    assert key_of(core(OLD), f"/t/{expired}/{KEY}", OLD) is None


def test_a_refusal_looks_nothing_up() -> None:
    origin = core(OLD)
    assert key_of(origin, f"/{KEY}", NEW) is None
    assert (origin.objects.misses, origin.missing.misses, origin.refusals) == (0, 0, 1)


@pytest.mark.parametrize("secret", ["", "é" * 40])
def test_a_secret_that_no_header_can_hold_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="at least one character, and none outside ASCII"):
        core(OLD, secret)
