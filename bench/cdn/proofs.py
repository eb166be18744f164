"""What is claimed of two tiers before the origin, each counted. A proof that does not hold raises
Disproved with the figures."""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from bench.cdn.tiers import EDGES, Cache, Counts, Tiers
from bench.cdn.viewers import path, playlist, put, replay, token, told
from bench.sim.titles import Library
from bench.sim.trace import Audience, requests

DEADLINE_S = 30
TITLE = "v/000000000000000000000abc/1"
AT_ONCE = 100
COLD = b"cold" * 1000
MIN_EDGE_HIT_RATIO = 0.95
MIN_SHIELD_HIT_RATIO = 0.99
# A growing playlist is kept for a second by the origin and by each tier, and nginx's clock has
# whole seconds.
MAX_BEHIND_S = 1 + EDGES * 2.1
BODY_SHARE = 1000  # a real object has so many times the bytes of the one that is replayed
SMALLEST_BODY = 64

Figures = Mapping[str, int | float]


class Disproved(AssertionError):
    pass


@dataclass(frozen=True, slots=True)
class Proof:
    claim: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Pass:
    """Of a trace through the tiers; what the shield missed is what the origin was asked."""

    edges: Counts
    shield: Counts


def expect(claim: str, figures: Figures, *, holds: bool) -> Proof:
    if not holds:
        raise Disproved(f"{claim}: does not hold, {dict(figures)}")
    return Proof(claim, figures)


@contextmanager
def counted(tiers: Tiers, counts: dict[str, Counts]) -> Iterator[None]:
    """What happens meanwhile, by tier."""
    before = tiers.counts()
    yield
    counts.update({name: after - before[name] for name, after in tiers.counts().items()})


def one_entry_per_object(tiers: Tiers, folder: Path, viewers: int) -> Proof:
    """Tokens and CMCD are out of the cache key."""
    names = ["index.m3u8", "720p/playlist.m3u8", "720p/init-0000000000000000.mp4"]
    names += [f"720p/{number:05d}-0000000000000000.m4s" for number in range(7)]
    keys = [f"{TITLE}/{name}" for name in names]
    put(tiers.data, ((key, playlist(9, growing=False)) for key in keys))
    choice = random.Random(1)
    paths: dict[Cache, list[str]] = {edge: [] for edge in tiers.edges}
    for viewer in range(viewers):
        own = token(TITLE.split("/")[1], viewer)
        paths[tiers.edges[viewer % EDGES]] += [f"/t/{own}/{key}{told(choice)}" for key in keys]
    before = [cache.files() for cache in (*tiers.edges, tiers.shield)]
    counts: dict[str, Counts] = {}
    with counted(tiers, counts):
        replay(paths, folder)
    after = [cache.files() for cache in (*tiers.edges, tiers.shield)]
    entries = [now - then for now, then in zip(after, before, strict=True)]
    figures = {
        "viewers": viewers,
        "tokens": viewers,
        "objects": len(keys),
        "requests": counts["edges"].requests,
        "cache entries of an edge": max(entries[:-1]),
        "cache entries of the shield": entries[-1],
        "requests to the shield": counts["shield"].requests,
        "requests to the origin": counts["shield"].misses,
    }
    return expect(
        "one cache entry per object, whoever asks with whichever token and query",
        figures,
        holds=counts["edges"].requests == viewers * len(keys)
        and entries == [len(keys)] * (EDGES + 1)
        and counts["shield"].requests == EDGES * len(keys)
        and counts["shield"].misses == len(keys),
    )


def cold_requests_collapse(tiers: Tiers, objects: int) -> Proof:
    """The origin is held still until every request is under way at the edges."""
    asked: list[int] = []
    for number in range(objects):
        key = f"{TITLE}/360p/{number:05d}-00000000c01d0000.m4s"
        put(tiers.data, [(key, COLD)])
        counts: dict[str, Counts] = {}
        with counted(tiers, counts):
            asyncio.run(_ask_at_once(tiers, key))
        asked.append(counts["shield"].misses)
    figures = {
        "objects": objects,
        "concurrent requests for each": AT_ONCE,
        "requests to the origin for each": max(asked),
    }
    return expect(
        "concurrent requests for a cold object become one", figures, holds=set(asked) == {1}
    )


async def _ask_at_once(tiers: Tiers, key: str) -> None:
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(limits=limits, timeout=DEADLINE_S, verify=False) as client:
        with tiers.origin_held():
            asking = [
                asyncio.create_task(client.get(tiers.edges[viewer % EDGES].url + path(key, viewer)))
                for viewer in range(AT_ONCE)
            ]
            deadline = time.monotonic() + DEADLINE_S
            while sum([await asyncio.to_thread(edge.busy) for edge in tiers.edges]) < AT_ONCE:
                assert time.monotonic() < deadline, "the edges did not take all requests"
                await asyncio.sleep(0.05)
        answers = await asyncio.gather(*asking)
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, COLD)}


