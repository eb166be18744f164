"""The stored objects of a finished title: all that is listed is there, and nothing else stays."""

from collections.abc import Sequence

from media.commit import Commit, named_objects
from media.keys import INDEX, PLAYLIST, package_prefix
from media.plan import Plan
from media.verify import PackageError
from stores.objects.base import ObjectStore


async def left_overs(
    objects: ObjectStore, media_id: str, plan: Plan, commits: Sequence[Commit]
) -> list[str]:
    """Keys of what runs have left whose commit was refused or never came. Raises PackageError
    unless every object that will be listed is there, as long as told."""
    prefix = package_prefix(media_id, plan.version)
    missing = named_objects(prefix, commits)
    others = []
    async for info in objects.list(prefix):
        if info.key in missing:
            size = missing.pop(info.key)
            if size not in (None, info.size):
                raise PackageError(f"{info.key} has {info.size} bytes in the store, not {size}")
        elif not info.key.endswith((INDEX, PLAYLIST)):
            others.append(info.key)
    if missing:
        count = len(missing)
        more = f" (and {count - 1} more)" if count > 1 else ""
        raise PackageError(f"{min(missing)} is missing from the store{more}")
    return others
