"""Size and naming, where no linter looks."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, files

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 350
ATTRACT_EVERYTHING = {"utils", "util", "common", "helpers", "helper", "core", "misc"}
LEFT_FOR_LATER = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
CYTHON_FUNCTION = re.compile(r"^( *)(?:async def|cpdef|cdef(?! class)|def)\b[^=]*?\b(\w+)\(")

Function = tuple[str, int]


def python_functions(source: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def cython_functions(source: str) -> Iterator[Function]:
    """A function ends before the next line that is not indented deeper than its head."""
    lines = source.splitlines()
    for start, line in enumerate(lines):
        if not (head := CYTHON_FUNCTION.match(line)):
            continue
        last = start
        for number, following in enumerate(lines[start + 1 :], start + 1):
            text = following.lstrip()
            if text and len(following) - len(text) <= len(head[1]) and not text.startswith(")"):
                break
            if text:
                last = number
        yield head[2], last - start + 1


def functions(path: Path) -> Iterator[Function]:
    source = path.read_text()
    yield from python_functions(source) if path.suffix == ".py" else cython_functions(source)


def test_cython_functions_measures_whole_bodies() -> None:
    source = (
        "cdef class Writer(Base):\n"
        "    cdef int put(\n"
        "        self,\n"
        "    ) except -1:\n"
        "        x = 1\n"
        "\n"
        "        return x\n"
        "\n"
        "    def get(self):\n"
        "        return 2\n"
        "cdef inline int double(int x) noexcept:\n"
        "    return 2 * x\n"
        "cdef int count = len(source)\n"
    )
    assert list(cython_functions(source)) == [("put", 6), ("get", 2), ("double", 2)]


@pytest.mark.parametrize("path", files(".py", ".pyx"), ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_and_files_are_short(path: Path) -> None:
    assert [name for name, lines in functions(path) if lines > MAX_FUNCTION_LINES] == []
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES


def test_no_module_has_a_name_that_attracts_everything() -> None:
    named = {
        path
        for path in files(".py", ".pyx", ".ts")
        if ATTRACT_EVERYTHING & {path.stem, path.parent.name}
    }
    assert named == set()


def test_nothing_is_left_for_later() -> None:
    suffixes = (
        ".py",
        ".pyx",
        ".pxd",
        ".pyi",
        ".ts",
        ".mjs",
        ".html",
        ".css",
        ".sh",
        ".yaml",
        ".md",
    )
    sources = files(
        *suffixes,
        under=(
            "bench",
            "cli",
            "deployments",
            "media",
            "native",
            "server",
            "stores",
            "tests",
            "transcoder",
        ),
    )
    assert [path for path in sources if LEFT_FOR_LATER.search(path.read_text())] == []
