"""What the circuit viewer draws: the circuits of result.json and their evidence, or why they are not there."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import results
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from viewer_results import PROMPTS, SITES, Section, circuit_tensors, result_of, role_tensors

from faithcheck.report.html import room
from faithcheck.report.html.viewer import section
from faithcheck.report.html.viewer_roles import KINDS


def shown(loaded, task="pronoun"):
    return Section(section(loaded, task))


def one_node(**more):
    """The evidence of a circuit of one node, with more tensors."""
    return {"node": np.array([[6, 3]]), "head": np.array([-1])} | more


def test_a_task_without_a_circuit_has_no_viewer(tmp_path):
    assert section(result_of(tmp_path), "another") == ""


def test_nodes_have_their_site_number_and_head_and_come_by_importance(tmp_path):
    node = np.array([[1, 7], [6, 3], [7, 0]])
    roles = role_tensors(node) | {"importance": np.array([0.1, 0.6, 0.3])}
    tensors = {"node": node, "head": np.array([2, -1, -1])}
    found = shown(result_of(tmp_path, circuits={0: tensors}, roles={0: roles})).data
    (circuit,) = found["circuits"]
    assert (circuit["site"], circuit["number"], circuit["head"]) == ([1, 6, 7], [7, 3, 0], [2, -1, -1])
    assert (circuit["rank"], circuit["share"]) == ([1, 2, 0], [0.1, 0.6, 0.3])
    assert found["sites"][6] == ["0.mlp_neuron", "mlp_neuron", 0]


def test_what_node_roles_said_of_a_node_goes_with_it(tmp_path):
    circuits = {0: circuit_tensors(4)}
    roles = role_tensors(circuits[0]["node"]) | {"r": np.array([1, -0.5, 0.1234567, 0])}
    (circuit,) = shown(result_of(tmp_path, circuits=circuits, roles={0: roles})).data["circuits"]
    assert circuit["r"] == [1, -0.5, 0.123, 0]
    same, other, opposite, vanishes = (KINDS.index(kind) for kind in KINDS if kind != "does the same")
    assert circuit["kind"] == [same, other, opposite, vanishes]
    assert circuit["swapped"] == [0.5] * 4


def test_a_node_does_the_same_where_the_swap_costs_at_most_a_fifth_of_its_importance(tmp_path):
    node = np.array([[6, 1], [6, 2], [6, 3], [6, 4]])
    roles = role_tensors(node) | {"importance": np.ones(4), "swapped": np.array([-0.1, 0.2, 0.1, 0.21])}
    roles |= {"consistent": np.array([1, 0, 0, 0]), "flips": np.array([0, 1, 0, 0]), "vanishes": np.zeros(4)}
    (circuit,) = shown(result_of(tmp_path, circuits={0: {"node": node}}, roles={0: roles})).data["circuits"]
    assert [KINDS[kind] for kind in circuit["kind"]] == ["same meaning", *["does the same"] * 2, "other meaning"]


def test_of_many_roles_a_node_names_those_that_changed_and_the_strongest(tmp_path):
    node, labels = np.array([[6, 1]]), [f"role {place}" for place in range(12)]
    circuit = np.array([[2.0, 9, 8, 7, 6, 5, 4, 3, 2.5, 1.5, np.nan, 1]])
    model = circuit * np.array([-1.0, *[1] * 11])
    roles = role_tensors(node) | {"effect/circuit": circuit, "effect/model": model}
    found = result_of(tmp_path, circuits={0: {"node": node}}, roles={0: roles}, labels=labels)
    (drawn,) = shown(found).data["circuits"]
    assert [role for role, *_ in drawn["effect"][0]] == list(range(8))
    assert any("of 12 roles a card names 8" in note for note in drawn["notes"])


def test_effects_say_which_role_flips_or_vanishes_and_leave_out_what_is_not_borne(tmp_path):
    node = np.array([[6, 1], [6, 2], [6, 3]])
    effects = {
        "effect/circuit": np.array([[0.7, np.nan], [0.7, 0.4], [-0.9, 0.2]]),
        "effect/model": np.array([[-0.6, np.nan], [0.05, -0.6], [-0.4, 0.2]]),
    }
    loaded = result_of(tmp_path, circuits={0: {"node": node}}, roles={0: role_tensors(node) | effects})
    (circuit,) = shown(loaded).data["circuits"]
    flips, vanishes, kept = 1, 2, 0
    assert circuit["effect"] == [
        [[0, 0.7, -0.6, flips]],
        [[0, 0.7, 0.05, vanishes], [1, 0.4, -0.6, kept]],
        [[0, -0.9, -0.4, kept], [1, 0.2, 0.2, kept]],
    ]


def test_edges_come_heaviest_first_whatever_their_sign(tmp_path):
    tensors = circuit_tensors(3) | {"edge": np.array([[0, 1], [1, 2], [0, 2]]), "weight": np.array([0.1, -2, 0.5])}
    (circuit,) = shown(result_of(tmp_path, circuits={0: tensors})).data["circuits"]
    assert circuit["edge"] == [[1, 2, -2.0], [0, 2, 0.5], [0, 1, 0.1]]


def test_without_node_roles_nodes_come_by_the_weight_of_their_edges(tmp_path):
    tensors = circuit_tensors(3) | {"edge": np.array([[0, 1], [1, 2]]), "weight": np.array([1.0, -3.0])}
    page = shown(result_of(tmp_path, circuits={0: tensors}, roles=None))
    (circuit,) = page.data["circuits"]
    assert circuit["rank"] == [1, 2, 0]
    assert "share" not in circuit
    assert "there is no evidence of node_roles" in circuit["notes"][0]
    assert circuit["order"] == "with the heaviest edges"
    assert "Seed 0: 3 nodes; the 3 with the heaviest edges" in page.text


def test_a_given_circuit_has_no_seed_and_is_drawn(tmp_path):
    tensors = circuit_tensors(5)
    loaded = result_of(tmp_path, circuits={None: tensors}, roles={None: role_tensors(tensors["node"])})
    (circuit,) = shown(loaded).data["circuits"]
    assert circuit["name"] == "the circuit"
    assert (len(circuit["share"]), circuit["notes"]) == (5, [])


def test_every_seed_is_there_also_where_one_cannot_be_drawn(tmp_path):
    loaded = result_of(tmp_path, circuits={0: circuit_tensors(5), 3: circuit_tensors(6, 1)})
    (tmp_path / "evidence" / "seed0-circuit.safetensors").unlink()
    page = shown(loaded)
    assert ["site" in circuit for circuit in page.data["circuits"]] == [False, True]
    assert "Seed 0 is not drawn: the evidence file" in page.text
    assert "Seed 3: 6 nodes" in page.text


@pytest.mark.parametrize("nodes", [0, 1])
def test_a_circuit_of_hardly_any_node_is_drawn(tmp_path, nodes):
    (circuit,) = shown(result_of(tmp_path, circuits={0: circuit_tensors(nodes)})).data["circuits"]
    assert (len(circuit["site"]), len(circuit["rank"]), circuit["notes"]) == (nodes, nodes, [])


def test_the_table_without_script_has_the_twelve_nodes_that_matter_most_of_the_first_seed(tmp_path):
    tensors = circuit_tensors(30)
    page = shown(result_of(tmp_path, circuits={4: tensors, 5: circuit_tensors(40, 1)}))
    site, number = tensors["node"][0]
    assert page.tags.count("tr") == 1 + 12
    assert f"{SITES[site]['name']} {number}" in page.text
    assert "same meaning" in page.text
    assert "Seed 4: 30 nodes; the 12 that matter most" in page.text


def test_of_too_many_nodes_and_edges_the_page_keeps_those_that_matter_most_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "NODES", 100)
    monkeypatch.setattr(room, "EDGES", 20)
    node = np.array([[place // 10, place % 10] for place in range(150)])
    roles = role_tensors(node) | {"importance": np.arange(150) / 150}
    edge = np.array([[start, start + 1] for start in range(149)])
    tensors = {"node": node, "edge": edge, "weight": np.arange(149.0, dtype=np.float32)}
    (circuit,) = shown(result_of(tmp_path, circuits={0: tensors}, roles={0: roles})).data["circuits"]
    assert len(circuit["site"]) == len(circuit["share"]) == 100
    assert (circuit["site"][0], circuit["number"][0]) == tuple(node[50])
    assert circuit["rank"][:2] == [99, 98]
    assert [weight for *_, weight in circuit["edge"]] == list(range(148, 128, -1))
    assert circuit["edge"][0][:2] == [98, 99]
    assert "this page has 100 of its 150 nodes, those that matter most" in circuit["notes"]
    assert "this page has 20 of its 149 edges, the heaviest between these nodes" in circuit["notes"]


def test_nodes_of_which_nothing_is_known_are_not_said_to_matter(tmp_path):
    page = shown(result_of(tmp_path, circuits={0: one_node()}, roles=None))
    (circuit,) = page.data["circuits"]
    assert circuit["order"] == "that come first"
    assert "matter most" not in page.text
    assert not any("of its" in note for note in circuit["notes"])


def test_the_viewer_of_18_circuits_of_2000_nodes_stays_below_4_mb(tmp_path):
    draw, node = np.random.default_rng(0), np.array([[place // 125, place % 125] for place in range(2000)])
    edge, weight = np.sort(draw.integers(0, 2000, (8192, 2)), axis=1), draw.normal(size=8192).astype(np.float32)
    sides = {f"activation/{side}": draw.normal(size=(2000, 8, 7)).astype(np.float32) for side in ("circuit", "model")}
    circuits = {seed: {"node": node, "edge": edge, "weight": weight, **sides} for seed in range(18)}
    prompts = [{"tokens": ["a"] * 7, "target": "b", "distractor": "c"}] * 8
    assert len(str(section(result_of(tmp_path, circuits=circuits, prompts=prompts), "pronoun"))) < 4e6


def test_edges_that_the_evidence_does_not_have_are_missed(tmp_path):
    loaded = result_of(tmp_path, circuits={0: one_node(edge=np.empty((0, 2), np.int64), weight=np.empty(0))})
    circuits = [circuit.model_copy(update={"edges": 7}) for circuit in loaded.data.circuits]
    loaded = replace(loaded, data=loaded.data.model_copy(update={"circuits": circuits}))
    assert any("0 of its 7 edges" in note for note in shown(loaded).data["circuits"][0]["notes"])


LOST = {
    "no evidence is named": ({"evidence": None}, "the result keeps nothing to draw it from"),
    "the picture could not be taken": (
        {"evidence": None, "undrawn": "the model would not run"},
        "the model would not run",
    ),
    "another file": ({"evidence": {"file": "evidence/x.safetensors", "sha256": "0" * 64}}, "is not there"),
    "a file of elsewhere": ({"evidence": {"file": "../x.safetensors", "sha256": "0" * 64}}, "is not beside the result"),
}


@pytest.mark.parametrize(("entry", "said"), LOST.values(), ids=LOST)
def test_a_circuit_without_evidence_is_not_drawn_and_says_why(tmp_path, entry, said):
    loaded = results.loaded(tmp_path, [], [results.circuit(**entry)])
    page = shown(loaded)
    assert f"Seed 0 is not drawn: {said}" in page.text or said in page.text
    assert page.data is None
    assert "table" not in page.tags


NONSENSE = {
    "another number of nodes": {"node": np.array([[6, 3], [6, 4]])},
    "nodes that are no numbers": {"node": np.array([[6.0, 3.0]])},
    "a site that is not there": {"node": np.array([[16, 3]])},
    "a node that is not there": {"node": np.array([[6, 200]])},
    "a negative number": {"node": np.array([[6, -1]])},
    "heads of other nodes": {"head": np.array([1, 2])},
    "an edge to nowhere": {"edge": np.array([[0, 1]]), "weight": np.array([1.0])},
    "an edge without a weight": {"edge": np.array([[0, 0]]), "weight": np.array([])},
    "edges and no weights": {"edge": np.array([[0, 0]])},
    "a scalar": {"edge": np.array(1), "weight": np.array(1.0)},
}


@pytest.mark.parametrize("wrong", NONSENSE.values(), ids=NONSENSE)
def test_evidence_that_does_not_fit_together_is_not_drawn_and_says_so(tmp_path, wrong):
    kept = results.evidence(tmp_path, "circuit", one_node() | wrong)
    entry = results.circuit(size=1, evidence=kept)
    model = {"name": "m", "fingerprint": "ab", "sites": SITES, "norms": []}
    page = shown(results.loaded(tmp_path, [], [entry], model=model))
    assert "Seed 0 is not drawn: its evidence does not fit together" in page.text
    assert page.data is None


def test_a_result_that_does_not_name_the_sites_says_so(tmp_path):
    page = shown(result_of(tmp_path, sites=[]))
    assert "nodes that the model does not have" in page.text


ROLES_LOST = {
    "other nodes": {"node": np.array([[6, 4]])},
    "another number of nodes": {"r": np.array([0.1, 0.2])},
    "effects of other nodes": {"effect/circuit": np.zeros((2, 2))},
    "effects without names": {"effect/circuit": np.zeros((1, 3)), "effect/model": np.zeros((1, 3))},
}


@pytest.mark.parametrize("wrong", ROLES_LOST.values(), ids=ROLES_LOST)
def test_where_node_roles_does_not_fit_the_circuit_is_drawn_without(tmp_path, wrong):
    roles = role_tensors(one_node()["node"]) | wrong
    (circuit,) = shown(result_of(tmp_path, circuits={0: one_node()}, roles={0: roles})).data["circuits"]
    assert "share" not in circuit
    assert any("importance, correlation and role are not shown" in note for note in circuit["notes"])


def test_a_seed_that_node_roles_says_nothing_about_is_drawn_without(tmp_path):
    circuits = {0: circuit_tensors(5), 1: circuit_tensors(5, 1)}
    found = shown(result_of(tmp_path, circuits=circuits, roles={0: role_tensors(circuits[0]["node"])})).data["circuits"]
    assert ["share" in circuit for circuit in found] == [True, False]


def test_where_the_evidence_of_node_roles_was_changed_the_circuit_is_drawn_without(tmp_path):
    loaded = result_of(tmp_path)
    (tmp_path / "evidence" / "node_roles.safetensors").write_bytes(b"another")
    (circuit,) = shown(loaded).data["circuits"]
    assert "share" not in circuit
    assert "its SHA-256 differs" in circuit["notes"][-1]


def test_without_prompts_there_are_no_activations(tmp_path):
    (circuit,) = shown(result_of(tmp_path, prompts=[])).data["circuits"]
    assert circuit["activation"] is None


@pytest.mark.parametrize("shape", [(1, 2, 5), (30, 3, 5), (30, 2, 4), (30, 2)])
def test_activations_of_other_prompts_or_nodes_are_not_shown(tmp_path, shape):
    tensors = circuit_tensors(30) | {"activation/model": np.zeros(shape, np.float32)}
    (circuit,) = shown(result_of(tmp_path, circuits={0: tensors})).data["circuits"]
    assert circuit["activation"] is None
    assert any("not of the prompts" in note for note in circuit["notes"])


def test_a_model_without_edge_weights_has_nodes_and_no_edges(tmp_path):
    tensors = {name: value for name, value in circuit_tensors(5).items() if name not in ("edge", "weight")}
    (circuit,) = shown(result_of(tmp_path, circuits={0: tensors})).data["circuits"]
    assert circuit["edge"] == []
    assert any("no weights between its nodes" in note for note in circuit["notes"])


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_never_makes_the_data_unreadable(tmp_path, odd):
    tensors = circuit_tensors(3) | {"edge": np.array([[0, 1]]), "weight": np.array([odd], np.float32)}
    tensors["activation/model"][1] = odd
    roles = role_tensors(tensors["node"])
    for name in ("importance", "r", "fvu", "swapped", "sign_agreement"):
        roles[name][0] = odd
    roles["effect/model"][0, 0] = odd
    (circuit,) = shown(result_of(tmp_path, circuits={0: tensors}, roles={0: roles})).data["circuits"]
    assert (circuit["r"][0], circuit["fvu"][0], circuit["edge"]) == (None, None, [[0, 1, None]])
    assert [effect[0] for effect in circuit["effect"][0]] == [1]
    assert circuit["rank"][0] == 1


TENSORS = {f"circuit {name}" for name in circuit_tensors(3)} | {
    f"roles {name}" for name in role_tensors(np.ones((3, 2)))
}
DTYPES = st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_])


@given(
    st.sampled_from(sorted(TENSORS)), DTYPES.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_side=4)))
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_stands_in_the_place_of_a_tensor_the_circuit_is_drawn_or_it_is_said_why_not(tmp_path, name, junk):
    where, name = name.split(" ")
    tensors = circuit_tensors(3)
    roles = role_tensors(tensors["node"])
    changed = {"circuit": tensors, "roles": roles}[where]
    changed[name] = junk
    page = shown(result_of(tmp_path, circuits={0: tensors}, roles={0: roles}, size=3))
    assert page.data is not None or "Seed 0 is not drawn" in page.text


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'&amp;<b>",
    "\u202eright to left",
    "bell\x07\x00and\x1b[31m",
    "<!--",
    "{{ 7 * 7 }}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(tmp_path, text):
    prompts = [{"tokens": [text], "target": text, "distractor": text}, PROMPTS[1]]
    sites = [site | {"name": text} for site in SITES]
    loaded = result_of(tmp_path, task="t", prompts=prompts, sites=sites, labels=[text, text])
    markup = section(loaded, "t")
    page = Section(markup)
    assert set(page.tags) <= {"div", "p", "table", "thead", "tbody", "tr", "th", "td", "bdi", "script"}
    assert page.tags.count("script") == 1
    assert not any(character in str(markup) for character in "\x00\x07\x1b\u202e")
    told = [page.data["prompts"][0]["target"], page.data["roles"][0], page.data["sites"][0][0]]
    plain = [one.replace("␣", " ") for one in told]
    visible = text.encode("unicode_escape").decode() if not text.isprintable() else text
    assert plain == [visible] * 3
    assert visible in page.text


def test_the_viewer_needs_no_torch(tmp_path):
    result_of(tmp_path)
    code = (
        "import sys; from faithcheck.report.reading import load_result; "
        "from faithcheck.report.html.viewer import section; "
        "assert section(load_result(sys.argv[1]), 'pronoun'); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
