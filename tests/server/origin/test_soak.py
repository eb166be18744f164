import json
import subprocess
import sys

import pytest

from tests.server.origin.soak import BUDGET_BYTES

REQUESTS = 12_000
# Of the budget: what the allocator loses between bodies of different sizes, and the interpreter.
MOST_RESIDENT = 1.75


@pytest.mark.parametrize("policy", ["lru", "s3fifo"])
def test_memory_stays_flat_when_ten_times_the_budget_is_watched(policy: str) -> None:
    command = [sys.executable, "-m", "tests.server.origin.soak", policy, str(REQUESTS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["footprint"] > 10 * BUDGET_BYTES
    assert 0.9 * BUDGET_BYTES < found["most_counted"] <= BUDGET_BYTES
    assert found["evictions"] > 1000
    assert found["hits"] > 100
    assert max(found["resident"]) < MOST_RESIDENT * BUDGET_BYTES
    settled = found["resident"][len(found["resident"]) // 3 :]
    middle = len(settled) // 2
    assert max(settled[middle:]) < 1.15 * max(settled[:middle])
