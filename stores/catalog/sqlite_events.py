"""The tables beside the records: the event log, its outbox to webhooks, idempotency keys.

An outbox row lives as long as the title's newest event. `due_at_ms` is NULL when everything is
delivered, and the end of the lease while somebody has the title in hand: as it only ever grows,
it says whose claim it is.
"""

import sqlite3

from media.event import Event
from stores.catalog.base import EVENTS_KEPT_S, KEY_KEPT_S, Delivery
from stores.catalog.records import EVENT, dump, load
from stores.catalog.schema import transaction
from stores.errors import Conflict

LAST_EVENT = 2**63 - 1  # that SQLite can count to

CLAIMABLE = """SELECT media_id, delivered, attempts FROM deliveries
    WHERE due_at_ms <= ? AND expires_at_ms > ? ORDER BY due_at_ms LIMIT ?"""

# Events that nobody was to be told of, because there were no webhooks then, count as delivered.
ADD_DELIVERY = """INSERT INTO deliveries
    (media_id, newest, delivered, attempts, due_at_ms, expires_at_ms)
    VALUES (:media_id, :number, :number - 1, 0, :at_ms, :expires_at_ms)
    ON CONFLICT DO UPDATE SET newest = excluded.newest, expires_at_ms = excluded.expires_at_ms,
        due_at_ms = coalesce(due_at_ms, excluded.due_at_ms)"""


def append_event(connection: sqlite3.Connection, event: Event, *, webhooks: bool) -> None:
    """Within the transaction that writes what it tells of."""
    row = {
        "media_id": event.media_id,
        "number": event.number,
        "at_ms": event.at_ms,
        "expires_at_ms": event.at_ms + EVENTS_KEPT_S * 1000,
        "record": dump(EVENT, event),
    }
    added = connection.execute(
        """INSERT INTO events (media_id, number, expires_at_ms, record)
            VALUES (:media_id, :number, :expires_at_ms, :record) ON CONFLICT DO NOTHING""",
        row,
    )
    if added.rowcount == 0:
        raise Conflict(f"media {event.media_id} has existed before")
    if webhooks:
        connection.execute(ADD_DELIVERY, row)


def read_events(
    connection: sqlite3.Connection, media_id: str, after: int, limit: int, now_ms: int
) -> tuple[Event, ...]:
    rows = connection.execute(
        """SELECT record FROM events WHERE media_id = ? AND number > ? AND expires_at_ms > ?
            ORDER BY number LIMIT ?""",
        (media_id, min(after, LAST_EVENT), now_ms, limit),
    )
    return tuple(load(EVENT, record) for (record,) in rows)


def claim_deliveries(
    connection: sqlite3.Connection, now_ms: int, lease_ms: int, limit: int
) -> tuple[Delivery, ...]:
    until_ms = now_ms + lease_ms
    with transaction(connection):
        rows = connection.execute(CLAIMABLE, (now_ms, now_ms, limit)).fetchall()
        connection.executemany(
            "UPDATE deliveries SET due_at_ms = ? WHERE media_id = ?",
            [(until_ms, media_id) for media_id, _, _ in rows],
        )
    return tuple(
        Delivery(media_id, delivered, attempts, until_ms) for media_id, delivered, attempts in rows
    )


def settle_delivery(
    connection: sqlite3.Connection,
    delivery: Delivery,
    delivered: int,
    attempts: int,
    due_at_ms: int,
) -> None:
    connection.execute(
        """UPDATE deliveries SET delivered = :delivered, attempts = :attempts,
            due_at_ms = CASE WHEN newest > :delivered THEN :due_at_ms END
            WHERE media_id = :media_id AND due_at_ms = :claimed_until_ms""",
        {
            "media_id": delivery.media_id,
            "claimed_until_ms": delivery.claimed_until_ms,
            "delivered": delivered,
            "attempts": attempts,
            "due_at_ms": due_at_ms,
        },
    )


def claim_key(
    connection: sqlite3.Connection, user_id: str, key: str, media_id: str, now_ms: int
) -> str:
    with transaction(connection):
        connection.execute(
            """INSERT INTO keys (user_id, key, media_id, expires_at_ms) VALUES (?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET
                    media_id = excluded.media_id, expires_at_ms = excluded.expires_at_ms
                WHERE expires_at_ms <= ?""",
            (user_id, key, media_id, now_ms + KEY_KEPT_S * 1000, now_ms),
        )
        (claimant,) = connection.execute(
            "SELECT media_id FROM keys WHERE user_id = ? AND key = ?", (user_id, key)
        ).fetchone()
    return str(claimant)


def release_key(connection: sqlite3.Connection, user_id: str, key: str, media_id: str) -> None:
    connection.execute(
        "DELETE FROM keys WHERE user_id = ? AND key = ? AND media_id = ?", (user_id, key, media_id)
    )


def sweep(connection: sqlite3.Connection, now_ms: int) -> None:
    with transaction(connection):
        connection.execute("DELETE FROM events WHERE expires_at_ms <= ?", (now_ms,))
        connection.execute("DELETE FROM deliveries WHERE expires_at_ms <= ?", (now_ms,))
        connection.execute("DELETE FROM keys WHERE expires_at_ms <= ?", (now_ms,))
