"""CMCD event reports (CTA-5004-A): what players say of their playback.

A body is one report per line, each a Dictionary of RFC 9651. Of its keys four count here:

    msd              ms from being told to play until it played; once per session
    bsd              ms of each rebuffering that has ended since the report before
    br               kbit/s of what is played, as the playlist declares it
    headrace-played  ms of play since the report before, at `br`; our own, as the hyphen tells

Each stands for what happened since the last report, so that nothing has to be kept per session.
Anybody who may watch may also lie: what is out of bounds is cut to them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from http_sf import StructuredFieldError, parse

MAX_BODY_BYTES = 16 * 1024
MAX_REPORTS = 64
MAX_MS = 600_000  # longer than anybody waits; a page reports twice a minute
MAX_REBUFFERINGS = 16  # in one report
MAX_BIT_RATE = 200_000_000


class InvalidReport(ValueError):
    """Says which line is not a report, and why."""


@dataclass(frozen=True, slots=True)
class Report:
    startup_ms: int | None
    rebufferings_ms: tuple[int, ...]
    played_ms: int
    bit_rate: int


def parse_reports(body: bytes) -> list[Report]:
    """Raises InvalidReport."""
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > MAX_REPORTS:
        raise InvalidReport(f"at most {MAX_REPORTS} reports are taken at once, got {len(lines)}")
    return [_report(number, line) for number, line in enumerate(lines, 1)]


def _report(number: int, line: bytes) -> Report:
    try:
        keys = parse(line, tltype="dictionary")
    except StructuredFieldError as exc:
        raise InvalidReport(f"line {number}: {exc}") from exc
    assert isinstance(keys, dict)
    startup = _integers(keys.get("msd"), MAX_MS)
    return Report(
        startup_ms=startup[0] if startup else None,
        rebufferings_ms=tuple(_integers(keys.get("bsd"), MAX_MS))[:MAX_REBUFFERINGS],
        played_ms=sum(_integers(keys.get("headrace-played"), MAX_MS)[:1]),
        bit_rate=min(sum(_integers(keys.get("br"), MAX_BIT_RATE // 1000)) * 1000, MAX_BIT_RATE),
    )


def _integers(member: object, most: int) -> list[int]:
    """Of an Item or of an Inner List: version 2 has a list, with a value for each kind of track,
    where version 1 has one value."""
    return [
        min(max(value, 0), most)
        for value in _values(member)
        if isinstance(value, int) and not isinstance(value, bool)
    ]


def _values(member: object) -> Iterator[object]:
    if not isinstance(member, tuple):
        return
    value, _ = member
    if isinstance(value, list):
        yield from (item[0] for item in value)
    else:
        yield value
