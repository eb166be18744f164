"""How a store is set up, where that is the operator's doing; see `headrace doctor`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trait:
    what: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True  # False: the service works without, worse or at a price
