"""One workload on one server: wrk replays a list of paths over keep-alive connections."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

CLIENT_CORE = 1
CONNECTIONS = 32

# What CloudFront sends to an origin, with two of the headers that an origin request policy adds.
CLOUDFRONT_HEADERS = (
    "Host: media.example.com",
    "User-Agent: Amazon CloudFront",
    "X-Amz-Cf-Id: u3vD8sVn0hCf1pYQz6cJr9mXk2bTtLwEoGiNaSdFgHjKlZxCvBnMqw==",
    "Via: 2.0 0123456789abcdef0123456789abcdef.cloudfront.net (CloudFront)",
    "X-Forwarded-For: 203.0.113.195",
    "Accept-Encoding: gzip",
    "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678",
    "CloudFront-Viewer-Country: DE",
    "CloudFront-Is-Mobile-Viewer: false",
    "CloudFront-Forwarded-Proto: https",
    "CloudFront-Viewer-Http-Version: 2.0",
    "X-Origin-Verify: 7f6f1f0a9d1b4c5e8a2d3b4c5d6e7f80",
)
SCRIPT = """
local requests, at = {}, 0
function init(args)
  for path in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", path) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.bytes,
    summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""
_RESULT = re.compile(r"^RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Measured:
    requests: int
    bytes: int
    duration_s: float
    cpu_s: float  # user + system of all processes of the server
    p50_ms: float
    p99_ms: float

    @property
    def cpu_us(self) -> float:
        """Per request."""
        return self.cpu_s / self.requests * 1e6


def measure(pid: int, url: str, paths: Sequence[str], seconds: int, folder: Path) -> Measured:
    """Replay `paths` on the server whose main process is `pid`. A wrong answer is an error."""
    script, listing = folder / "replay.lua", folder / "paths"
    script.write_text(SCRIPT)
    listing.write_text("\n".join(paths) + "\n")
    command = ["taskset", "-c", str(CLIENT_CORE), "wrk", "-t1", f"-c{CONNECTIONS}"]
    command += [f"-d{seconds}s", "--timeout", "10s", "-s", str(script)]
    for header in CLOUDFRONT_HEADERS:
        command += ["-H", header]
    before = cpu_seconds(pid)
    done = subprocess.run(
        [*command, url, "--", str(listing)], capture_output=True, text=True, check=True
    )
    cpu_s = cpu_seconds(pid) - before
    result = _RESULT.search(done.stdout)
    if result is None or int(result[6]):
        raise RuntimeError(f"{url} did not answer every request well:\n{done.stdout}")
    requests, size, duration_us, p50_us, p99_us, _ = map(int, result.groups())
    return Measured(requests, size, duration_us / 1e6, cpu_s, p50_us / 1e3, p99_us / 1e3)


def cpu_seconds(pid: int) -> float:
    """Of a process and its descendants; none of them ends while it is measured."""
    root = psutil.Process(pid)
    times = [process.cpu_times() for process in [root, *root.children(recursive=True)]]
    return sum(time.user + time.system for time in times)
