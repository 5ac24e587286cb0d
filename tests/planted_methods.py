"""Prints the table of docs/methods.md: the methods of the box on clean planted models, beside nodes drawn at random.

python tests/planted_methods.py [SEEDS]
"""

from __future__ import annotations

import sys
from statistics import median

from faithcheck_circuits.methods.activation_difference import ActivationDifference
from faithcheck_circuits.methods.attribution import Attribution
from faithcheck_circuits.methods.greedy import Greedy
from faithcheck_circuits.methods.hard_concrete import HardConcrete
from faithcheck_circuits.methods.integrated_gradients import IntegratedGradients
from faithcheck_circuits.methods.sparse_prune import SparsePrune
from test_methods_planted import beats_chance_at, cut_of, of_size, planted, recall, scores

METHODS = [SparsePrune(), HardConcrete(), Greedy(), IntegratedGradients(), Attribution(), ActivationDifference()]


def main(seeds: int) -> None:
    true = [planted(seed).true.size for seed in range(seeds)]
    say("| method | better at the true size | true nodes found at it | better at its own size | its own size |")
    say("|---|---|---|---|---|")
    for method in METHODS:
        found = [scores(method, seed) for seed in range(seeds)]
        recalled = [recall(of_size(seed, found[seed], true[seed]), seed) for seed in range(seeds)]
        at_true = sum(beats_chance_at(seed, found[seed], true[seed]) for seed in range(seeds))
        cuts = [cut_of(seed, found[seed]) for seed in range(seeds)]
        at_own = sum(cut.reached and beats_chance_at(seed, found[seed], cut.size) for seed, cut in enumerate(cuts))
        sizes = sorted(cut.size for cut in cuts)
        say(
            f"| `{method.name}` | {at_true} of {seeds} | {median(recalled):.0%} | {at_own} of {seeds} "
            f"| {median(sizes):g} ({sizes[0]} to {sizes[-1]}) |"
        )
    say(f"\nTrue circuits have {min(true)} to {max(true)} nodes.")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
