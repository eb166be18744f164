from pathlib import Path

import pytest

from transcoder import work


@pytest.mark.parametrize(
    ("memory_gib", "slots", "share_gib"), [(64, 1, 12), (16, 2, 10), (16, 8, 4), (2, 2, 3)]
)
def test_address_space_follows_memory_and_slots(
    monkeypatch: pytest.MonkeyPatch, memory_gib: int, slots: int, share_gib: int
) -> None:
    monkeypatch.setattr(work, "memory_bytes", lambda: memory_gib << 30)
    assert work.address_space_share(slots) == share_gib << 30


def test_memory_is_what_the_kernel_says() -> None:
    (line,) = (
        line
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal")
    )
    assert 0 < work.memory_bytes() <= int(line.split()[1]) << 10
