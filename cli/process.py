"""What the processes of the service have in common: how they start, and how they end."""

import resource

MISCONFIGURED = 2  # exit code: starting again is of no use; also typer's for wrong options


def allow_many_connections() -> None:
    """Raise the soft limit of open files, 1024 on most machines, to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
