"""A process that delivers webhooks: `python -m tests.server.deliverer DATA URL LEASE_S`."""

import asyncio
import sys
from pathlib import Path

from pydantic import SecretStr

from media.settings import Settings
from server import webhooks
from server.api.metrics import Metrics
from server.receiver import Receiver
from tests.server.lives import catalog_in
from tests.server.receiving import SECRET


async def deliver(data: Path, url: str) -> None:
    catalog = catalog_in(data, webhooks=True)
    async with Receiver(url, SecretStr(SECRET), connections=webhooks.PARALLEL) as receiver:
        await webhooks.Webhooks(receiver, catalog, Metrics(Settings(), None)).run()


if __name__ == "__main__":
    folder, url, lease_s = sys.argv[1:]
    webhooks.LEASE_S = float(lease_s)
    webhooks.SENDING_S = webhooks.LEASE_S / 2
    webhooks.POLL_S = 0.05
    asyncio.run(deliver(Path(folder), url))
