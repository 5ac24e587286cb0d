"""A circuit whose most important nodes are others, or whose least important ones are left out, for `faithcheck diff`.

    python tests/benchmarks/diff_broken.py RUN OUT --replace 5
    python tests/benchmarks/diff_broken.py RUN OUT --leave-out 10

RUN is a run with --circuit and the check node_roles, on one task; OUT is the circuit file that is written.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from faithcheck.circuit import load_circuit, save_circuit
from faithcheck.report.reading import load_result


def main() -> None:
    arguments = _arguments()
    loaded = load_result(arguments.run)
    circuit = load_circuit(loaded.folder / loaded.data.circuits[0].file)
    roles = next(check for check in loaded.data.checks if check.check == "node_roles")
    evidence = loaded.evidence(roles.evidence).tensors
    sites = [site.name for site in loaded.data.model.sites]
    nodes = [(sites[place], number) for place, number in evidence["node"][np.argsort(-evidence["importance"])]]
    keep, rng = {site: kept.clone() for site, kept in circuit.keep.items()}, np.random.default_rng(0)
    for site, node in nodes[: arguments.replace]:
        keep[site][node] = False
        others = [int(i) for i in (~keep[site]).nonzero() if i != node]
        keep[site][rng.choice(others)] = True
    for site, node in nodes[len(nodes) - arguments.leave_out :]:
        keep[site][node] = False
    save_circuit(arguments.out, replace(circuit, keep=keep))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--replace", type=int, default=0, help="so many of the most important, by random ones of theirs"
    )
    parser.add_argument("--leave-out", type=int, default=0, help="so many of the least important")
    return parser.parse_args()


if __name__ == "__main__":
    main()
