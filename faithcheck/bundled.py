"""Where the suites and tasks that come with faithcheck are."""

from __future__ import annotations

from pathlib import Path


def bundled_dir() -> Path:
    """The folder of bundled suites: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "suites"
    return installed if installed.is_dir() else package.parent / "suites"


def yaml_names(folder: Path) -> list[str]:
    """The names, without `.yaml`, of the YAML files in `folder`; none where there is no such folder."""
    return sorted(path.stem for path in folder.glob("*.yaml")) if folder.is_dir() else []
