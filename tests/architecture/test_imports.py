"""What the import contracts in pyproject.toml cannot see: Cython, and libraries in their places."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGES, ROOT, files, package_of

HOME_OF_LIBRARY = {
    "av": "transcoder",
    "starlette": "server",
    "granian": "cli",
    "typer": "cli",
    "rich": "cli",
    "aiobotocore": "stores",
    "botocore": "stores",
    "redis": "stores",
    "bullmq": "stores",
    "sqlite3": "stores",
    "opentelemetry": "stores",
}
READER_OF_THE_ENVIRONMENT = ROOT / "cli/config.py"
CYTHON_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))", re.MULTILINE)


def imported(path: Path) -> Iterator[str]:
    """The top-level names of everything that a module imports."""
    if path.suffix != ".py":
        for match in CYTHON_IMPORT.finditer(path.read_text()):
            yield (match[1] or match[2]).partition(".")[0] or package_of(path)
        return
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]
            case ast.ImportFrom():
                yield package_of(path)


def environment_reads(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv"):
                yield node.lineno
            case ast.ImportFrom(module="os", names=names):
                if {alias.name for alias in names} & {"environ", "environb", "getenv"}:
                    yield node.lineno


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os\nos.environ['A']", [2]),
        ("import os\nos.getenv('A')", [2]),
        ("from os import environ", [1]),
        ("import os\nos.cpu_count()", []),
    ],
)
def test_environment_reads_finds_every_spelling(source: str, expected: list[int]) -> None:
    assert list(environment_reads(ast.parse(source))) == expected


def test_cython_imports_are_seen() -> None:
    text = (
        "from native.writer cimport Writer\ncimport cython\nimport os.path\n    from a import b\n"
    )
    found = [(match[1] or match[2]) for match in CYTHON_IMPORT.finditer(text)]
    assert found == ["native.writer", "cython", "os.path", "a"]


def test_native_modules_import_nothing_of_ours() -> None:
    above = set(PACKAGES) - {"native"}
    modules = files(".py", ".pyx", ".pxd", ".pyi", under=("native",))
    assert modules
    assert {
        str(path): above & set(imported(path)) for path in modules if above & set(imported(path))
    } == {}


@pytest.mark.parametrize("library", HOME_OF_LIBRARY)
def test_library_is_imported_in_its_place_alone(library: str) -> None:
    users = {package_of(path) for path in files(".py", ".pyx") if library in imported(path)}
    assert users <= {HOME_OF_LIBRARY[library]}


def test_environment_is_read_in_one_place() -> None:
    readers = {
        path for path in files(".py") if list(environment_reads(ast.parse(path.read_text())))
    }
    assert readers == {READER_OF_THE_ENVIRONMENT}


def test_every_package_is_listed_for_installation() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in files(".py")
        if path.name == "__init__.py"
    }
    assert set(project["tool"]["setuptools"]["packages"]) == packages
