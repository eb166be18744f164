"""The same caches as in `replay`, on a weighted sample of the objects, at any scale.

Time goes in steps of a fraction of the shortest characteristic time. In a step every cache of the
first tier is asked for an object or is not (Poisson); a cache still has what it was asked for
within its characteristic age, which follows from its size and the ages of all its objects, and
within its idle time, and since the object expired; what it has not it asks of the next tier, which
many ask within one step and which asks once: requests are collapsed. The start is the stationary
state of Che's approximation, so that a short warm-up does.

An object expires in all tiers at once, because Age tells the caches in front how old a copy is.
Playlists of growing titles expire within a step; their traffic is worked out in closed form.
"""

import itertools
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from bench.sim import che
from bench.sim.parameters import Tier
from bench.sim.replay import FETCH_S, Traffic
from bench.sim.sample import Array, Sample

STEPS_PER_TIME = 24  # of the shortest characteristic time
MIN_STEPS, MAX_STEPS = 200, 3000
WORK = 5e8  # steps times objects times caches of the first tier
WARM_UP_SHARE = 0.5  # of the steps
AGES_EVERY = 4  # steps: how often characteristic ages are looked at anew
AGE_CACHES = 24  # of how many of a tier's caches
SMOOTHING = 1 / 8

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Expected:
    """Of one cache of a tier."""

    time_s: float  # for how long an object stays after it was asked for
    rates: Array  # requests per second, by object


@dataclass(frozen=True, slots=True)
class Clock:
    step_s: float
    steps: int


class Caches:
    """All caches of a tier: when each was last asked for each object, in steps."""

    def __init__(self, tier: Tier, sample: Sample, expected: Expected, step_s: float) -> None:
        self.caches = tier.caches
        self._tier = tier
        self._sample = sample
        self._idle = tier.idle_s / step_s
        self._age = expected.time_s / step_s
        self._rates = expected.rates
        choice = np.random.default_rng(tier.caches)
        mean_ages = 1 / np.maximum(expected.rates, 1e-15) / step_s
        ages = choice.exponential(mean_ages, (tier.caches, len(mean_ages)))
        self._asked = -np.minimum(ages, 2**30).astype(np.int32)
        self.traffic = Traffic()

    def ask(self, asked: Flags, step: int, since_expiry: Array) -> Flags:
        """Which of the objects asked for are missing."""
        if step % AGES_EVERY == 0:
            self._find_age(step)
        oldest = step - np.minimum(min(self._age, self._idle), since_expiry)
        missing = asked & (self._asked < oldest)
        np.copyto(self._asked, step, where=asked)
        return missing

    def count(self, requests: Array, missing: Flags) -> None:
        """Requests of the whole tier in one step, by object."""
        sample, misses = self._sample, missing.sum(axis=0)
        hits = (requests - misses) * sample.weights
        self.traffic.requests += float(requests @ sample.weights)
        self.traffic.bytes += float(requests @ sample.costs)
        self.traffic.hits += float(hits.sum())
        self.traffic.hit_bytes += float(hits @ sample.sizes)
        waiting = np.minimum(self._rates * FETCH_S, requests)
        self.traffic.collapsed += float((misses * waiting) @ sample.weights)

    def _find_age(self, step: int) -> None:
        """The age at which the newest objects fill a cache, smoothed."""
        ages = step - self._asked[:AGE_CACHES]
        longest = int(min(2 * self._age, self._idle)) + 2
        costs = np.broadcast_to(self._sample.costs, ages.shape)
        filled = np.bincount(
            np.minimum(ages, longest).ravel(), weights=costs.ravel(), minlength=longest + 1
        ).cumsum()
        found = float(np.searchsorted(filled[:longest], self._tier.bytes * len(ages)))
        self._age += (found - self._age) * SMOOTHING


