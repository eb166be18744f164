"""What is simulated. Every default is an assumption about the world or a figure of this product;
each says which."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Tier:
    """Caches of one kind. AWS publishes neither sizes nor residence times; these are guesses on
    the careful side of one customer's share."""

    name: str
    caches: int
    bytes: int  # of each cache
    idle_s: float  # what is not asked for that long is gone: other customers want the room


EDGES = Tier("points of presence", 600, 10 * 10**12, 12 * HOUR_S)
REGIONALS = Tier("regional caches", 13, 100 * 10**12, 24 * HOUR_S)
SHIELD = Tier("shield", 1, 250 * 10**12, 48 * HOUR_S)


@dataclass(frozen=True, slots=True)
class Parameters:
    viewers: int = 100_000_000
    titles: int = 200_000
    zipf_exponent: float = 1.0  # published figures for video on demand: 0.8 to 1.2
    # seconds -> share of the titles
    lengths_s: Mapping[int, float] = field(
        default_factory=lambda: {180: 0.4, 600: 0.3, 1500: 0.15, 2700: 0.1, 6300: 0.05}
    )
    growing_share: float = 0.002  # of the titles that are being watched while they are encoded
    tiers: tuple[Tier, ...] = (EDGES, REGIONALS, SHIELD)  # from the viewers to the origin


@dataclass(frozen=True, slots=True)
class Prices:
    """USD: Amazon's public price lists for the United States and Europe, in the copies read in
    PRICES_READ, but for the core, which is a guess. Beyond some volume prices are negotiated."""

    # up to so many GB of a month -> per GB
    egress_steps: tuple[tuple[float, float], ...] = (
        (10e3, 0.085),
        (50e3, 0.080),
        (150e3, 0.060),
        (500e3, 0.040),
        (1024e3, 0.030),
        (5120e3, 0.025),
        (float("inf"), 0.020),
    )
    request: float = 0.0100 / 10_000  # HTTPS
    function_call: float = 0.10 / 1e6  # CloudFront Functions, viewer request
    shield_request: float = 0.0090 / 10_000
    s3_get: float = 0.0004 / 1000
    origin_core_hour: float = 0.0425  # one vCPU of a compute-optimised instance


PRICES_READ = "November 2026"
MONTH_S = 30 * 24 * HOUR_S
