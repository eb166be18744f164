"""Processes for tests that need hundreds: forked from one that has loaded the stores, which takes
the better part of a second."""

import os
from collections.abc import Callable, Mapping
from multiprocessing import get_context

PRELOADED = ["stores.catalog.dynamodb", "stores.catalog.sqlite", "stores.objects.filesystem"]

forks = get_context("forkserver")
forks.set_forkserver_preload([*PRELOADED, "stores.objects.s3"])


def in_environment(
    environment: Mapping[str, str], work: Callable[..., object], *args: object
) -> None:
    """A fork has the environment of the process that it is forked from, not the test's."""
    os.environ.clear()
    os.environ.update(environment)
    work(*args)