def simulate(tiers: Sequence[Tier], sample: Sample, seed: int) -> list[Traffic]:
    """Traffic per second of each tier."""
    sample = sample.where(sample.rates > 0)
    expected = expect(tiers, sample)
    times_s = [tier.time_s for tier in expected]
    step_s = min(times_s) / STEPS_PER_TIME
    steps = int(min(max(WORK / tiers[0].caches / len(sample.rates), MIN_STEPS), MAX_STEPS))
    lasting = sample.lifetimes_s > step_s
    kept = sample.where(lasting)
    simulated = [
        Caches(tier, kept, Expected(one.time_s, one.rates[lasting]), step_s)
        for tier, one in zip(tiers, expected, strict=True)
    ]
    warm_up = int(steps * WARM_UP_SHARE)
    _run(simulated, kept, Clock(step_s, steps), warm_up, seed)
    passing = short_lived(tiers, sample.where(~lasting))
    return _with_hops(
        [
            _sum(caches.traffic.per_second((steps - warm_up) * step_s), short)
            for caches, short in zip(simulated, passing, strict=True)
        ]
    )


def expect(tiers: Sequence[Tier], sample: Sample) -> list[Expected]:
    """Che's approximation of each tier, as if what one misses were independent requests, too."""
    rates, found = sample.rates, []
    for tier, following in itertools.zip_longest(tiers, tiers[1:]):
        time_s = che.characteristic_time_s(rates, sample.costs, tier.bytes)
        found.append(Expected(min(time_s, tier.idle_s), rates))
        if following is not None:
            missed = rates * (1 - che.hit_ratios(rates, found[-1].time_s))
            rates = missed * tier.caches / following.caches
    return found


def _run(tiers: list[Caches], sample: Sample, clock: Clock, warm_up: int, seed: int) -> None:
    choice = np.random.default_rng(seed)
    phases_s = choice.random(len(sample.rates)) * sample.lifetimes_s
    asked_per_step = sample.rates * clock.step_s
    chances = -np.expm1(-asked_per_step).astype(np.float32)
    edges = tiers[0].caches
    for step in range(clock.steps):
        since_expiry = (step * clock.step_s + phases_s) % sample.lifetimes_s / clock.step_s
        asked = choice.random((edges, len(chances)), dtype=np.float32) < chances
        requests = asked_per_step * edges
        for caches, following in itertools.zip_longest(tiers, tiers[1:]):
            missing = caches.ask(asked, step, since_expiry)
            if step >= warm_up:
                caches.count(requests, missing)
            if following is not None:
                firsts = np.arange(following.caches) * caches.caches // following.caches
                requests = missing.sum(axis=0).astype(np.float64)
                asked = np.logical_or.reduceat(missing, firsts, axis=0)


def short_lived(tiers: Sequence[Tier], sample: Sample) -> list[Traffic]:
    """Per second. All copies expire together; in each cycle a cache asks once, if it is asked."""
    viewers = sample.rates * tiers[0].caches
    cycles_s = sample.lifetimes_s + 1 / viewers
    requests, found = viewers, []
    for tier in tiers:
        misses = -np.expm1(-viewers / tier.caches * cycles_s) / cycles_s * tier.caches
        hits = (requests - misses) * sample.weights
        found.append(
            Traffic(
                requests=float(requests @ sample.weights),
                hits=float(hits.sum()),
                collapsed=float((misses * requests / tier.caches * FETCH_S) @ sample.weights),
                bytes=float(requests @ sample.costs),
                hit_bytes=float(hits @ sample.sizes),
            )
        )
        requests = misses
    return found


def _with_hops(tiers: list[Traffic]) -> list[Traffic]:
    """A fetch takes FETCH_S for each tier that it goes through, which `count` took for one."""
    hops = 1.0
    for tier, following in reversed(list(itertools.pairwise(tiers))):
        hops = 1 + (1 - following.hit_ratio) * hops
        tier.collapsed *= hops
    return tiers


def _sum(first: Traffic, second: Traffic) -> Traffic:
    return Traffic(*map(sum, zip(astuple(first), astuple(second), strict=True)))
