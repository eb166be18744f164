import json
import sys
from pathlib import Path
from typing import Any

from bench.capacity.page import Measured, page
from bench.capacity.stores import Asked
from bench.sim.needs import Demand, NotMeasured, OriginCosts
from bench.sim.replay import Traffic

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "deployments" / "capacity.md"


def read(results: Path) -> Measured:
    """Raises NotMeasured."""
    simulated = _result(results / "sim.json", "make sim")
    return Measured(
        simulated["date"],
        OriginCosts(**simulated["costs"]),
        [_demand(demand) for demand in simulated["demands"]],
        Asked(**_result(results / "stores.json", "make bench-stores")),
    )


def _demand(raw: dict[str, Any]) -> Demand:
    return Demand(raw["viewers"], [Traffic(**tier) for tier in raw["tiers"]])


def _result(path: Path, command: str) -> dict[str, Any]:
    try:
        result = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NotMeasured(f"{path} does not exist: run `{command}` first") from None
    if not isinstance(result, dict):
        raise NotMeasured(f"{path} is of an older version: run `{command}` again")
    return result


def main() -> None:
    try:
        PAGE.write_text(page(read(RESULTS)))
    except NotMeasured as error:
        sys.exit(str(error))
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
