"""One run: titles are uploaded and watched while acts go on, then all is looked over."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx

from media.asset import Status
from media.keys import INDEX, PLAYLIST
from server.tokens import TokenKeys, issue
from stores.collect import collect
from stores.errors import NotFound, Unavailable
from tests.chaos import invariants
from tests.chaos.acts import Act, Tally
from tests.chaos.clips import Clip
from tests.chaos.estate import Estate, signing_keys
from tests.chaos.report import LOGGED, Progress, Report, Show
from tests.chaos.titles import Client, Title
from tests.chaos.watcher import Read, Unreadable, Watcher

POLL_S = 0.2
RETRIED_WITHIN_S = 30.0
FIRST_ACT_S = 1.5
PARALLEL_UPLOADS = 4
DONE = frozenset({Status.READY, Status.FAILED})


@dataclass(frozen=True, slots=True)
class Storm:
    titles: int
    acts: Sequence[tuple[Act, float]]  # and the mean time between two of them, in seconds
    arrival_s: float = 1.0  # mean time between two uploads
    damaged_share: float = 0.12
    deleted_share: float = 0.1
    hurried_share: float = 0.2
    retried_share: float = 0.5  # of the damaged ones
    longest_s: float = 100.0  # then it calms, whether titles are done or not
    settle_s: float = 240.0


class Run:
    def __init__(
        self, estate: Estate, storm: Storm, clips: Sequence[Clip], seed: int, show: Show
    ) -> None:
        self._estate = estate
        self._storm = storm
        self._dice = random.Random(seed)
        self._show = show
        self._progress = Progress()
        self._tally = Tally()
        self._client = Client(estate.url, random.Random(seed + 1))
        self._calm = asyncio.Event()
        self._titles = self._cast(clips)
        self._doomed = {title.number for title in self._titles if self._is_to_die()}
        self._ended: list[str] = []
        self.report = Report(estate.name, seed)

    async def go(self) -> Report:
        began = time.monotonic()
        async with self._watched() as watchers, self._nursed():
            await self._rage()
            self._phase("settling")
            settled = await self._settled(self._storm.settle_s)
            self._phase("checking")
            await asyncio.gather(*map(self._last_look, watchers))
        await self._collect()
        found = await invariants.violations(self._estate, self._titles)
        refused, taken = await invariants.late_commits(self._estate, self._titles)
        self._tally.done["late commit by the driver, refused"] += refused
        found += taken
        if not settled:
            found.insert(0, f"not settled within {self._storm.settle_s:.0f} s")
        await self._client.close()
        await self._fill_report(found, watchers)
        self.report.wall_s = time.monotonic() - began
        return self.report

    async def _collect(self) -> None:
        async for _ in collect(self._estate.stores, dry_run=False, settled_after_s=0):
            self._tally.done["object or upload collected after the storm"] += 1

    def _cast(self, clips: Sequence[Clip]) -> list[Title]:
        good = [clip for clip in clips if clip.is_playable]
        bad = [clip for clip in clips if not clip.is_playable]
        return [
            Title(
                number,
                self._dice.choice(bad if self._dice.random() < self._storm.damaged_share else good),
            )
            for number in range(self._storm.titles)
        ]

    def _is_to_die(self) -> bool:
        return self._dice.random() < self._storm.deleted_share

    async def _rage(self) -> None:
        acts = [
            asyncio.create_task(self._repeat(act, every_s, random.Random(self._dice.random())))
            for act, every_s in self._storm.acts
        ]
        self._phase("storm")
        uploads = asyncio.create_task(self._upload_all())
        over = asyncio.create_task(self._over(uploads))
        try:
            await asyncio.wait({over}, timeout=self._storm.longest_s)
        finally:
            over.cancel()
            self._calm.set()
            self._phase("calming")
            await asyncio.gather(*acts)  # each mends what it broke
            self._estate.heal()
            await uploads

    async def _over(self, uploads: asyncio.Task[None]) -> None:
        await asyncio.wait({uploads})
        while not await self._settled(self._storm.longest_s):
            pass

    async def _repeat(self, act: Act, every_s: float, dice: random.Random) -> None:
        """At least once, soon: a short storm is over before the mean time has passed."""
        await asyncio.sleep(dice.uniform(0, min(every_s, FIRST_ACT_S)))
        while True:
            self._progress.acts += 1
            self._show(self._progress)
            await act(self._estate, dice, self._tally)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(dice.expovariate(1 / every_s)):
                    await self._calm.wait()
            if self._calm.is_set():
                return

    async def _upload_all(self) -> None:
        places = asyncio.Semaphore(PARALLEL_UPLOADS)

        async def upload(title: Title) -> None:
            async with places:
                await self._client.upload(title)
            self._progress.uploaded += 1
            self._show(self._progress)
            if len(title.media_ids) == 1:
                await self._steer(title)

        async with asyncio.TaskGroup() as uploads:
            for title in self._titles:
                uploads.create_task(upload(title))
                await asyncio.sleep(self._dice.expovariate(1 / self._storm.arrival_s))

    async def _steer(self, title: Title) -> None:
        """What else its user does with it."""
        if self._dice.random() < self._storm.hurried_share:
            await self._client.hurry(title)
        if title.number in self._doomed:
            await asyncio.sleep(self._dice.uniform(0, 8))
            await self._client.delete(title)
        elif not title.clip.is_playable and self._dice.random() < self._storm.retried_share:
            deadline = time.monotonic() + RETRIED_WITHIN_S
            while not await self._is_over(title) and time.monotonic() < deadline:
                await asyncio.sleep(POLL_S)
            await self._client.retry(title)
            self._tally.done["retry of a failed title"] += 1

    async def _settled(self, within_s: float) -> bool:
        """All titles have ended and no job is left."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            with contextlib.suppress(Unavailable):
                open_titles = [title for title in self._titles if not await self._is_over(title)]
                self._progress.settled = len(self._titles) - len(open_titles)
                self._show(self._progress)
                counts = await self._estate.stores.jobs.counts()
                if not open_titles and not any(
                    count for name, count in counts.items() if name != "failed"
                ):
                    return True
            await asyncio.sleep(POLL_S)
        return False

    async def _is_over(self, title: Title) -> bool:
        if len(title.media_ids) != 1:
            return True  # never answered, or told apart: said by an invariant
        try:
            asset = await self._estate.stores.catalog.get(title.media_id)
        except NotFound:
            return True
        return asset.status in DONE and not title.is_doomed

    @contextlib.asynccontextmanager
    async def _nursed(self) -> AsyncIterator[None]:
        """Machines that end by themselves are started again, as an orchestrator does."""
        nursing = asyncio.create_task(self._nurse())
        try:
            yield
        finally:
            nursing.cancel()
            await asyncio.wait({nursing})

    async def _nurse(self) -> None:
        while True:
            for machine in self._estate.machines:
                if not machine.lock.locked() and (why := machine.why_it_ended()) is not None:
                    self._ended.append(why)
                    machine.start()
            await asyncio.sleep(POLL_S)

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[Sequence[Watcher]]:
        async with httpx.AsyncClient(base_url=self._estate.origin_url, timeout=10) as http:
            watchers = [
                Watcher("store", self._read_store, self._is_doomed),
                Watcher("origin", _origin_reader(http), self._is_doomed),
            ]
            watching = [asyncio.create_task(w.watch(self._published)) for w in watchers]
            try:
                yield watchers
            finally:
                for task in watching:
                    task.cancel()
                for result in await asyncio.gather(*watching, return_exceptions=True):
                    if isinstance(result, Exception):
                        raise result

    async def _last_look(self, watcher: Watcher) -> None:
        for media_id, key in await self._published():
            await watcher.look(media_id, key)

    async def _published(self) -> Sequence[tuple[str, str]]:
        try:
            return [
                (info.key.split("/")[1], info.key)
                async for info in self._estate.stores.objects.list("v/")
                if info.key.endswith((f"/{PLAYLIST}", f"/{INDEX}"))
            ]
        except Unavailable:
            return ()

    async def _read_store(self, key: str) -> bytes | None:
        try:
            return (await self._estate.stores.objects.get(key))[0]
        except NotFound:
            return None
        except Unavailable as error:
            raise Unreadable from error

    def _is_doomed(self, media_id: str) -> bool:
        return any(title.is_doomed and media_id in title.media_ids for title in self._titles)

    def _phase(self, name: str) -> None:
        self._progress.phase = name
        self._show(self._progress)

    async def _fill_report(self, found: list[str], watchers: Sequence[Watcher]) -> None:
        report = self.report
        report.titles = len(self._titles)
        report.acts = self._tally.done
        report.injected = self._estate.injected()
        report.client_trouble = self._client.trouble
        report.ended_by_themselves = self._ended
        report.violations = [*found, *self._tally.violations, *self._client.refused]
        for watcher in watchers:
            report.violations += watcher.violations
            report.watched[f"{watcher.name}: looks at playlists"] = watcher.looks
            report.watched[f"{watcher.name}: objects read"] = watcher.reads
            report.watched[f"{watcher.name}: reads that failed"] = watcher.troubles
        for machine in self._estate.machines:
            text = machine.log.read_text(errors="replace")
            report.logged.update(
                {what: count for what, words in LOGGED.items() if (count := text.count(words))}
            )
        for title in self._titles:
            report.outcomes[await self._outcome(title)] += 1

    async def _outcome(self, title: Title) -> str:
        try:
            return str((await self._estate.stores.catalog.get(title.media_id)).status)
        except (NotFound, ValueError):
            return "deleted" if title.is_doomed else "lost"


def _origin_reader(http: httpx.AsyncClient) -> Read:
    keys = TokenKeys(signing_keys())
    tokens: dict[str, str] = {}

    async def read(key: str) -> bytes | None:
        media_id = key.split("/")[1]
        if media_id not in tokens:
            tokens[media_id] = issue(keys, media_id, int(time.time()) + 6 * 3600)
        try:
            answer = await http.get(f"/t/{tokens[media_id]}/{key}")
        except httpx.TransportError as error:
            raise Unreadable from error
        if answer.status_code >= 500:
            raise Unreadable(f"{answer.status_code}")
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.content

    return read
