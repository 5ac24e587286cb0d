"""Result folders with circuits that the viewer can draw, made by hand or by the dozen."""

import json
from html.parser import HTMLParser

import numpy as np
import results

KINDS = ("attn_in", "attn_q", "attn_k", "attn_v", "attn_out", "mlp_in", "mlp_neuron", "mlp_out")
SIZE = 200
SITES = [{"name": f"{layer}.{kind}", "kind": kind, "layer": layer, "size": SIZE} for layer in (0, 1) for kind in KINDS]
PROMPTS = [
    {"tokens": ["when", "Mia", "slept", ","], "target": "she", "distractor": "he"},
    {"tokens": ["when", "Leo", "left", "home", ","], "target": "he", "distractor": "she"},
]
ROLES = ["name_gender: female, not male, at name", "name_gender: female, not male, at last"]


def circuit_tensors(nodes, seed=0, edges=None):
    """The evidence of a circuit of so many nodes, spread over all sites, with random activations."""
    draw = np.random.default_rng(seed)
    flat = np.sort(draw.choice(len(SITES) * SIZE, nodes, replace=False))
    node = np.stack([flat // SIZE, flat % SIZE], 1).astype(np.int64)
    headed = np.isin(node[:, 0] % 8, (1, 2, 3))
    found = {"node": node, "head": np.where(headed, node[:, 1] // 50, -1).astype(np.int64)}
    later = [(a, b) for a in range(nodes) for b in range(max(0, nodes - 400), nodes) if node[a, 0] < node[b, 0]]
    many = min(len(later), 2 * nodes if edges is None else edges)
    pick = draw.choice(len(later), many, replace=False) if later else np.empty(0, np.int64)
    found["edge"] = np.array([later[place] for place in pick], np.int64).reshape(-1, 2)
    found["weight"] = draw.normal(size=many).astype(np.float32)
    for side in ("circuit", "model"):
        found[f"activation/{side}"] = draw.normal(size=(nodes, len(PROMPTS), 5)).astype(np.float32)
    return found


def role_tensors(node, seed=0):
    """The evidence of node_roles about these nodes; importance falls with the place in `node`."""
    draw, many = np.random.default_rng(seed + 100), len(node)
    effects = {side: draw.normal(size=(many, len(ROLES))) for side in ("circuit", "model")}
    return {
        "node": node,
        "importance": 1.0 / np.arange(1, many + 1),
        "r": draw.uniform(-1, 1, many),
        "sign_agreement": draw.uniform(0, 1, many),
        "fvu": draw.uniform(0, 2, many),
        "swapped": np.full(many, 0.5),
        "consistent": np.arange(many) % 4 == 0,
        "flips": np.arange(many) % 4 == 2,
        "vanishes": np.arange(many) % 4 == 3,
        **{f"effect/{side}": value for side, value in effects.items()},
    }


def result_of(
    folder, *, circuits=None, roles="same", task="pronoun", prompts=PROMPTS, labels=ROLES, sites=SITES, size=None
):
    """A LoadedResult with circuits of these tensors, {seed: tensors}. `roles`: {seed: tensors}, None where node_roles
    did not run, "same" for random ones of the same nodes; `size`: what result.json says of the circuits' size."""
    circuits = {0: circuit_tensors(30)} if circuits is None else circuits
    entries = []
    for seed, tensors in circuits.items():
        kept = results.evidence(folder, f"seed{seed}-circuit", tensors)
        edges = len(tensors["edge"]) if np.ndim(tensors.get("edge", 0)) else None
        nodes = len(tensors["node"]) if size is None else size
        entry = results.circuit(task, seed or 0, size=nodes, edges=edges, evidence=kept)
        entries.append(entry | {"seed": seed})
    if roles == "same":
        roles = {seed: role_tensors(tensors["node"], seed or 0) for seed, tensors in circuits.items()}
    checks = [] if roles is None else [_node_roles(folder, roles, task, labels)]
    model = {"name": "stories-tiny", "fingerprint": "ab" * 32, "sites": sites, "norms": []}
    return results.loaded(folder, checks, entries, model=model, tasks=[{"name": task, "prompts": prompts}])


def _node_roles(folder, roles, task, labels):
    start = {seed: "" if seed is None else f"{seed}/" for seed in roles}
    tensors = {f"{start[seed]}{name}": value for seed, of in roles.items() for name, value in of.items()}
    kept = results.evidence(folder, "node_roles", tensors, {"role": list(labels)})
    return results.check("FAIL", "node_roles", task, evidence=kept)


class Section(HTMLParser):
    """The HTML of a viewer, taken apart: its tags, its text, and the data of its script element."""

    def __init__(self, markup):
        super().__init__()
        self.tags, self.said, self._script, self.data = [], [], False, None
        self.feed(str(markup))
        self.close()
        self.text = " ".join(" ".join(self.said).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._script = tag == "script"

    def handle_endtag(self, tag):
        self._script = False

    def handle_data(self, data):
        if self._script:
            self.data = json.loads(data, parse_constant=_refuse)
        else:
            self.said.append(data)


def _refuse(name):
    raise ValueError(f"{name} is not JSON")
