"""`faithcheck import`: a circuit that others publish becomes a circuit file."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from rich.console import Console

from faithcheck.circuit import Circuit, Norms, save_circuit
from faithcheck.errors import Location, UserError
from faithcheck.files import cannot_write, make_folder
from faithcheck.importing.formats import read
from faithcheck.loading import load_model
from faithcheck.task import load_task
from faithcheck.text import visible


def run(file: str, model_ref: str, task_ref: str | None, norms: Norms, out: str | None) -> int:
    """Import a file, print what was found and how to test it, and return the exit code.

    Raises UserError where file, model or task is wrong, or the circuit cannot be written.
    """
    source = Path(file)
    target = Path(out) if out is not None else Path(f"{source.stem}.circuit.safetensors")
    circuit = import_circuit(source, model_ref, task_ref, norms)
    _write(target, circuit, source)
    sites = sum(bool(kept.any()) for kept in circuit.keep.values())
    found = f"{_count(circuit.size, 'node')} at {_count(sites, 'site')}: wrote {target}"
    _print(f"{found}; test it: {_next_command(model_ref, task_ref, target)}")
    if "remark" in circuit.provenance:
        _print(f"note: {circuit.provenance['remark']}")
    return 0


def import_circuit(file: Path, model_ref: str, task_ref: str | None = None, norms: Norms = "live") -> Circuit:
    """The circuit of a model that a published file holds, with zero ablation; `task_ref` is what it is a circuit for.

    norms: those that it was found with. Raises UserError where file, model or task is wrong.
    """
    published = read(file)
    task = None if task_ref is None else load_task(task_ref)
    model = load_model(model_ref)
    kept = published.kept(model)
    provenance = {
        "imported_from": file.name,
        "format": published.format,
        "model": model.name,
        "fingerprint": model.fingerprint,
        **({} if task is None else {"task": task.name}),
        **({"remark": kept.remark} if kept.remark else {}),
    }
    return Circuit(kept.nodes, norms=norms, provenance=provenance)


def _write(target: Path, circuit: Circuit, source: Path) -> None:
    if target.resolve() == source.resolve():
        raise UserError("the circuit would be written over the file it is read from", Location(f"--out {target}"))
    make_folder(target.parent, "the circuit")
    try:
        save_circuit(target, circuit)
    except OSError as error:
        raise cannot_write(target, "the circuit", error) from None


def _next_command(model_ref: str, task_ref: str | None, circuit: Path) -> str:
    tasks = "tasks=[TASK]" if task_ref is None else f"tasks={json.dumps([task_ref])}"
    return shlex.join(["faithcheck", "run", "quick", "--model", model_ref, "--circuit", str(circuit), "--set", tasks])


def _print(line: str) -> None:
    Console().print(visible(line), markup=False, highlight=False, soft_wrap=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
