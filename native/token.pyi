from collections.abc import Mapping
from typing import Final, final

MAX_TOKEN_CHARACTERS: Final[int]

@final
class Grant:
    prefix: str
    not_before_s: int
    expires_at_s: int

@final
class TokenVerifier:
    def __init__(self, secrets: Mapping[bytes, bytes]) -> None: ...
    def verify(self, token: str, now_s: float) -> Grant | None: ...
