"""Che's approximation of LRU: an object is found when it was asked for within the cache's
characteristic time, which is as long as other requests take to fill the cache.

Che, Tung, Wang 2002; why it holds: Fricker, Robert, Roberts 2012. Independent requests."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BISECTIONS = 80
SHORTEST_S, LONGEST_S = 1e-6, 1e12


def characteristic_time_s(rates: Array, costs: Array, capacity: float) -> float:
    """`rates` per second and `costs` in bytes, of objects or of samples that stand for many (then
    `costs` is that of all they stand for). LONGEST_S when everything fits."""
    if costs[rates > 0].sum() <= capacity:
        return LONGEST_S
    low, high = SHORTEST_S, LONGEST_S
    for _ in range(BISECTIONS):
        middle = (low * high) ** 0.5
        filled = (costs * -np.expm1(-rates * middle)).sum()
        low, high = (middle, high) if filled < capacity else (low, middle)
    return float(low)


def hit_ratios(rates: Array, time_s: float) -> Array:
    return -np.expm1(-rates * time_s)
