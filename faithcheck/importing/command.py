"""`faithcheck import`: a circuit that others publish becomes a circuit file."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from rich.console import Console

from faithcheck.ablation import Ablation, AblationKind
from faithcheck.baselines import MEAN_TEXTS, measured
from faithcheck.bench import TRAIN_CAP
from faithcheck.circuit import Circuit, Norms, save_circuit
from faithcheck.errors import Location, UserError
from faithcheck.files import cannot_write, make_folder
from faithcheck.importing.formats import read
from faithcheck.loading import load_model
from faithcheck.model import Model
from faithcheck.prompts import encode
from faithcheck.task import Task, load_task
from faithcheck.text import counted, visible


def run(file: str, model_ref: str, task_ref: str | None, norms: Norms, ablation: AblationKind, out: str | None) -> int:
    """Import a file, print what was found and how to test it, and return the exit code.

    Raises UserError where file, model or task is wrong, or the circuit cannot be written.
    """
    source = Path(file)
    target = Path(out) if out is not None else Path(f"{source.stem}.circuit.safetensors")
    circuit = import_circuit(source, model_ref, task_ref, norms, ablation)
    _write(target, circuit, source)
    sites = sum(bool(kept.any()) for kept in circuit.keep.values())
    found = f"{counted(circuit.size, 'node')} at {counted(sites, 'site')}, {ablation} ablation: wrote {target}"
    _print(f"{found}; test it: {_next_command(model_ref, task_ref, target)}")
    if "remark" in circuit.provenance:
        _print(f"note: {circuit.provenance['remark']}")
    return 0


def import_circuit(
    file: Path,
    model_ref: str,
    task_ref: str | None = None,
    norms: Norms = "live",
    ablation: AblationKind = "zero",
) -> Circuit:
    """The circuit of a model that a published file holds; `task_ref` is what it is a circuit for.

    norms, ablation: those that it was found with; means are measured on the model. Raises UserError where file, model
    or task is wrong, or there is nothing to take means over.
    """
    published = read(file)
    task = None if task_ref is None else load_task(task_ref)
    if ablation == "task_mean" and task is None:
        raise UserError("task_mean ablation is over a task's train prompts: name the task with --task")
    model = load_model(model_ref)
    kept = published.kept(model)
    ablated, over = _ablation(ablation, model, task)
    provenance = {
        "imported_from": file.name,
        "format": published.format,
        "model": model.name,
        "fingerprint": model.fingerprint,
        **({} if task is None else {"task": task.name, "task_sha256": task.fingerprint}),
        **({"means_over": over} if over else {}),
        **({"remark": kept.remark} if kept.remark else {}),
    }
    return Circuit(kept.nodes, ablated, norms, provenance)


def _ablation(kind: AblationKind, model: Model, task: Task | None) -> tuple[Ablation, str]:
    """The ablation with its means, and in words what these are taken over; empty where it has none."""
    if kind == "mean":
        ablation = measured(Ablation(kind), model, None)
        texts = min(MEAN_TEXTS, len(getattr(model, "sample_text", ())))
        return ablation, f"the first {counted(texts, 'text')} of the model's own"
    if kind == "task_mean":
        assert task is not None
        prompts = encode(task, "train", model.tokenizer, cap=TRAIN_CAP)
        return measured(Ablation(kind), model, prompts), f"{counted(len(prompts), 'train prompt')} of {task.name}"
    return Ablation(kind), ""


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
