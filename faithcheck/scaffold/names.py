"""What a new method, suite, task or claim may be called."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

from faithcheck import plugins
from faithcheck.bundled import bundled_dir, yaml_names
from faithcheck.errors import UserError

_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
_FORM = "letters, digits, dashes and underscores, from a letter to a letter or digit"
_LONGEST = 60
_TAKEN_CLASSES = ("NodeScores", "Problem", "Field")
"""What the template of a method imports."""


def checked(kind: str, name: str) -> str:
    """The name to use for `NAME` of `faithcheck init KIND NAME`; in a method's, dashes become underscores.

    Raises UserError where it cannot be a file's name, is in use, or (a method) cannot be a Python module's.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UserError(f"{kind} name {name!r}: allowed are up to {_LONGEST} {_FORM}")
    if kind == "method":
        return _module(name.replace("-", "_"))
    if kind == "claim":
        return name
    folder = bundled_dir() / "tasks" if kind == "task" else bundled_dir()
    if name in yaml_names(folder):
        raise UserError(f"{kind} name {name!r}: a {kind} of that name comes with faithcheck; take another")
    return name


def class_name(module: str) -> str:
    """`my_method` -> `MyMethod`."""
    return "".join(part[0].upper() + part[1:] for part in module.split("_") if part)


def package_name(module: str) -> str:
    """What pip knows it by: `my_method` -> `my-method`."""
    return module.replace("_", "-")


def _module(name: str) -> str:
    cls = class_name(name)
    if keyword.iskeyword(name) or keyword.iskeyword(cls):
        raise UserError(f"method name {name!r}: Python keeps that word for itself; take another")
    if cls in _TAKEN_CLASSES:
        raise UserError(f"method name {name!r}: its class would be called {cls}, as one of faithcheck's; take another")
    same = [str(entry) for entry in plugins.names("methods") if entry.name.casefold() == name.casefold()]
    if same:
        raise UserError(f"method name {name!r}: {same[0]} is installed; take another")
    if name in sys.stdlib_module_names or _is_module(name):
        raise UserError(f"method name {name!r}: it would hide the Python module of that name; take another")
    if _is_package(package_name(name)):
        raise UserError(f"method name {name!r}: a package called {package_name(name)} is installed; take another")
    return name


def _is_module(module: str) -> bool:
    """Whether Python finds such a module; a mere folder of that name does not count."""
    try:
        spec = find_spec(module)
    except ValueError:  # a module without a spec, such as __main__
        return True
    return spec is not None and spec.origin is not None


def _is_package(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
