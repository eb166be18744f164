"""Every value that the type of a record allows."""

import types
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from media.plan import Rung

integers = st.integers(-(2**63), 2**63 - 1)

LEAVES: dict[object, st.SearchStrategy[Any]] = {
    int: integers,
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    str: st.text(max_size=20),
    type(None): st.none(),
    Rung: st.builds(
        Rung,
        width=st.integers(8, 4000).map(lambda half: 2 * half),
        height=st.integers(8, 4000).map(lambda half: 2 * half),
        max_bit_rate=integers,
    ),
}


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    if kind in LEAVES:
        return LEAVES[kind]
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: any_of(hints[field.name]) for field in fields(kind)})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    arguments = get_args(kind)
    if get_origin(kind) is types.UnionType:
        return st.one_of(*map(any_of, arguments))
    assert get_origin(kind) is tuple, kind
    if arguments[-1] is Ellipsis:
        return st.lists(any_of(arguments[0]), max_size=3).map(tuple)
    return st.tuples(*map(any_of, arguments))