def refusals_stay_at_the_edge(tiers: Tiers) -> Proof:
    key = f"{TITLE}/index.m3u8"
    put(tiers.data, [(key, playlist(9, growing=False))])
    good = token(TITLE.split("/")[1], 1)
    wrong = ["junk", good[:-8] + "AAAAAAAA", token("000000000000000000000abd", 1), "", "A" * 2000]
    bad = [f"/t/{each}/{key}" for each in wrong] + [f"/{key}", f"/{key}?Policy=x", "/", "/metrics"]
    files = [cache.files() for cache in (*tiers.edges, tiers.shield)]
    counts: dict[str, Counts] = {}
    with counted(tiers, counts):
        answers = [tiers.http.get(edge.url + target) for edge in tiers.edges for target in bad]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    around = tiers.http.get(f"{tiers.origin_url}/{key}")
    figures = {
        "requests with wrong tokens or none": len(answers),
        "refused by the edges": counts["edges"].refused,
        "requests to the shield": counts["shield"].requests,
        "status of the origin around the CDN": around.status_code,
    }
    return expect(
        "what no token opens ends at the edge, and the way around it is closed",
        figures,
        holds={answer.status_code for answer in answers} == {403}
        and counts["edges"].refused == len(answers)
        and counts["shield"].requests == 0
        and files == [cache.files() for cache in (*tiers.edges, tiers.shield)]
        and around.status_code == 403,
    )


def growing_playlists_expire(tiers: Tiers) -> Proof:
    """The origin is asked about once a second, however many viewers reload."""
    key = f"{TITLE}/480p/playlist.m3u8"
    urls = [edge.url + path(key, 1) for edge in tiers.edges]
    behind_s: list[float] = []
    counts: dict[str, Counts] = {}
    started_s = time.monotonic()
    with counted(tiers, counts):
        for segments in (3, 4, 5):
            latest = playlist(segments, growing=segments < 5)
            put(tiers.data, [(key, latest)])
            stored_s = time.monotonic()
            while any(tiers.http.get(url).content != latest for url in urls):
                assert time.monotonic() < stored_s + DEADLINE_S, "the playlist does not grow"
            behind_s.append(time.monotonic() - stored_s)
    lasted_s = time.monotonic() - started_s
    figures = {
        "reloads": counts["edges"].requests,
        "seconds": round(lasted_s, 1),
        "requests to the origin": counts["shield"].misses,
        "seconds behind the origin, at most": round(max(behind_s), 2),
    }
    return expect(
        "a growing playlist is never more than seconds old, and asked for once a second",
        figures,
        holds=max(behind_s) <= MAX_BEHIND_S and counts["shield"].misses <= lasted_s + 2,
    )


def small_bodies(library: Library) -> Iterator[tuple[str, bytes]]:
    for title in library.titles:
        for name, size in title.package.sizes.items():
            yield f"{title.prefix}/{name}", bytes(max(SMALLEST_BODY, size // BODY_SHARE))


def view(
    tiers: Tiers, library: Library, audience: Audience, duration_s: float, folder: Path
) -> Pass:
    """A trace, as fast as it goes."""
    audience = replace(audience, edges=EDGES)
    tokens: dict[tuple[str, int], str] = {}
    paths: dict[Cache, list[str]] = {edge: [] for edge in tiers.edges}
    for request in requests(library, audience, duration_s):
        media_id = request.key.split("/")[1]
        session = media_id, request.viewer
        if session not in tokens:
            tokens[session] = token(*session)
        paths[tiers.edges[request.edge]].append(f"/t/{tokens[session]}/{request.key}")
    counts: dict[str, Counts] = {}
    with counted(tiers, counts):
        replay(paths, folder)
    return Pass(counts["edges"], counts["shield"])


def sessions_hit(first: Pass, second: Pass) -> list[Proof]:
    """The edges begin empty twice; the shield is warm the second time."""
    edges = {
        "requests": first.edges.requests,
        "hit ratio of the edges": round(first.edges.hit_ratio, 4),
        "requests to the origin": first.shield.misses,
    }
    shield = {
        "requests to the shield": second.shield.requests,
        "hit ratio of the shield": round(second.shield.hit_ratio, 4),
        "requests to the origin": second.shield.misses,
        "of the viewers' requests, answered without the origin": round(
            1 - second.shield.misses / second.edges.requests, 5
        ),
    }
    return [
        expect(
            f"edges that begin empty answer more than {MIN_EDGE_HIT_RATIO:.0%} of viewing sessions",
            edges,
            holds=first.edges.hit_ratio > MIN_EDGE_HIT_RATIO,
        ),
        expect(
            f"a warm shield answers more than {MIN_SHIELD_HIT_RATIO:.0%} of what empty edges ask",
            shield,
            holds=second.shield.hit_ratio > MIN_SHIELD_HIT_RATIO,
        ),
    ]
