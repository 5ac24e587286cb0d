"""Activations in the page are those of the evidence, to a 254th of the node's largest, within the room there is."""

import base64

import numpy as np
import pytest
import results
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from viewer_results import PROMPTS, Section, circuit_tensors, result_of

from faithcheck.report.html import room
from faithcheck.report.html.room import Room, share
from faithcheck.report.html.viewer import section
from faithcheck.report.html.viewer_activations import packed
from faithcheck.result_schema import ResultData

LENGTHS = (2, 3)


def unpacked(found, tokens):
    """float[node, side, token], as viewer.js reads it."""
    steps = np.frombuffer(base64.b64decode(found["bytes"]), np.int8).reshape(len(found["scale"]), 2, tokens)
    return np.where(steps == -128, np.nan, steps / 127) * np.array(found["scale"])[:, None, None]


def in_a_row(values):
    return np.concatenate([values[:, prompt, :length] for prompt, length in enumerate(LENGTHS)], 1)


@given(arrays(np.float64, (2, 4, 2, 3), elements=st.floats(-1e6, 1e6)))
def test_what_is_read_from_the_page_is_what_was_packed(both):
    circuit, model = both
    wanted = np.stack([in_a_row(circuit), in_a_row(model)], 1)
    largest = np.abs(wanted).max((1, 2), keepdims=True)
    assert (
        np.abs(unpacked(packed(circuit, model, LENGTHS), 5) - wanted) <= largest * (0.5 / 127 + 1e-3) + 1e-300
    ).all()


def test_bytes_lie_by_node_side_prompt_and_token():
    circuit = np.zeros((1, 2, 3))
    circuit[0, 1, 2], model = 2.0, np.full((1, 2, 3), -4.0)
    found = packed(circuit, model, LENGTHS)
    assert found["scale"] == [4.0]
    assert unpacked(found, 5)[0, 0].round(1).tolist() == [0, 0, 0, 0, pytest.approx(2.0, abs=0.05)]
    assert unpacked(found, 5)[0, 1].tolist() == [-4.0] * 5


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_said_and_leaves_the_others_as_they_are(odd):
    circuit, model = np.ones((1, 2, 3)), np.full((1, 2, 3), odd)
    found = packed(circuit, model, LENGTHS)
    assert found["scale"] == [1.0]
    assert unpacked(found, 5)[0, 0].tolist() == [1.0] * 5
    assert np.isnan(unpacked(found, 5)[0, 1]).all()


def test_a_node_that_is_always_0_is_0():
    assert not unpacked(packed(np.zeros((1, 2, 3)), np.zeros((1, 2, 3)), LENGTHS), 5).any()


@given(st.lists(st.integers(0, 5000), max_size=60), st.integers(0, 100_000))
def test_all_circuits_together_fit_and_nothing_is_cut_without_need(needs, available):
    each = share(needs, available)
    assert sum(min(need, each) for need in needs) <= available
    if sum(needs) <= available:
        assert all(need <= each for need in needs)
    else:
        assert sum(min(need, each) for need in needs) > available - len(needs)


def test_large_circuits_leave_small_ones_their_room():
    sizes = [100, 50_000, 300, 70_000]
    circuits = [results.circuit("t", seed, size=size, edges=2 * size) for seed, size in enumerate(sizes)]
    found = Room.of(ResultData.model_validate(results.result([], circuits)))
    assert found.nodes == (room.NODES - 400) // 2
    assert found.edges == (room.EDGES - 800) // 2


def test_where_room_is_short_the_nodes_that_matter_most_have_theirs(tmp_path, monkeypatch):
    tokens = sum(len(prompt["tokens"]) for prompt in PROMPTS)
    monkeypatch.setattr(room, "ACTIVATIONS", 2 * tokens * 4)
    tensors = circuit_tensors(10)
    (circuit,) = Section(section(result_of(tmp_path, circuits={0: tensors}), "pronoun")).data["circuits"]
    inside = np.arange(5) < np.array([[len(prompt["tokens"])] for prompt in PROMPTS])
    largest = [
        np.abs([tensors[f"activation/{side}"][place][inside] for side in ("circuit", "model")]).max()
        for place in range(4)
    ]
    assert circuit["activation"]["scale"] == pytest.approx(largest, rel=1e-3)
    assert any("4 nodes that matter most are in this page" in note for note in circuit["notes"])
