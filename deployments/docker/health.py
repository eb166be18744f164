#!/opt/headrace/bin/python
"""A container's health check: the process that listens on its port answers /health. A worker's port
is that of its metrics."""

import os
import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT_S = 4

port = os.environ.get("STREAM_WORKER_METRICSPORT") or os.environ.get("STREAM_SERVER_PORT", "8080")
connection = HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT_S)
try:
    connection.request("GET", "/health")
    status = connection.getresponse().status
except (OSError, HTTPException) as error:
    sys.exit(f"no answer: {error}")
sys.exit(0 if status == 200 else f"answered {status}")
