"""Viewing sessions through a real `Core` for much longer than its cache holds; run as a process of
its own, whose memory is nothing else's. Prints a JSON object."""

import json
import sys
import time

import psutil

from bench.sim.titles import model_library
from bench.sim.trace import Audience, requests
from native.origin import CachedObject, Core, Miss, Request
from native.token import TokenVerifier
from server.origin.app import LARGEST_SHARE, POLICIES
from server.origin.fill import IMMUTABLE

BUDGET_BYTES = 64 << 20
SAMPLE_EVERY = 500  # requests
SECRET = "s" * 32


def soak(policy: str, most_requests: int) -> dict[str, object]:
    core = Core(
        TokenVerifier({b"k": b"k" * 32}),
        BUDGET_BYTES,
        BUDGET_BYTES // LARGEST_SHARE,
        policy=POLICIES[policy],
        secrets=[SECRET],
    )
    library = model_library({180: 1.0}, 40)
    process = psutil.Process()
    before = process.memory_info().rss
    resident: list[int] = []
    footprint: dict[str, int] = {}
    most_counted = 0
    for number, request in enumerate(requests(library, Audience(100), 1e6)):
        if number == most_requests:
            break
        size = library.stored(request.key).bytes
        footprint[request.key] = size
        answer = core.respond(Request("GET", f"/{request.key}", origin_verify=SECRET), time.time())
        if isinstance(answer, Miss):
            found = CachedObject(b"x" * size, "etag", "video/mp4", IMMUTABLE)
            found.fresh_until_s = float("inf")
            core.objects.put(answer.key, found, found.size, float("inf"))
        most_counted = max(most_counted, core.objects.bytes)
        if number % SAMPLE_EVERY == 0:
            resident.append(process.memory_info().rss - before)
    return {
        "footprint": sum(footprint.values()),
        "most_counted": most_counted,
        "resident": resident,
        "hits": core.objects.hits,
        "evictions": core.objects.evictions,
    }


if __name__ == "__main__":
    print(json.dumps(soak(sys.argv[1], int(sys.argv[2]))))
