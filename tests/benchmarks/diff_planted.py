"""Runs of `sparse_prune` on planted models whose method is faithful to them, one run of many seeds each."""

from __future__ import annotations

from pathlib import Path

from faithcheck.ablation import Ablation
from faithcheck.bench import Bench
from faithcheck.building import build_plugin
from faithcheck.calibration.population import load_family, load_method
from faithcheck.collect import Collector
from faithcheck.engine import execute
from faithcheck.gates import Gate
from faithcheck.references import ResolvedCheck
from faithcheck.resolve import Resolved

CHECKS = ("sufficiency", "attention_agreement", "node_roles", "generalization", "layernorm")


def run(instance: int, seeds: int, steps: int, out: Path) -> None:
    """Plant an instance of the family `clean`, extract with seeds 0 to seeds - 1, ask the checks of circuits."""
    planted = load_family("clean").plant(instance)
    bench = Bench(planted.model, planted.task, "full", planted.target_loss, Ablation(), "live")
    checks = []
    for name in CHECKS:
        check, _ = build_plugin("checks", name, {})
        gates = {metric: Gate.parse(text, target_loss=bench.target_loss) for metric, text in check.gates.items()}
        checks.append(ResolvedCheck(check, gates))
    task = {"name": bench.task.name, "sha256": bench.task.fingerprint}
    run = Resolved(
        model=bench.model,
        benches=[bench],
        method=load_method("sparse_prune", {"steps": steps}),
        checks=checks,
        seeds=range(seeds),
        device="cpu",
        settings={"name": f"clean-{instance}", "target_loss": bench.target_loss, "tasks": [task]},
    )
    collector = Collector(run, out)
    for event in execute(run):
        collector.handle(event)
    collector.finish()
