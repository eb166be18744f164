"""What must hold when everything is over, whatever has happened."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from media import keys
from media.asset import Asset, Status
from media.event import Event, EventKind
from media.publish import plan_rungs
from stores.collect import collect
from stores.errors import NotFound
from tests.chaos.estate import Estate
from tests.chaos.playlist import read_media_playlist, uris
from tests.chaos.titles import Title

LAST_EVENT = {Status.READY: EventKind.READY, Status.FAILED: EventKind.FAILED}


async def violations(estate: Estate, titles: Sequence[Title]) -> list[str]:
    """Empty if all is well. Asked when nothing is going on any more."""
    found = [*_identity_problems(titles)]
    alive = []
    for title in titles:
        if len(title.media_ids) != 1:
            continue
        try:
            asset = await estate.stores.catalog.get(title.media_id)
        except NotFound:
            if not title.is_doomed:
                found.append(f"{title.key} has vanished")
            continue
        alive.append((title, asset))
        found += [f"{title.key} ({asset.id}): {text}" for text in _outcome_problems(title, asset)]
        found += await _event_problems(estate, asset)
        if asset.status is Status.READY:
            found += await _package_problems(estate, title, asset)
    found += await _duplicate_problems(estate, [title for title, _ in alive])
    found += await _job_problems(estate)
    found += await orphans(estate, [asset for _, asset in alive])
    return found


def _identity_problems(titles: Sequence[Title]) -> Iterator[str]:
    for title in titles:
        if len(title.media_ids) != 1:
            yield f"{title.key} was answered with the ids {sorted(title.media_ids)}"


def _outcome_problems(title: Title, asset: Asset) -> Iterator[str]:
    if title.is_doomed:
        yield f"was deleted and is {asset.status}"
    elif title.clip.is_playable and asset.status is not Status.READY:
        yield f"is {asset.status}, {asset.error}"
    elif not title.clip.is_playable:
        code = asset.error.code if asset.error else None
        if asset.status is not Status.FAILED or code not in title.clip.failures:
            yield f"{title.clip.name} is {asset.status}, {asset.error}"


async def _event_problems(estate: Estate, asset: Asset) -> list[str]:
    events: list[Event] = []
    while batch := await estate.stores.catalog.events(asset.id, after=len(events)):
        events += batch
    kinds = [event.kind for event in events]
    numbers = [event.number for event in events]
    found = []
    if numbers != list(range(1, asset.events + 1)):
        found.append(f"{asset.id}: event numbers {numbers}, the record says {asset.events}")
    if LAST_EVENT.get(asset.status) not in kinds[-1:]:
        found.append(f"{asset.id} is {asset.status} with the events {kinds}")
    if any(now.progress < before.progress for before, now in pairwise(events)):
        found.append(f"{asset.id}: progress went back: {[event.progress for event in events]}")
    return found


async def _package_problems(estate: Estate, title: Title, asset: Asset) -> list[str]:
    """Each segment committed once, every object there with the bytes that its name and its commit
    say, and the playlists list exactly that."""
    plan = await estate.stores.catalog.get_plan(asset.id)
    if plan is None or plan.version != asset.version:
        return [f"{asset.id} is ready with the plan {plan and plan.version}, not {asset.version}"]
    commits = await estate.stores.catalog.commits(asset.id, plan.version)
    tasks = [commit.task for commit in commits]
    found = [f"{asset.id}: {task} is committed twice" for task in tasks if tasks.count(task) > 1]
    prefix = keys.package_prefix(asset.id, plan.version)
    for rung in plan_rungs(plan):
        parts = [part for commit in commits for part in commit.renditions if part.name == rung.name]
        facts = sorted((s for part in parts for s in part.segments), key=lambda s: s.number)
        if [s.number for s in facts] != list(range(plan.segment_count)):
            found.append(f"{asset.id} {rung.name}: commits of {[s.number for s in facts]}")
        sizes = {s.name: s.size for s in facts} | {part.init_name: -1 for part in parts}
        folder = f"{prefix}{rung.name}/"
        objects = [_object_problems(estate, folder + name, size) for name, size in sizes.items()]
        for problems in await asyncio.gather(*objects):
            found += problems
        data = await _read(estate, folder + keys.PLAYLIST)
        if data is None:
            found.append(f"{folder + keys.PLAYLIST} is not there")
            continue
        listed = read_media_playlist(data.decode())
        if not listed.has_ended or set(listed.objects()) != sizes.keys():
            found.append(f"{folder + keys.PLAYLIST} lists {listed}, committed {sorted(sizes)}")
    index = await _read(estate, prefix + keys.INDEX)
    named = {*uris(index.decode())} if index else set()
    if named != {f"{rung.name}/{keys.PLAYLIST}" for rung in plan_rungs(plan)}:
        found.append(f"{prefix + keys.INDEX} names {sorted(named)}")
    return found


async def late_commits(estate: Estate, titles: Sequence[Title]) -> tuple[int, list[str]]:
    """How many late results of zombies were refused, and what is wrong: each title that is over is
    told, as by a worker that has slept through it all, of a segment with other bytes."""
    refused, found = 0, []
    for title in titles:
        if title.is_doomed or len(title.media_ids) != 1:
            continue
        asset = await estate.stores.catalog.get(title.media_id)
        before = asset.version and await estate.stores.catalog.commits(asset.id, asset.version)
        for commit in (before or ())[:1]:
            assert asset.version is not None
            late = replace(commit, renditions=())
            if await estate.stores.catalog.commit(asset.id, asset.version, late):
                found.append(f"{asset.id} took a late commit of {commit.task}")
            elif await estate.stores.catalog.commits(asset.id, asset.version) != before:
                found.append(f"{asset.id} was changed by a late commit of {commit.task}")
            else:
                refused += 1
    return refused, found


async def _object_problems(estate: Estate, key: str, size: int) -> list[str]:
    data = await _read(estate, key)
    if data is None:
        return [f"{key} is committed and not there"]
    if size not in (-1, len(data)) or keys.content_hash(data) not in key:
        return [f"{key} has {len(data)} bytes, {size} were committed, or another hash"]
    return []


async def _read(estate: Estate, key: str) -> bytes | None:
    try:
        return (await estate.stores.objects.get(key))[0]
    except NotFound:
        return None


async def _duplicate_problems(estate: Estate, alive: Sequence[Title]) -> list[str]:
    wanted = {title.media_id for title in alive}
    found, cursor = set(), None
    while True:
        page = await estate.stores.catalog.list_by_user("chaos", limit=100, cursor=cursor)
        found |= {asset.id for asset in page.items if asset.status is not Status.UPLOADING}
        cursor = page.next_cursor
        if cursor is None:
            break
    problems = [f"{media_id} is a title that nobody knows of" for media_id in found - wanted]
    return problems + [f"{media_id} is not listed" for media_id in wanted - found]


async def _job_problems(estate: Estate) -> list[str]:
    counts = await estate.stores.jobs.counts()
    left = {name: count for name, count in counts.items() if count and name != "failed"}
    return [f"jobs are left: {left}"] if left else []


async def orphans(estate: Estate, alive: Sequence[Asset]) -> list[str]:
    """Objects that belong to no title, or to one whose package does not name them."""
    named = {keys.source_key(asset.id) for asset in alive}
    for asset in alive:
        plan = await estate.stores.catalog.get_plan(asset.id)
        if plan is None:
            continue
        prefix = keys.package_prefix(asset.id, plan.version)
        named.add(prefix + keys.INDEX)
        for commit in await estate.stores.catalog.commits(asset.id, plan.version):
            for part in commit.renditions:
                folder = f"{prefix}{part.name}/"
                named |= {folder + keys.PLAYLIST, folder + part.init_name}
                named |= {folder + segment.name for segment in part.segments}
    found = [
        info.key
        for prefix in ("source/", "v/")
        async for info in estate.stores.objects.list(prefix)
        if info.key not in named
    ]
    left = collect(estate.stores, dry_run=True, settled_after_s=0)
    found += [finding.what async for finding in left]
    return [f"{what} is an orphan" for what in sorted(found)]
