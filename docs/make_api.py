"""Writes docs/api.md, the API reference, from signatures and docstrings: `python docs/make_api.py`."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path

SECTIONS = {
    "Running a suite": ["faithcheck.api:run_suite", "faithcheck.result:Result", "faithcheck.verdict:Verdict"],
    "Reading a result": [
        "faithcheck.report.reading:load_result",
        "faithcheck.report.reading:LoadedResult",
        "faithcheck.report.reading:Evidence",
        "faithcheck.report.reading:EvidenceLost",
    ],
    "Models and tasks": [
        "faithcheck.loading:load_model",
        "faithcheck.model:Model",
        "faithcheck.model:Site",
        "faithcheck.model:Run",
        "faithcheck.model:Tokenizer",
        "faithcheck.task:load_task",
        "faithcheck.task:Task",
        "faithcheck.prompts:PromptSet",
    ],
    "Circuits and methods": [
        "faithcheck.circuit:Circuit",
        "faithcheck.circuit:load_circuit",
        "faithcheck.circuit:save_circuit",
        "faithcheck.ablation:Ablation",
        "faithcheck.circuit:NodeScores",
        "faithcheck.circuit:Convergence",
        "faithcheck.method:Method",
        "faithcheck.method:Problem",
        "faithcheck.method:Budget",
    ],
    "Checks": [
        "faithcheck.check:CircuitCheck",
        "faithcheck.check:MethodCheck",
        "faithcheck.check:Measurement",
        "faithcheck.check:Metric",
        "faithcheck.check:Control",
        "faithcheck.check:Trial",
        "faithcheck.estimate:Estimate",
        "faithcheck.resampling:Resampling",
        "faithcheck.subject:Subject",
        "faithcheck.bench:Bench",
        "faithcheck.compiled:CompiledCircuit",
    ],
    "Errors": ["faithcheck.errors:UserError", "faithcheck.errors:NotSupported", "faithcheck.plugins:BrokenPlugin"],
    "Tests of plugins": [
        "faithcheck.testing:check_method",
        "faithcheck.testing:check_model",
        "faithcheck.testing:tiny_problem",
    ],
}

HEAD = """\
# API reference

Made from the docstrings by `python docs/make_api.py`. What `from faithcheck import ...` offers is said with each name;
the rest is what plugins and readers of results are written against. A shape such as float[prompt, token] names the
axes of a tensor."""


def text() -> str:
    return "\n\n".join([HEAD, *_sections()]) + "\n"


def _sections() -> Iterator[str]:
    for title, refs in SECTIONS.items():
        yield f"## {title}"
        for ref in refs:
            module, _, name = ref.partition(":")
            yield from _entry(module, name)


def _entry(module: str, name: str) -> Iterator[str]:
    thing = getattr(import_module(module), name)
    home = "faithcheck" if name in import_module("faithcheck").__all__ else module
    yield f"### {name}"
    yield _code(f"from {home} import {name}")
    if not inspect.isclass(thing):
        yield _signature(name, thing)
    elif hasattr(thing, "__dataclass_fields__"):
        yield _fields(thing)
    elif issubclass(thing, Enum):
        yield _code("\n".join(thing.__members__))
    yield _docstring(thing)
    if inspect.isclass(thing):
        yield from _members(thing)


def _fields(thing: type) -> str:
    rows = [f"{key}: {field.type}" for key, field in thing.__dataclass_fields__.items() if field.init and key[0] != "_"]
    return _code("\n".join(rows))


def _members(thing: type) -> Iterator[str]:
    """What the class itself defines, has a docstring and does not begin with an underscore."""
    for name, member in vars(thing).items():
        inner = getattr(member, "func", None) or getattr(member, "fget", None) or getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(inner) or not inspect.getdoc(inner):
            continue
        yield f"#### {thing.__name__}.{name}"
        if inner is member or isinstance(member, classmethod | staticmethod):
            yield _signature(name, inner)
        else:
            yield _code(f"{name}: {inspect.signature(inner).return_annotation}")
        yield _docstring(inner)


def _signature(name: str, function: Callable[..., object]) -> str:
    """As it stands in the source, without `self`; one parameter a line where it is long."""
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(node, ast.FunctionDef)
    node.args.args = [argument for argument in node.args.args if argument.arg not in ("self", "cls")]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"{name}({ast.unparse(node.args)}){returns}"
    return _code(line if len(line) <= WIDTH else f"{name}(\n{_one_a_line(node.args)}){returns}")


WIDTH = 100


def _one_a_line(given: ast.arguments) -> str:
    required = [None] * (len(given.args) - len(given.defaults))
    rows = [_parameter(*pair) for pair in zip(given.args, [*required, *given.defaults], strict=True)]
    rows += ["*"] if given.kwonlyargs else []
    rows += [_parameter(*pair) for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return "".join(f"    {row},\n" for row in rows)


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) + (f" = {ast.unparse(default)}" if default is not None else "")


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _docstring(thing: object) -> str:
    return inspect.getdoc(thing) or ""


if __name__ == "__main__":
    (Path(__file__).parent / "api.md").write_text(text(), encoding="utf-8")
