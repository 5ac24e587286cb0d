"""A result folder with all seven checks and their evidence, in the form that a run writes, for the HTML report."""

from __future__ import annotations

import numpy as np
import results

WORDS = ["when", "Leo", "ran", "home", ","]
PROMPTS = [
    {"tokens": WORDS, "target": "he", "distractor": "she"},
    {"tokens": ["when", "Mia", "sang", ","], "target": "she", "distractor": "he"},
]
HEADS = [(0, 1), (1, 5), (1, 7), (0, 9), (0, 2)]
NORMS = ["0.ln_1", "ln_f"]
SEEDS = (0, 1)


def folder(place, tasks=("pronoun",), checks=None, seeds=SEEDS, prompts=PROMPTS, edit=lambda data: None):
    """Write a result of these tasks and checks, and return its folder; `edit` may change the data."""
    made = [MAKERS[name](place, task, seeds) for task in tasks for name in (checks or MAKERS)]
    circuits = [results.circuit(task, seed, size=20 + seed) for task in tasks for seed in seeds]
    data = results.result(made, circuits, suite={"seeds": len(seeds), "about": "about this suite"})
    data["tasks"] = [{"name": task, "prompts": prompts} for task in tasks]
    edit(data)
    return results.write(place, data)


def _entry(place, task, name, verdict, metrics, tensors, labels=None):
    file = results.evidence(place, f"{abs(hash(task))}-{name}", tensors, labels)
    question = f"is {name} all right?"
    return results.check(verdict, name, task, f"{name} says so", metrics=metrics, evidence=file, question=question)


def missed(name, seed, **more):
    """The entry of a metric that was never reached."""
    return {"name": name, "seed": seed, "estimate": None, "reached": False, **more}


def sufficiency(place, task, seeds):
    curve = np.array([[1, 5.0, 0], [10, 1.0, 4], [20, 0.1, 9], [40, 0.0, 30]])
    metrics = [results.metric("loss", "PASS", seed=seed) for seed in seeds]
    return _entry(place, task, "sufficiency", "PASS", metrics, {f"{seed}/curve": curve for seed in seeds})


def size_ratio(name, control):
    def make(place, task, seeds):
        tensors, labels, metrics = {}, {}, []
        for seed in seeds:
            tensors[f"{seed}/task"] = np.array([[1, 5.0], [20, 0.1]])
            tensors[f"{seed}/{control}"] = np.array([[1, 6.0], [200, 0.1 if seed else 2.0]])
            labels[f"{seed}/labels"] = ["is", "when"]
            metrics.append(results.metric("task_size", estimate=20.0, seed=seed))
            size = f"{control}_size"
            metrics.append(results.metric(size, estimate=200.0, seed=seed) if seed else missed(size, seed))
        ratio = results.metric("size_ratio", "INCONCLUSIVE", ">= 10", 10.0, None)
        return _entry(place, task, name, "INCONCLUSIVE", [ratio, *metrics], tensors, labels)

    return make


def attention_agreement(place, task, seeds):
    tensors, metrics = {}, []
    for seed in seeds:
        tensors[f"{seed}/head"] = np.array(HEADS)
        tensors[f"{seed}/importance"] = np.array([0.5, 1.5, 0.0, 0.0, 0.0])
        tensors[f"{seed}/total_variation"] = np.array([[0.1, 0.3], [0.6, 0.8]] + [[0.0, 0.0]] * 3, np.float32)
        for layer, head in HEADS:
            for side, on in (("circuit", 0), ("model", 1)):
                tensors[f"{seed}/pattern/{layer}.{head}/{side}"] = pattern(len(PROMPTS), len(WORDS), on)
        metrics.append(results.metric("pattern_tv", "FAIL", estimate=0.6, seed=seed))
    return _entry(place, task, "attention_agreement", "FAIL", metrics, tensors)


def pattern(prompts, length, on):
    """float32[prompt, query, key + 1]: every query looks at key `on` with 0.75 and at the sink with 0.25."""
    made = np.zeros((prompts, length, length + 1), np.float32)
    for query in range(length):
        made[:, query, min(on, query)] = 0.75
    made[:, :, -1] = 0.25
    return made


def node_roles(place, task, seeds):
    tensors, metrics = {}, []
    for seed in seeds:
        tensors |= {
            f"{seed}/node": np.array([[0, 1], [0, 4], [2, 7], [3, 0]]),
            f"{seed}/r": np.array([0.9, -0.8, 0.1, 0.3]),
            f"{seed}/importance": np.array([3.0, 0.6, 0.3, 0.1]),
            f"{seed}/swapped": np.array([3.0, 0.5, 0.2, 0.01]),
            f"{seed}/consistent": np.array([True, False, False, False]),
            f"{seed}/flips": np.array([False, True, False, False]),
            f"{seed}/vanishes": np.array([False, False, True, False]),
        }
        metrics.append(results.metric("consistent_mass", "FAIL", ">= 0.9", 0.75, seed))
    return _entry(place, task, "node_roles", "FAIL", metrics, tensors)


def generalization(place, task, seeds):
    metrics = []
    for seed in seeds:
        metrics.append(results.metric("disagreement_gap", "FAIL", "<= 0.05", 0.3 + 0.001 * seed, seed, on="unseen"))
        metrics.append(results.metric("accuracy_gap", estimate=0.2, seed=seed, on="unseen"))
    metrics.append(results.metric("generalizing_seeds", estimate=0.0, seed=None, on="unseen"))
    return _entry(place, task, "generalization", "FAIL", metrics, {"0/unseen/logit_difference": np.zeros((3, 2))})


def layernorm(place, task, seeds):
    metrics = []
    for seed in seeds:
        metrics.append(results.metric("frozen_loss", "FAIL", "<= 0.25", 4.5, seed))
        metrics += [
            results.metric("rms_ratio", estimate=ratio, seed=seed, on=n)
            for n, ratio in ((NORMS[0], 1.0), (NORMS[1], 0.1))
        ]
        metrics.append(results.metric("live_size", estimate=20.0, seed=seed))
        metrics.append(missed("frozen_size", seed))
    return _entry(place, task, "layernorm", "FAIL", metrics, {"0/rms_ratio/ln_f": np.ones(3)})


MAKERS = {
    "sufficiency": sufficiency,
    "nonsense_control": size_ratio("nonsense_control", "nonsense"),
    "random_weights": size_ratio("random_weights", "shuffled"),
    "attention_agreement": attention_agreement,
    "node_roles": node_roles,
    "generalization": generalization,
    "layernorm": layernorm,
}
