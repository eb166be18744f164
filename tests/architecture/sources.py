"""The project's source files, found on disk."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("cli", "media", "native", "server", "stores", "transcoder")
NOT_OURS = {"node_modules", "dist", "__pycache__"}


def files(*suffixes: str, under: tuple[str, ...] = PACKAGES) -> list[Path]:
    return sorted(
        path
        for folder in under
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes and not NOT_OURS & set(path.parts)
    )


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]
