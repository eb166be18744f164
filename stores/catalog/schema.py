"""The catalog's SQLite file: its tables, and how it is opened, locked and complained about."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stores.errors import Unavailable

BUSY_TIMEOUT_S = 10.0
BUSY_PAUSE_S = 0.01

# One step per schema version; PRAGMA user_version counts those that a file has taken. Change no
# step that was released: append one.
MIGRATIONS = (
    (
        """CREATE TABLE assets (
            id TEXT PRIMARY KEY,
            user_id TEXT NOT NULL,
            status TEXT NOT NULL,
            created_at_ms INTEGER NOT NULL,
            record TEXT NOT NULL
        ) STRICT""",
        """CREATE INDEX assets_by_user ON assets (user_id, created_at_ms, id)
            WHERE status <> 'deleting'""",
        "CREATE INDEX assets_by_status ON assets (status, created_at_ms)",
        "CREATE TABLE plans (media_id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT",
        """CREATE TABLE commits (
            media_id TEXT NOT NULL,
            version TEXT NOT NULL,
            task TEXT NOT NULL,
            record TEXT NOT NULL,
            PRIMARY KEY (media_id, version, task)
        ) STRICT""",
    ),
    (
        """CREATE TABLE events (
            media_id TEXT NOT NULL,
            number INTEGER NOT NULL,
            expires_at_ms INTEGER NOT NULL,
            record TEXT NOT NULL,
            PRIMARY KEY (media_id, number)
        ) STRICT""",
        "CREATE INDEX events_by_expiry ON events (expires_at_ms)",
        """CREATE TABLE deliveries (
            media_id TEXT PRIMARY KEY,
            newest INTEGER NOT NULL,
            delivered INTEGER NOT NULL,
            attempts INTEGER NOT NULL,
            due_at_ms INTEGER,
            expires_at_ms INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX deliveries_by_due ON deliveries (due_at_ms) WHERE due_at_ms IS NOT NULL",
        """CREATE TABLE keys (
            user_id TEXT NOT NULL,
            key TEXT NOT NULL,
            media_id TEXT NOT NULL,
            expires_at_ms INTEGER NOT NULL,
            PRIMARY KEY (user_id, key)
        ) STRICT""",
        "CREATE INDEX keys_by_expiry ON keys (expires_at_ms)",
    ),
)


_HINTS = {
    sqlite3.SQLITE_BUSY: "another process holds it for too long; stop that process",
    sqlite3.SQLITE_LOCKED: "another process holds it for too long; stop that process",
    sqlite3.SQLITE_FULL: "free some space on its disk",
    sqlite3.SQLITE_IOERR: "check its disk; there may be no space left",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore it from a backup, or move it away",
    sqlite3.SQLITE_NOTADB: "move this file away; it is not a catalog",
    sqlite3.SQLITE_CANTOPEN: "give the user that runs this process write access to its directory",
    sqlite3.SQLITE_READONLY: "give the user that runs this process write access to it",
    sqlite3.SQLITE_PERM: "give the user that runs this process write access to it",
}


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def open_database(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        _enter_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _enter_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait for the lock of this step by itself."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(BUSY_PAUSE_S)
        else:
            return


def _migrate(connection: sqlite3.Connection) -> None:
    if _user_version(connection) == len(MIGRATIONS):
        return
    with transaction(connection):
        version = _user_version(connection)  # another process may have been first
        if version > len(MIGRATIONS):
            raise Unavailable(
                f"the catalog has schema version {version}, this program knows up to "
                f"{len(MIGRATIONS)}; run the newer version that wrote it"
            )
        for statement in (statement for step in MIGRATIONS[version:] for statement in step):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _user_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as exc:
        hint = _HINTS.get(getattr(exc, "sqlite_errorcode", 0) & 0xFF)
        if hint is None:  # a mistake of ours, not of the machine
            raise
        raise Unavailable(f"catalog {path}: {exc}; {hint}") from exc
    except OSError as exc:
        raise Unavailable(f"catalog {path}: {exc}; give it a directory that exists") from exc
