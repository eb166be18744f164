"""Builds the Cython modules of native/; everything else is in pyproject.toml.

HEADRACE_DEBUG=1 builds with bounds checks, assertions and line tracing (`make debug` does, beside
the normal modules, and runs their tests on it); HEADRACE_ONLY=mux,origin builds just these modules.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("HEADRACE_DEBUG") == "1"
ONLY = os.environ.get("HEADRACE_ONLY", "").split(",")

extensions = [
    Extension(
        f"native.{path.stem}",
        [str(path)],
        extra_compile_args=["-O0", "-g"] if DEBUG else ["-O3", "-DCYTHON_WITHOUT_ASSERTIONS"],
        define_macros=[("CYTHON_TRACE", "1")] if DEBUG else [],
    )
    for path in sorted(Path("native").glob("*.pyx"))
    if ONLY == [""] or path.stem in ONLY
]

setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            "linetrace": DEBUG,
        },
        build_dir="build/debug" if DEBUG else "build",  # the C source differs too
        nthreads=os.cpu_count() or 1,
        quiet=True,
    )
)
