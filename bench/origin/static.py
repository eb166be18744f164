import os

from starlette.staticfiles import StaticFiles


def application() -> StaticFiles:
    return StaticFiles(directory=os.environ["BENCH_OBJECTS"])
