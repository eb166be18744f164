from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from media.asset import Asset
from media.commit import Commit
from media.plan import Plan
from stores.catalog.records import ASSET, COMMIT, PLAN, dump, load
from stores.errors import Unavailable
from tests.stores.catalog.strategies import any_of
from tests.stores.catalog.titles import asset, commit, plan


@pytest.mark.parametrize(("kind", "record"), [(ASSET, Asset), (PLAN, Plan), (COMMIT, Commit)])
@given(data=st.data())
def test_record_reads_back_the_same(
    kind: TypeAdapter[Any], record: type[Any], data: st.DataObject
) -> None:
    value = data.draw(any_of(record))
    again = load(kind, dump(kind, value))
    assert again == value
    assert repr(again) == repr(value)  # 1, 1.0 and True differ


def test_plan_keeps_its_version() -> None:
    assert load(PLAN, dump(PLAN, plan())).version == plan().version


NOT_RECORDABLE: list[dict[str, Any]] = [
    {"progress": "0.5"},
    {"progress": float("nan")},
    {"duration_s": float("inf")},
    {"title": None},
    {"title": "\ud800"},
    {"size_bytes": 2**64},
    {"size_bytes": 1.5},
    {"type": "film"},
    {"renditions": []},
    {"error": {"code": "x", "message": "y", "retryable": True}},
]


@pytest.mark.parametrize("changes", NOT_RECORDABLE)
def test_value_of_the_wrong_type_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot be recorded"):
        dump(ASSET, replace(asset("m"), **changes))


def without(text: str, name: str) -> str:
    fields = orjson.loads(text)
    del fields[name]
    return orjson.dumps(fields).decode()


RECORD = dump(ASSET, asset("m"))
FOREIGN = {
    "a field of a newer version": RECORD.replace('"id"', '"colour":"red","id"'),
    "a status of a newer version": RECORD.replace('"uploading"', '"paused"'),
    "another type": RECORD.replace('"size_bytes":0', '"size_bytes":"0"'),
    "a field is missing": without(RECORD, "title"),
    "cut off": RECORD[:-1],
    "empty": "",
}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_record_of_another_version_is_refused(text: str) -> None:
    with pytest.raises(Unavailable, match="record that this version cannot read"):
        load(ASSET, text)


def test_record_from_before_a_field_with_a_default_is_read() -> None:
    assert load(ASSET, without(RECORD, "renditions")) == asset("m")


def test_commit_reads_back_the_same() -> None:
    assert load(COMMIT, dump(COMMIT, commit("video-00001"))) == commit("video-00001")
