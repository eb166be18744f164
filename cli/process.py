"""What the processes of the service have in common: how they start, and how they end."""

import resource
import socket

MISCONFIGURED = 2  # exit code: starting again is of no use; also typer's for wrong options


def allow_many_connections() -> None:
    """Raise the soft limit of open files, 1024 on most machines, to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def try_port(host: str, port: int) -> None:
    """Granian shares its port with whoever allows that, so it would not notice by itself that
    another has it. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.create_server((host, port), family=family).close()
