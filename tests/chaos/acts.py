"""What is done to an estate: each act hurts something for a while and then mends it."""

import asyncio
import contextlib
import random
import signal
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import psutil

from tests.chaos import proxy
from tests.chaos.estate import Estate
from tests.chaos.machines import Machine
from tests.chaos.proxy import Fault, Kind

BEYOND_LEASE_S = (11.5, 15.0)  # a lease is 10 s and looked at every second
DRAIN_WITHIN_S = 40.0

S3_PUTS = "PUT|POST"


class Tally:
    """What was done, and what went wrong in doing it."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.violations: list[str] = []


Act = Callable[[Estate, random.Random, Tally], Coroutine[Any, Any, None]]


async def kill_worker(estate: Estate, dice: random.Random, tally: Tally) -> None:
    await _kill(await _at_work(estate, dice), dice, tally)


async def kill_api(estate: Estate, dice: random.Random, tally: Tally) -> None:
    await _kill(_victim(estate.named("api"), dice), dice, tally)


async def kill_origin(estate: Estate, dice: random.Random, tally: Tally) -> None:
    await _kill(_victim(estate.named("origin"), dice), dice, tally)


async def _kill(victim: Machine | None, dice: random.Random, tally: Tally) -> None:
    if victim is None:
        return
    async with victim.lock:
        tally.done[f"kill -9 of {victim.role}"] += 1
        victim.kill()
        await asyncio.sleep(dice.uniform(0, 1))
        victim.start()


async def freeze_worker(estate: Estate, dice: random.Random, tally: Tally) -> None:
    """Longer than its lease, so that another does its work and it comes back as a zombie."""
    victim = await _at_work(estate, dice)
    async with victim.lock:
        tally.done["SIGSTOP of worker"] += 1
        frozen = victim.freeze(with_children=dice.random() < 0.5)
        try:
            await asyncio.sleep(dice.uniform(*BEYOND_LEASE_S))
        finally:
            victim.thaw(frozen)


async def kill_child(estate: Estate, dice: random.Random, tally: Tally) -> None:
    """As the kernel does when memory runs out: the largest, or the one that forks them all."""
    victim = await _at_work(estate, dice)
    async with victim.lock:
        children = victim.encoders(with_server=dice.random() < 0.3)
        if children:
            tally.done["kill -9 of encoder"] += 1
            with contextlib.suppress(psutil.NoSuchProcess):
                dice.choice(children).kill()


async def starve_redis(estate: Estate, dice: random.Random, tally: Tally) -> None:
    """Its memory is full: it answers, and refuses to write."""
    async with estate.redis.lock:
        tally.done["redis is out of memory"] += 1
        await estate.redis.limit("1")
        try:
            await asyncio.sleep(dice.uniform(1, 8))
        finally:
            await estate.redis.limit("0")


async def step_clock(estate: Estate, dice: random.Random, tally: Tally) -> None:
    """Forward or back, under what is running."""
    tally.done["clock of worker stepped"] += 1
    dice.choice([*estate.clocks.values()]).set(dice.randint(-60, 60))


async def drain_worker(estate: Estate, dice: random.Random, tally: Tally) -> None:
    victim = await _at_work(estate, dice)
    async with victim.lock:
        tally.done["drain of worker"] += 1
        complaint = await victim.drain(DRAIN_WITHIN_S)
        if complaint is not None:
            tally.violations.append(complaint)
            victim.kill()
        victim.start()


async def kill_redis(estate: Estate, dice: random.Random, tally: Tally) -> None:
    async with estate.redis.lock:
        if estate.redis.send(signal.SIGKILL) is not None:
            tally.done["kill -9 of redis"] += 1
            await asyncio.sleep(dice.uniform(0, 4))
            estate.redis.start()


async def lose_redis(estate: Estate, dice: random.Random, tally: Tally) -> None:
    """With all that it knew: the catalog is the truth, and fills it again."""
    async with estate.redis.lock:
        if estate.redis.send(signal.SIGSTOP) is not None:
            tally.done["loss of all that redis knew"] += 1
            estate.redis.forget()  # now: whoever keeps it starts another the moment it dies
            estate.redis.send(signal.SIGKILL)
            await asyncio.sleep(dice.uniform(0, 4))
            estate.redis.start()


async def freeze_redis(estate: Estate, dice: random.Random, tally: Tally) -> None:
    async with estate.redis.lock:
        process = estate.redis.send(signal.SIGSTOP)
        if process is None:
            return
        tally.done["SIGSTOP of redis"] += 1
        try:
            await asyncio.sleep(dice.uniform(1, 6))
        finally:
            _thaw(process)


def _thaw(process: psutil.Process) -> None:
    if process.is_running():
        process.send_signal(signal.SIGCONT)


async def part_worker_from_redis(estate: Estate, dice: random.Random, tally: Tally) -> None:
    await _part(await _at_work(estate, dice), estate, dice, tally)


async def part_api_from_redis(estate: Estate, dice: random.Random, tally: Tally) -> None:
    await _part(_victim(estate.named("api"), dice), estate, dice, tally)


async def _part(machine: Machine | None, estate: Estate, dice: random.Random, tally: Tally) -> None:
    """Now shorter, now longer than the lease."""
    if machine is None:
        return
    async with machine.lock:
        tally.done[f"partition of {machine.role} and redis"] += 1
        between = estate.proxies[f"redis-{machine.name}"]
        between.partition()
        try:
            await asyncio.sleep(dice.uniform(3, BEYOND_LEASE_S[1]))
        finally:
            between.heal()


async def _for_a_while(
    where: proxy.Proxy, faults: tuple[Fault, ...], dice: random.Random, seconds: float
) -> None:
    where.inject(*faults)
    try:
        await asyncio.sleep(seconds * dice.uniform(0.5, 1.5))
    finally:
        where.heal()


async def s3_errors(estate: Estate, dice: random.Random, tally: Tally) -> None:
    tally.done["s3 answers with errors"] += 1
    faults = (
        Fault(Kind.ANSWER, 0.15, "500", answer=proxy.S3_INTERNAL_ERROR),
        Fault(Kind.ANSWER, 0.15, "503", answer=proxy.S3_SLOW_DOWN),
        Fault(Kind.CUT_REQUEST, 0.05, only=S3_PUTS),
        Fault(Kind.CUT_RESPONSE, 0.05, only="GET"),
        Fault(Kind.LOSE_ANSWER, 0.10),
    )
    await _for_a_while(estate.proxies["s3"], faults, dice, 6)


async def s3_outage(estate: Estate, dice: random.Random, tally: Tally) -> None:
    """Longer than the retries of any client."""
    tally.done["s3 is down"] += 1
    faults = (Fault(Kind.ANSWER, 1, "503", answer=proxy.S3_SLOW_DOWN),)
    await _for_a_while(estate.proxies["s3"], faults, dice, 8)


async def s3_slow(estate: Estate, dice: random.Random, tally: Tally) -> None:
    tally.done["s3 is slow"] += 1
    faults = (
        Fault(Kind.SLOW_RESPONSE, 0.5, bytes_per_s=40_000, only="GET"),
        Fault(Kind.DELAY, 0.3, seconds=1.5),
        Fault(Kind.HANG, 0.1, seconds=120),
    )
    await _for_a_while(estate.proxies["s3"], faults, dice, 8)


async def dynamodb_throttled(estate: Estate, dice: random.Random, tally: Tally) -> None:
    tally.done["dynamodb throttles"] += 1
    faults = (
        Fault(Kind.ANSWER, 0.4, "throttled", answer=proxy.DYNAMODB_THROTTLED),
        Fault(Kind.ANSWER, 0.05, "500", answer=proxy.DYNAMODB_INTERNAL_ERROR),
    )
    await _for_a_while(estate.proxies["dynamodb"], faults, dice, 6)


async def dynamodb_loses_answers(estate: Estate, dice: random.Random, tally: Tally) -> None:
    tally.done["dynamodb loses answers"] += 1
    faults = (
        Fault(Kind.LOSE_ANSWER, 0.25),
        Fault(Kind.CUT_RESPONSE, 0.05),
        Fault(Kind.HANG, 0.05, seconds=120),
    )
    await _for_a_while(estate.proxies["dynamodb"], faults, dice, 6)


async def clients_fail(estate: Estate, dice: random.Random, tally: Tally) -> None:
    """Uploads through a bad line."""
    tally.done["clients' line is bad"] += 1
    faults = (
        Fault(Kind.CUT_REQUEST, 0.25, only="POST"),
        Fault(Kind.LOSE_ANSWER, 0.25),
        Fault(Kind.CUT_RESPONSE, 0.1),
    )
    await _for_a_while(estate.door, faults, dice, 6)


async def fill_disk(estate: Estate, dice: random.Random, tally: Tally) -> None:
    """To the last byte, again and again, as whatever is freed is wanted by others."""
    folder = estate.small_disk
    assert folder is not None
    tally.done["disk is full"] += 1
    ballast = folder / "ballast"
    ends = asyncio.get_running_loop().time() + dice.uniform(4, 10)
    try:
        with ballast.open("wb", buffering=0) as file:
            while asyncio.get_running_loop().time() < ends:
                _fill(file.write)
                await asyncio.sleep(0.05)
    finally:
        ballast.unlink()


def _fill(write: Callable[[bytes], object]) -> None:
    for size in (1 << 20, 1 << 12, 1):
        try:
            while True:
                write(bytes(size))
        except OSError:
            continue


def _victim(machines: list[Machine], dice: random.Random) -> Machine | None:
    """None while somebody else hurts all of them."""
    free = [machine for machine in machines if not machine.lock.locked()]
    return dice.choice(free) if free else None


async def _at_work(estate: Estate, dice: random.Random) -> Machine:
    """A worker in the middle of a task, most of the time; one that nobody else hurts."""
    ends = asyncio.get_running_loop().time() + dice.uniform(0, 4)
    while True:
        busy = [worker for worker in estate.workers if worker.is_encoding]
        late = asyncio.get_running_loop().time() > ends
        victim = _victim(estate.workers if late else busy, dice)
        if victim is not None:
            return victim
        await asyncio.sleep(0.01)
