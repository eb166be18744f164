"""The catalog in one SQLite file, used by any number of processes of one machine.

`synchronous=FULL`: a power cut must not lose a commit whose segments are published already, nor
the word that a title is being deleted. It costs one wait for the disk per write, and a title
has dozens of writes, not thousands.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import orjson

from media.asset import Asset, Status
from media.commit import Commit, task_name
from media.event import Event
from media.plan import Plan
from stores.catalog import changes as decide
from stores.catalog import cursor as cursors
from stores.catalog import sqlite_events as beside
from stores.catalog.base import Catalog, Delivery, Page
from stores.catalog.changes import Write
from stores.catalog.records import ASSET, COMMIT, PLAN, dump, load
from stores.catalog.schema import open_database, transaction, translated
from stores.errors import Conflict, NotFound
from stores.threads import in_thread
from stores.trait import Trait

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LIST_BY_USER = """SELECT record FROM assets
    WHERE user_id = ? AND status <> 'deleting' AND (created_at_ms, id) < (?, ?)
    ORDER BY created_at_ms DESC, id DESC LIMIT ?"""


class SqliteCatalog(Catalog):
    def __init__(self, path: Path, *, webhooks: bool = False) -> None:
        """With `webhooks` events are also put by for delivery, which somebody has to do then."""
        self._path = path.absolute()
        self._webhooks = webhooks
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog")
        self._connection: sqlite3.Connection | None = None  # opened, used, closed by the thread

    async def create(self, asset: Asset) -> None:
        await self._call(_create, decide.created(asset, now_ms=_now_ms()), self._webhooks)

    async def get(self, media_id: str) -> Asset:
        return await self._call(_get, media_id)

    async def list_by_user(self, user_id: str, *, limit: int, cursor: str | None) -> Page:
        if limit < 1:
            raise ValueError(f"a page holds at least one title, got a limit of {limit}")
        before = cursors.NEWEST if cursor is None else cursors.decode(cursor)
        return await self._call(_list_by_user, user_id, before, limit)

    async def list_by_status(self, statuses: Sequence[Status]) -> tuple[Asset, ...]:
        return await self._call(_list_by_status, tuple(set(statuses)))

    async def transition(
        self,
        media_id: str,
        to: Status,
        changes: Mapping[str, object] | None = None,
        *,
        seen: Asset | None = None,
    ) -> Asset:
        def move(asset: Asset) -> Write:
            decide.check_unchanged(asset, seen)
            return decide.moved(asset, to, changes or {}, now_ms=_now_ms())

        return await self._call(_change, media_id, move, self._webhooks)

    async def update(self, media_id: str, changes: Mapping[str, object]) -> Asset:
        def update(asset: Asset) -> Write:
            return decide.updated(asset, changes, now_ms=_now_ms())

        return await self._call(_change, media_id, update, self._webhooks)

    async def events(self, media_id: str, *, after: int = 0, limit: int = 100) -> tuple[Event, ...]:
        return await self._call(beside.read_events, media_id, after, limit, _now_ms())

    async def claim_deliveries(
        self, now_ms: int, *, lease_ms: int, limit: int
    ) -> tuple[Delivery, ...]:
        return await self._call(beside.claim_deliveries, now_ms, lease_ms, limit)

    async def settle_delivery(
        self, delivery: Delivery, *, delivered: int, attempts: int, due_at_ms: int
    ) -> None:
        await self._call(beside.settle_delivery, delivery, delivered, attempts, due_at_ms)

    async def claim_key(self, user_id: str, key: str, media_id: str) -> str:
        return await self._call(beside.claim_key, user_id, key, media_id, _now_ms())

    async def release_key(self, user_id: str, key: str, media_id: str) -> None:
        await self._call(beside.release_key, user_id, key, media_id)

    async def put_plan(self, media_id: str, plan: Plan) -> Plan:
        return await self._call(_put_plan, media_id, plan, self._webhooks)

    async def get_plan(self, media_id: str) -> Plan | None:
        return await self._call(_get_plan, media_id)

    async def commit(self, media_id: str, version: str, commit: Commit) -> bool:
        return await self._call(_commit, media_id, version, commit)

    async def commits(
        self, media_id: str, version: str, *, kind: str = "", start: int = 0
    ) -> tuple[Commit, ...]:
        tasks = (task_name(kind, start), f"{kind}.") if kind else ("", "~")
        return await self._call(_commits, media_id, version, tasks)

    async def forget_plan(self, media_id: str) -> None:
        await self._call(_forget_plan, media_id, self._webhooks)

    async def remove(self, media_id: str) -> None:
        await self._call(_remove, media_id, self._webhooks)

    async def sweep(self) -> None:
        await self._call(beside.sweep, _now_ms())

    async def create_storage(self) -> Sequence[str]:
        return ()  # the first use makes the file

    async def traits(self) -> Sequence[Trait]:
        return [Trait("SQLite", True, sqlite3.sqlite_version)]

    async def check(self) -> None:
        await self._call(_check)

    async def close(self) -> None:
        await in_thread(self._thread, self._disconnect)
        self._thread.shutdown()

    async def _call(self, function: Callable[[sqlite3.Connection, *Ts], T], *args: *Ts) -> T:
        return await in_thread(self._thread, self._run, function, args)

    def _run(self, function: Callable[[sqlite3.Connection, *Ts], T], args: tuple[*Ts]) -> T:
        with translated(self._path):
            if self._connection is None:
                self._connection = open_database(self._path)
            return function(self._connection, *args)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _create(connection: sqlite3.Connection, write: Write, webhooks: bool) -> None:
    asset = write.asset
    with transaction(connection):
        added = connection.execute(
            """INSERT INTO assets (id, user_id, status, created_at_ms, record)
                VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING""",
            (asset.id, asset.user_id, asset.status, asset.created_at_ms, dump(ASSET, asset)),
        )
        if added.rowcount == 0:
            raise Conflict(f"media {asset.id} exists already")
        if write.event is not None:
            beside.append_event(connection, write.event, webhooks=webhooks)


def _get(connection: sqlite3.Connection, media_id: str) -> Asset:
    row = connection.execute("SELECT record FROM assets WHERE id = ?", (media_id,)).fetchone()
    if row is None:
        raise NotFound(f"media {media_id}")
    return load(ASSET, row[0])


def _list_by_user(
    connection: sqlite3.Connection, user_id: str, before: cursors.Position, limit: int
) -> Page:
    rows = connection.execute(LIST_BY_USER, (user_id, *before, limit + 1)).fetchall()
    items = tuple(load(ASSET, record) for (record,) in rows[:limit])
    return Page(items, cursors.encode(items[-1]) if len(rows) > limit else None)


def _list_by_status(
    connection: sqlite3.Connection, statuses: tuple[Status, ...]
) -> tuple[Asset, ...]:
    rows = connection.execute(
        """SELECT record FROM assets WHERE status IN (SELECT value FROM json_each(?))
            ORDER BY created_at_ms, id""",
        (orjson.dumps(statuses).decode(),),
    )
    return tuple(load(ASSET, record) for (record,) in rows)


def _change(
    connection: sqlite3.Connection,
    media_id: str,
    decision: Callable[[Asset], Write],
    webhooks: bool,
) -> Asset:
    with transaction(connection):
        write = decision(_get(connection, media_id))
        _write(connection, write, webhooks)
    return write.asset


def _write(connection: sqlite3.Connection, write: Write, webhooks: bool) -> None:
    connection.execute(
        "UPDATE assets SET status = ?, record = ? WHERE id = ?",
        (write.asset.status, dump(ASSET, write.asset), write.asset.id),
    )
    if write.event is not None:
        beside.append_event(connection, write.event, webhooks=webhooks)


def _put_plan(connection: sqlite3.Connection, media_id: str, plan: Plan, webhooks: bool) -> Plan:
    with transaction(connection):
        asset = _get(connection, media_id)
        first = _get_plan(connection, media_id)
        if first is not None:
            return first
        write = decide.updated(asset, {"version": plan.version}, now_ms=_now_ms())
        _write(connection, write, webhooks)
        connection.execute(
            "INSERT INTO plans (media_id, record) VALUES (?, ?)", (media_id, dump(PLAN, plan))
        )
    return plan


def _get_plan(connection: sqlite3.Connection, media_id: str) -> Plan | None:
    row = connection.execute("SELECT record FROM plans WHERE media_id = ?", (media_id,)).fetchone()
    return None if row is None else load(PLAN, row[0])


def _commit(connection: sqlite3.Connection, media_id: str, version: str, commit: Commit) -> bool:
    added = connection.execute(
        """INSERT INTO commits (media_id, version, task, record)
            SELECT id, ?, ?, ? FROM assets WHERE id = ? AND status = ?
            ON CONFLICT DO NOTHING""",
        (version, commit.task, dump(COMMIT, commit), media_id, Status.PROCESSING),
    )
    return added.rowcount == 1


def _commits(
    connection: sqlite3.Connection, media_id: str, version: str, tasks: tuple[str, str]
) -> tuple[Commit, ...]:
    rows = connection.execute(
        """SELECT record FROM commits
            WHERE media_id = ? AND version = ? AND task >= ? AND task < ? ORDER BY task""",
        (media_id, version, *tasks),
    )
    return tuple(load(COMMIT, record) for (record,) in rows)


def _forget_plan(connection: sqlite3.Connection, media_id: str, webhooks: bool) -> None:
    with transaction(connection):
        write = decide.unplanned(_get(connection, media_id), now_ms=_now_ms())
        _write(connection, write, webhooks)
        _drop_plan(connection, media_id)


def _remove(connection: sqlite3.Connection, media_id: str, webhooks: bool) -> None:
    with transaction(connection):
        try:
            asset = _get(connection, media_id)
        except NotFound:
            return
        if asset.status is not Status.DELETING:
            _write(connection, decide.moved(asset, Status.DELETING, {}, now_ms=_now_ms()), webhooks)
        _drop_plan(connection, media_id)
        connection.execute("DELETE FROM assets WHERE id = ?", (media_id,))


def _drop_plan(connection: sqlite3.Connection, media_id: str) -> None:
    connection.execute("DELETE FROM commits WHERE media_id = ?", (media_id,))
    connection.execute("DELETE FROM plans WHERE media_id = ?", (media_id,))


def _check(connection: sqlite3.Connection) -> None:
    with transaction(connection):  # BEGIN IMMEDIATE needs the right to write
        connection.execute("SELECT record FROM assets LIMIT 1").fetchone()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
