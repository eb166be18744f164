"""Runs the service as on AWS, on this machine alone: `python -m deployments.aws_local`.

S3, DynamoDB and Redis are started, buckets and table are made, and then `headrace up` and a
second `headrace worker` run on them, which share nothing else. Ctrl-C ends all of it; what was
uploaded is there again at the next start.
"""

import argparse
import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from functools import partial
from pathlib import Path

from deployments.aws_local.estate import running_estate
from deployments.aws_local.servers import NotStarted
from stores.processes import die_with_parent

COMMAND = (sys.executable, "-P", "-m", "cli.main")
FIRST_PORT = 18330


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deployments.aws_local")
    parser.add_argument("--upload", metavar="FILE", type=Path, help="also upload this clip")
    parser.add_argument("--data", metavar="DIRECTORY", type=Path, default=Path("var-aws"))
    parser.add_argument("--first-port", metavar="PORT", type=int, default=FIRST_PORT)
    options = parser.parse_args()
    try:
        with running_estate(options.data, first_port=options.first_port) as environment:
            status = asyncio.run(_Installation(options.data, environment).run(options.upload))
    except NotStarted as error:
        sys.exit(f"aws_local: {error}")
    except KeyboardInterrupt:  # before there was a service to stop
        sys.exit(1)
    sys.exit(status)


class _Installation:
    """Each process has a data directory of its own and half of the processors."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._directory = directory.absolute()
        half = str(max(1, (os.cpu_count() or 1) // 2))
        self._environment = {"STREAM_WORKER_CONCURRENCY": half} | os.environ | environment
        self._processes: list[Process] = []

    async def run(self, clip: Path | None) -> int:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop)
        prepared = await (await self._start("doctor", "--create")).wait()
        if prepared != 0:
            return prepared
        upload = () if clip is None else ("--upload", str(clip))
        service = await self._start("up", *upload)
        worker = await self._start("worker")
        ended = [asyncio.create_task(process.wait()) for process in (service, worker)]
        await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        self._stop()
        # One that was stopped before it had its handler ends by the signal; that is no failure.
        statuses = [status for status in await asyncio.gather(*ended) if status != -signal.SIGINT]
        return max(statuses, key=abs, default=0)

    def _stop(self) -> None:
        """As Ctrl-C does it: a second one makes `up` stop at once."""
        for process in self._processes:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)

    async def _start(self, *arguments: str) -> Process:
        # A session of its own: Ctrl-C in the terminal comes here alone and is passed on once.
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            env=self._environment | {"STREAM_DATA_DIR": str(self._directory / arguments[0])},
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
        self._processes.append(process)
        return process


if __name__ == "__main__":
    main()
