"""What only the catalog in a SQLite file has: its file, its locks, its schema, its query plans."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from media.asset import Status
from stores.catalog import schema
from stores.catalog.schema import MIGRATIONS, open_database, transaction
from stores.catalog.sqlite import LIST_BY_USER, SqliteCatalog
from stores.errors import NotFound, Unavailable
from tests.stores.catalog.titles import asset, plan
from tests.stores.sandboxes import run_on_small_disk
from tests.stores.victims import victim

Body = Callable[[SqliteCatalog], Coroutine[None, None, None]]


def run(path: Path, body: Body) -> None:
    async def opened() -> None:
        catalog = SqliteCatalog(path)
        try:
            await body(catalog)
        finally:
            await catalog.close()

    asyncio.run(opened())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "catalog.db"


def test_pages_are_read_from_the_index(path: Path) -> None:
    path.parent.mkdir()
    with closing(open_database(path)) as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {LIST_BY_USER}", ("ann", 5, "m", 10))
        (step,) = [row[3] for row in rows]  # one step: in particular no sorting
    assert step == (
        "SEARCH assets USING INDEX assets_by_user (user_id=? AND (created_at_ms,id)<(?,?))"
    )


def test_writes_wait_for_the_disk(path: Path) -> None:
    with closing(open_database(path)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_catalog_that_was_never_used_makes_no_file(path: Path) -> None:
    async def body(catalog: SqliteCatalog) -> None:
        pass

    run(path, body)
    assert not path.exists()


def test_locked_catalog_is_waited_for_off_the_event_loop(path: Path) -> None:
    async def body(catalog: SqliteCatalog) -> None:
        await catalog.create(asset("m"))
        with closing(open_database(path)) as other:
            with transaction(other):
                update = asyncio.create_task(catalog.update("m", {"title": "new"}))
                for _ in range(100):
                    await asyncio.sleep(0)
                assert not update.done()
            assert (await update).title == "new"

    run(path, body)


def test_catalog_locked_for_too_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_S", 0.05)

    async def body(catalog: SqliteCatalog) -> None:
        await catalog.create(asset("m"))
        with closing(open_database(path)) as other:
            with transaction(other):
                for operation in (
                    catalog.update("m", {"title": "new"}),
                    catalog.create(asset("m2")),
                    catalog.remove("m"),
                    catalog.check(),
                ):
                    with pytest.raises(Unavailable, match="locked; another process holds it"):
                        await operation
                assert await catalog.get("m") == asset("m", events=1)  # readers do not wait
            await catalog.update("m", {"title": "new"})

    run(path, body)


def test_first_opening_waits_for_another_process_that_writes(path: Path) -> None:
    """SQLite refuses the change to WAL at once while another connection is about to write."""
    path.parent.mkdir()

    async def body(catalog: SqliteCatalog) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            with transaction(other):
                check = asyncio.create_task(catalog.check())
                await asyncio.wait({check}, timeout=0.2)
                assert not check.done()
            await check

    run(path, body)


def locking_victim(path: Path, pipe: Connection) -> None:
    with closing(open_database(path)) as connection, transaction(connection):
        connection.execute("DELETE FROM assets")
        connection.execute(
            "INSERT INTO assets VALUES ('half', 'ann', 'uploading', 0, '{}')",
        )
        pipe.send("ready")
        pipe.recv()


def test_kill_in_a_transaction_undoes_it_and_frees_the_lock(path: Path) -> None:
    async def body(catalog: SqliteCatalog) -> None:
        await catalog.create(asset("m"))
        with victim(partial(locking_victim, path)):
            assert await catalog.get("m") == asset("m", events=1)
        await catalog.transition("m", Status.QUEUED)
        with pytest.raises(NotFound):
            await catalog.get("half")

    run(path, body)


SNAPSHOT = """SELECT (SELECT group_concat(media_id) FROM plans),
    (SELECT group_concat(id) FROM assets WHERE json_extract(record, '$.version') IS NOT NULL)"""


def test_plan_and_record_change_together(path: Path) -> None:
    async def body(catalog: SqliteCatalog) -> None:
        await catalog.check()

        async def come_and_go() -> None:
            for number in range(100):
                await catalog.create(asset(f"m{number}"))
                await catalog.put_plan(f"m{number}", plan())
                await catalog.remove(f"m{number}")

        coming_and_going = asyncio.create_task(come_and_go())
        with closing(sqlite3.connect(path)) as reader:
            while not coming_and_going.done():
                plans, titles = reader.execute(SNAPSHOT).fetchone()
                assert plans == titles
                await asyncio.sleep(0)
        await coming_and_going

    run(path, body)


def test_schema_of_a_newer_version_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with closing(open_database(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")

    async def body(catalog: SqliteCatalog) -> None:
        for operation in (catalog.check(), catalog.get("m"), catalog.create(asset("m"))):
            with pytest.raises(Unavailable, match="schema version 3, this program knows up to 2"):
                await operation

    run(path, body)


def test_record_that_this_version_cannot_read(path: Path) -> None:
    async def body(catalog: SqliteCatalog) -> None:
        await catalog.create(asset("m"))
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "UPDATE assets SET record = replace(record, '\"title\"', '\"name\"')"
            )
        for operation in (
            catalog.get("m"),
            catalog.update("m", {}),
            catalog.list_by_user("ann", limit=1, cursor=None),
            catalog.list_by_status([Status.UPLOADING]),
            catalog.remove("m"),
        ):
            with pytest.raises(Unavailable, match="record that this version cannot read"):
                await operation

    run(path, body)


def test_file_that_is_no_catalog(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"x" * 10_000)

    async def body(catalog: SqliteCatalog) -> None:
        with pytest.raises(Unavailable, match="not a database; move this file away"):
            await catalog.check()

    run(path, body)
    assert path.read_bytes() == b"x" * 10_000


def test_damaged_file(path: Path) -> None:
    async def fill(catalog: SqliteCatalog) -> None:
        for number in range(200):
            await catalog.create(asset(f"m{number}"))

    run(path, fill)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)

    async def body(catalog: SqliteCatalog) -> None:
        with pytest.raises(Unavailable, match="restore it from a backup"):
            await catalog.get("m1")

    run(path, body)


def test_directory_in_the_place_of_the_file(path: Path) -> None:
    path.mkdir(parents=True)

    async def body(catalog: SqliteCatalog) -> None:
        with pytest.raises(Unavailable, match="unable to open database file"):
            await catalog.check()

    run(path, body)


def test_file_in_the_place_of_the_directory(path: Path) -> None:
    path.parent.touch()

    async def body(catalog: SqliteCatalog) -> None:
        with pytest.raises(Unavailable, match="give it a directory"):
            await catalog.check()

    run(path, body)
    path.parent.unlink()

    async def again(catalog: SqliteCatalog) -> None:
        await catalog.check()

    run(path, again)


def test_full_disk(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    output = run_on_small_disk(place, size="1m", module="tests.stores.catalog.fill_disk")
    assert output.startswith(f"catalog {place}/catalog.db: ")
    assert output.endswith("space on its disk\n")
