"""Component graphs of EAP-IG and MIB: a head stands for its q, k and v nodes, an MLP for its layer's MLP sites."""

from dataclasses import replace

import pytest
import torch
from importing import Grouped, graph, kept, whole, write_json
from small_models import small_model

from faithcheck.errors import UserError
from faithcheck.importing.formats import read

HEAD_1_OF_0 = {
    **whole("0.attn_in", "0.attn_out"),
    "0.attn_q": [4, 5, 6, 7],
    "0.attn_k": [4, 5, 6, 7],
    "0.attn_v": [4, 5, 6, 7],
}
MLP_OF_1 = whole("1.mlp_in", "1.mlp_neuron", "1.mlp_out")
EDGES = ["input->a0.h1<q>", "a0.h1->m1", "m1->logits"]


def older(data):
    """The form of the first versions: `nodes` maps to true or false."""
    return {**data, "nodes": {name: value["in_graph"] for name, value in data["nodes"].items()}}


def without_scores(data):
    """As MIB asks for circuits of their own: no scores."""
    return {
        **data,
        "nodes": {name: {"in_graph": value["in_graph"]} for name, value in data["nodes"].items()},
        "edges": {name: {"in_graph": value["in_graph"]} for name, value in data["edges"].items()},
    }


BOTH = graph(["input", "a0.h1", "m1", "logits"], EDGES)
FORMS = {
    "newer": BOTH,
    "older": older(BOTH),
    "without scores": without_scores(BOTH),
    "nodes alone marked": graph(["input", "a0.h1", "m1", "logits"]),
    "edges alone marked": graph([], EDGES),
    "ends marked, and edges": graph(["input", "logits"], EDGES),
    "all nodes marked, and edges": graph(graph([])["nodes"], EDGES),
    "no nodes at all": {key: value for key, value in BOTH.items() if key != "nodes"},
    "no edges at all": {key: value for key, value in BOTH.items() if key != "edges"},
    "no cfg": {key: value for key, value in BOTH.items() if key != "cfg"},
    "whole neurons": {**BOTH, "neurons": {"a0.h1": [True] * 16, "m0": [False] * 16}},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_keeps_the_marked_components(tmp_path, form):
    path = write_json(tmp_path / "c.json", FORMS[form])
    assert kept(path) == {**HEAD_1_OF_0, **MLP_OF_1}
    assert read(path).format == "component graph"


LOOSE = {
    "no edge": [],
    "an edge into it alone": ["input->m1", "a0.h1->m1"],
    "an edge out of it alone": ["m1->logits"],
    "a chain that ends nowhere": ["input->a1.h0<v>", "a1.h0->m1"],
    "a chain that starts nowhere": ["a1.h0->m1", "m1->logits"],
}


@pytest.mark.parametrize("loose", LOOSE)
def test_a_component_on_no_marked_path_from_input_to_logits_is_left_out(tmp_path, loose):
    """As EAP-IG prunes a graph before it runs it: those that were thresholded by edges may mark every node."""
    edges = ["input->a0.h1<q>", "a0.h1->logits", *LOOSE[loose]]
    for nodes in (["a0.h1", "a1.h0", "m1"], []):
        assert kept(write_json(tmp_path / "c.json", graph(nodes, edges))) == HEAD_1_OF_0


def test_edges_that_no_model_has_do_no_harm(tmp_path):
    """EAP-IG marks every edge out of a chosen node in its tensor, those to earlier layers too."""
    torch.save(pt(edges=[*EDGES, "m1->a0.h1<k>", "m1->m0"]), tmp_path / "c.pt")
    assert kept(tmp_path / "c.pt") == {**HEAD_1_OF_0, **MLP_OF_1}


def test_two_heads_of_a_layer_keep_their_own_nodes_alone(tmp_path):
    path = write_json(tmp_path / "c.json", graph(["a1.h0", "a1.h3"]))
    own = [0, 1, 2, 3, 12, 13, 14, 15]
    assert kept(path) == {
        **whole("1.attn_in", "1.attn_out"), "1.attn_q": own, "1.attn_k": own, "1.attn_v": own
    }  # fmt: skip


def test_grouped_heads_keep_the_key_and_value_head_that_they_read(tmp_path):
    nodes = {"a0.h0": False, "a0.h1": False, "a0.h2": True, "a0.h3": False, "m0": False}
    path = write_json(tmp_path / "c.json", {"cfg": {"n_layers": 1, "n_heads": 4, "d_model": 8}, "nodes": nodes})
    assert kept(path, Grouped()) == {
        "0.attn_in": list(range(8)),
        "0.attn_q": [4, 5],
        "0.attn_k": [2, 3],
        "0.attn_v": [2, 3],
        "0.attn_out": list(range(8)),
    }


def test_heads_that_share_values_with_a_head_of_the_graph_are_named(tmp_path):
    """Heads 2 and 3 read one value head: with 2 alone in the graph, 3 cannot be ablated."""
    one, both = ({"nodes": {f"a0.h{head}": True for head in heads}} for heads in ([2], [2, 3]))
    published = read(write_json(tmp_path / "c.json", one))
    assert published.kept(Grouped()).remark.startswith("a0.h3: outside the graph, but with the values of heads inside")
    assert published.kept(small_model()).remark == ""
    assert read(write_json(tmp_path / "c.json", both)).kept(Grouped()).remark == ""


def pt(nodes=("a0.h1", "m1"), edges=EDGES, **others):
    """BOTH as `Graph.to_pt` writes it."""
    sources = [name for name in BOTH["nodes"] if name != "logits"]
    heads = [f"a{layer}.h{h}<{x}>" for layer in (0, 1) for x in "qkv" for h in range(4)]
    targets = [*heads[:12], "m0", *heads[12:], "m1", "logits"]
    in_graph = torch.zeros(len(sources), len(targets), dtype=torch.bool)
    for edge in edges:
        parent, child = edge.split("->")
        in_graph[sources.index(parent), targets.index(child)] = True
    return {
        "cfg": BOTH["cfg"],
        "src_nodes": sources,
        "dst_nodes": targets,
        "edges_scores": torch.rand(in_graph.shape),
        "edges_in_graph": in_graph,
        "nodes_in_graph": torch.tensor([name in nodes for name in sources]),
        **others,
    }


PT_FORMS = {
    "both": pt(),
    "edges alone marked": pt(nodes=()),
    "nodes alone marked": pt(edges=()),
    "with scores": pt(nodes_scores=torch.full((11,), float("nan"))),
    "whole neurons": pt(neurons_in_graph=torch.ones(11, 16), neurons_scores=torch.rand(11, 16)),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("form", PT_FORMS)
def test_the_pt_form_keeps_the_same_as_json(tmp_path, form, legacy):
    torch.save(PT_FORMS[form], tmp_path / "c.pt", _use_new_zipfile_serialization=not legacy)
    assert kept(tmp_path / "c.pt") == {**HEAD_1_OF_0, **MLP_OF_1}


NO_WAY = "the edges that are marked lead through no head and no MLP from input to logits"
SCORES_ONLY = "no head and no MLP is marked as in the graph; where a file holds scores alone, choose a circuit first"
BAD = {
    "scores alone": (graph([]), SCORES_ONLY),
    "the ends alone": (graph(["input", "logits"]), SCORES_ONLY),
    "an edge between the ends alone": (graph(["input", "logits"], ["input->logits"]), NO_WAY),
    "all nodes, and an edge between the ends alone": (graph(graph([])["nodes"], ["input->logits"]), NO_WAY),
    "edges that end nowhere": ({"edges": {"input->m0": {"in_graph": True}, "m0->m1": {"in_graph": True}}}, NO_WAY),
    "edges that start nowhere": ({"edges": {"m0->m1": {"in_graph": True}, "m1->logits": {"in_graph": True}}}, NO_WAY),
    "edges through a node that is not marked": (
        graph(["a0.h1"], EDGES),
        "m1 is not marked as in the graph, but edges into it and out of it are: mark all of them or none",
    ),
    "nodes without a mark": ({"nodes": {"m0": {"score": 0.5}}}, SCORES_ONLY),
    "more layers": (graph(["m1"], n_layers=12), "a model with n_layers = 12, plain 0 has 2"),
    "more heads": (graph(["m1"], n_heads=12), "a model with n_heads = 12, plain 0 has 4"),
    "another width": (graph(["m1"], d_model=768), "a model with d_model = 768, plain 0 has 16"),
    "cfg that is text": (graph(["m1"], n_heads="4"), "cfg: n_heads is '4'"),
    "cfg that is a list": ({"cfg": [], "nodes": {"m0": True}}, "'cfg' is a list"),
    "a layer too high": ({"nodes": {"m2": True}}, "m2 is in the graph, but plain 0 has MLPs in the layers 0, 1"),
    "a head too high": ({"nodes": {"a1.h4": True}}, "a1.h4 is in the graph, but plain 0 has heads 0 to 3 there"),
    "a head in a layer too high": ({"nodes": {"a2.h0": True}}, "a2.h0 is in the graph, but plain 0 has layers 0, 1"),
    "a single neuron": ({"nodes": {"m0.17": True}}, "unknown component 'm0.17'; a head is a0.h1, an MLP m0"),
    "another name": ({"nodes": {"mlp0": True}}, "unknown component 'mlp0'"),
    "an edge that is none": ({"edges": {"m0-m1": {"in_graph": True}}}, "unknown edge 'm0-m1'"),
    "an edge at an unknown node": ({"edges": {"m0->x1": {"in_graph": True}}}, "unknown component 'x1'"),
    "a mark that is a number": ({"nodes": {"m0": 1}}, "'m0': in_graph is 1, allowed: true or false"),
    "nodes that are a list": ({"nodes": ["m0"]}, "'nodes' is a list, allowed: a mapping"),
    "part of an MLP": (
        {**BOTH, "neurons": {"m1": [True] * 15 + [False]}},
        "m1 is in the graph with 15 of 16 channels of its output",
    ),
    "part of a head, in its node": (
        {"nodes": {"a0.h1": {"in_graph": True, "neurons": [False, True]}}},
        "a0.h1 is in the graph with 1 of 2 channels",
    ),
    "a whole head in its node, and part of it beside": (
        {"nodes": {"a0.h1": {"in_graph": True, "neurons": [True, True]}}, "neurons": {"a0.h1": [True, False]}},
        "a0.h1 is in the graph with 1 of 2 channels",
    ),
    "fewer neurons than channels": (
        {**BOTH, "neurons": {"m1": [True] * 15}},
        "m1 is in the graph with 15 of 16 channels of its output",
    ),
    "neurons by index": ({**BOTH, "neurons": {"m1": [3, 5]}}, "m1: its neurons are [3, 5], allowed: a list of true"),
    "neurons that are a mapping": ({**BOTH, "neurons": {"m1": {"3": True}}}, "m1: its neurons are {'3': True}"),
    "a layer with a leading 0": ({"nodes": {"m01": True}}, "unknown component 'm01'"),
    "layers that are true": (graph(["m0"], n_layers=True), "cfg: n_layers is True"),
}


def refused(path, message):
    with pytest.raises(UserError) as error:
        kept(path)
    assert message in str(error.value)
    assert error.value.location.file == str(path)


@pytest.mark.parametrize("case", BAD)
def test_a_graph_that_cannot_be_read_as_a_circuit_is_refused_by_name(tmp_path, case):
    data, message = BAD[case]
    refused(write_json(tmp_path / "c.json", data), message)


BAD_PT = {
    "part of an MLP": (pt(neurons_in_graph=torch.eye(11, 16)), "is in the graph with 1 of 16 channels"),
    "other shapes": (pt(edges_in_graph=torch.ones(3, 4)), "'edges_in_graph' has the shape (3, 4)"),
    "flags that are a list": (pt(nodes_in_graph=[True]), "'nodes_in_graph' is no tensor of 1 axes"),
    "names that are numbers": (pt(src_nodes=[1, 2]), "'src_nodes' is no list of names"),
    "scores as flags": (pt(nodes_in_graph=torch.rand(11)), "'nodes_in_graph' holds other values than 0 and 1"),
    "NaN as a flag": (pt(nodes_in_graph=torch.full((11,), float("nan"))), "'nodes_in_graph' holds other values"),
    "a name twice": (pt(src_nodes=["input"] * 11), "'src_nodes' has a name twice"),
    "nothing marked": (pt(nodes=(), edges=()), SCORES_ONLY),
    "no marks": ({"src_nodes": [], "edges_scores": torch.ones(2)}, "found the entries src_nodes, edges_scores"),
}


@pytest.mark.parametrize("case", BAD_PT)
def test_a_pt_file_that_cannot_be_read_as_a_circuit_is_refused_by_name(tmp_path, case):
    data, message = BAD_PT[case]
    torch.save(data, tmp_path / "c.pt")
    refused(tmp_path / "c.pt", message)


def test_a_model_that_does_not_tell_its_heads_is_refused(tmp_path):
    model = Grouped()
    model.sites["0.attn_q"] = replace(model.sites["0.attn_q"], head=None)
    path = write_json(tmp_path / "c.json", {"nodes": {"a0.h1": True}})
    with pytest.raises(UserError, match="does not say which heads the nodes of layer 0's attn_q belong to"):
        kept(path, model)
