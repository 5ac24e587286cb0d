"""Position weights on a two-layer model that is linear in its values, so that every gradient is a product.

Prompts "name action". One head without scores: at the name its pattern over (name, sink) is (1, 1) / 2, at the action
over (name, action, sink) (1, 1, 1) / 3. Values: 3 x the name's sign, and 1 for an action. Its output z is +-1.5 at
the name, and (3 + 1) / 3 or (-3 + 1) / 3 at the action. The second layer takes the mean over both positions.
"""

import pytest
import torch
from fake_models import ODD, SIGN, TEST, Attention, bench_of, pronoun, random_circuits, subject_of, table, write_task

from faithcheck.causal import at_answer, head_query_weights, position_weights, visible

VALUE = 3 * SIGN + table(dict.fromkeys([*TEST, *ODD], 1.0))
FLAT = table({})
KEPT = {"attn_v": [0], "attn_out": [0], "l1_attn_v": [0], "l1_attn_out": [0]}


def subject(tmp_path, values=(VALUE,), out=((1.0,),), templates=("{name} {action}",), pool=True, kept=KEPT):
    heads = len(values)
    reads = [pronoun(2.0)] + [{}] * (len(out[0]) - 1)
    model = Attention([FLAT] * heads, list(values), [0.0] * heads, [list(row) for row in out], reads, pool)
    return subject_of(bench_of(model, write_task(tmp_path, templates=templates)), **kept)


def first_rows(subject):
    """The first prompt with a woman's name and the first with a man's."""
    classes = subject.bench.prompts("test").classes.tolist()
    return [classes.index(0), classes.index(1)]


def test_in_the_last_layer_values_count_wherever_the_answer_can_see_and_the_rest_at_the_answer(tmp_path):
    weights = subject(tmp_path).positions
    assert weights["1.attn_v"][0, :, 0].tolist() == [0.5, 0.5]
    assert weights["1.attn_out"][0, :, 0].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("site", "expected"), [("attn_q", [0, 1]), ("attn_k", [0.5, 0.5]), ("attn_v", [0.5, 0.5]), ("attn_out", [0, 1])]
)
def test_of_a_single_layer_only_keys_and_values_count_before_the_answer(tmp_path, site, expected):
    kept = {kind: [0] for kind in ("attn_q", "attn_k", "attn_v", "attn_out")}
    weights = subject(tmp_path, pool=False, kept=kept).positions
    assert weights[f"0.{site}"][:, :, 0].tolist() == [expected] * 140


def test_an_early_output_counts_by_the_size_of_its_gradient(tmp_path):
    # d difference / d mask at a position is z there times one constant: 1.5 : 4/3 for a woman, 1.5 : 2/3 for a man.
    found = subject(tmp_path)
    woman, man = (found.positions["0.attn_out"][row, :, 0].tolist() for row in first_rows(found))
    assert woman == pytest.approx([1.5 / (1.5 + 4 / 3), (4 / 3) / (1.5 + 4 / 3)])
    assert man == pytest.approx([1.5 / (1.5 + 2 / 3), (2 / 3) / (1.5 + 2 / 3)])


def test_an_early_value_counts_at_every_query_that_reads_it(tmp_path):
    # The name's value 3 is read with 1/2 at the name and 1/3 at the action, the action's 1 with 1/3: 2.5 : 0.333.
    found = subject(tmp_path)
    for row in first_rows(found):
        assert found.positions["0.attn_v"][row, :, 0].tolist() == pytest.approx(
            [2.5 / (2.5 + 1 / 3), (1 / 3) / (2.5 + 1 / 3)]
        )


def test_weights_of_every_prompt_and_node_sum_to_one_and_padding_gets_none(tmp_path):
    # Prompts of 2 and of 3 words: the short ones have one position of padding.
    templates = ("{name} {action}", "{name} and {action}")
    kept = {**KEPT, "attn_q": [0], "attn_k": [0]}
    found = subject(tmp_path, templates=templates, kept=kept)
    prompts = found.bench.prompts("test")
    short = prompts.positions == 1
    assert 0 < int(short.sum()) < len(prompts)
    for site, weight in found.positions.items():
        assert weight.sum(1).flatten().tolist() == pytest.approx([1.0] * len(prompts)), site
        assert (weight >= 0).all(), site
        assert (weight[short][:, 2] == 0).all(), site


def test_a_prompt_without_any_gradient_counts_its_visible_positions_alike(tmp_path):
    # No score: every gradient with respect to q and k is 0.
    templates = ("{name} {action}", "{name} and {action}")
    found = subject(tmp_path, templates=templates, kept={**KEPT, "attn_q": [0]})
    short = found.bench.prompts("test").positions == 1
    assert found.positions["0.attn_q"][short][0, :, 0].tolist() == pytest.approx([0.5, 0.5, 0.0])
    assert found.positions["0.attn_q"][~short][0, :, 0].tolist() == pytest.approx([1 / 3] * 3)


def test_each_node_has_its_own_weights_and_only_sites_with_kept_nodes_appear(tmp_path):
    # Node 0 takes head 0 (3 at the name, 1 at the action), node 1 head 1, which reads actions only: z is 0 and 1/3.
    only_actions = table(dict.fromkeys(TEST, 1.0))
    kept = {"attn_v": [0, 1], "attn_out": [0, 1], "l1_attn_v": [0, 1]}
    found = subject(tmp_path, (VALUE, only_actions), ((1.0, 0.0), (0.0, 1.0)), kept={**kept, "l1_attn_out": [0, 1]})
    found.bench.model.read[1] = found.bench.model.read[0]
    assert found.positions["0.attn_out"][0, :, 1].tolist() == pytest.approx([0.0, 1.0])
    assert found.positions["0.attn_out"][0, :, 0].tolist() == pytest.approx(
        [1.5 / (1.5 + 4 / 3), (4 / 3) / (1.5 + 4 / 3)]
    )
    assert list(found.positions) == ["0.attn_v", "0.attn_out", "1.attn_v", "1.attn_out"]


def test_a_query_of_an_early_head_counts_by_that_heads_own_contribution(tmp_path):
    # Both heads write to one node. Head 1 has 100 x the values, but head 0 is weighed by its own z alone (in float32).
    found = subject(tmp_path, (VALUE, 100 * VALUE.abs()), ((1.0,), (-1.0,)), kept={**KEPT, "attn_v": [0, 1]})
    woman, man = (head_query_weights(found, 0, [[("0.attn_v", 0)]])[0][row].tolist() for row in first_rows(found))
    assert woman == pytest.approx([1.5 / (1.5 + 4 / 3), (4 / 3) / (1.5 + 4 / 3)], rel=1e-4)
    assert man == pytest.approx([1.5 / (1.5 + 2 / 3), (2 / 3) / (1.5 + 2 / 3)], rel=1e-4)


def test_contributions_of_a_head_that_cancel_at_a_position_do_not_count_there(tmp_path):
    # Two nodes are read with opposite signs and the head writes the same to both: no effect at all, so all count alike.
    found = subject(
        tmp_path, out=((1.0, 1.0),), kept={**KEPT, "attn_out": [0, 1], "l1_attn_v": [0, 1], "l1_attn_out": [0, 1]}
    )
    found.bench.model.read[1] = -found.bench.model.read[0]
    assert head_query_weights(found, 0, [[("0.attn_v", 0)]])[0][0].tolist() == pytest.approx([0.5, 0.5])


def test_a_head_of_the_last_layer_counts_at_the_answer_only(tmp_path):
    templates = ("{name} {action}", "{name} and {action}")
    found = subject(tmp_path, templates=templates, pool=False, kept={"attn_v": [0], "attn_out": [0]})
    weights = head_query_weights(found, 0, [[("0.attn_v", 0)]])[0]
    assert torch.equal(weights, at_answer(found.bench.prompts("test")))


def test_a_head_whose_outputs_are_all_cut_off_counts_its_visible_queries_alike(tmp_path):
    found = subject(tmp_path, kept={"attn_v": [0], "l1_attn_v": [0], "l1_attn_out": [0]})
    assert head_query_weights(found, 0, [[("0.attn_v", 0)]])[0][0].tolist() == [0.5, 0.5]


def test_visible_positions_end_with_the_answer(tmp_path):
    templates = ("{name} {action}", "{name} and {action}")
    prompts = subject(tmp_path, templates=templates).bench.prompts("test")
    row = prompts.positions.tolist().index(1)
    assert visible(prompts)[row].tolist() == [1, 1, 0]
    assert at_answer(prompts)[row].tolist() == [0, 1, 0]


def test_more_prompts_than_one_batch_holds_are_weighted_alike(tmp_path):
    # 140 prompts, 128 a batch: prompts of the same words up to the name's gender have the same weights.
    found = subject(tmp_path)
    prompts = found.bench.prompts("test")
    for level in (0, 1):
        rows = found.positions["0.attn_out"][prompts.classes == level, 0, 0]
        assert rows.tolist() == pytest.approx([float(rows[0])] * 70)


def test_the_weights_of_a_subject_are_the_position_weights(tmp_path):
    found = subject(tmp_path)
    assert {s: w.tolist() for s, w in position_weights(found).items()} == {
        s: w.tolist() for s, w in found.positions.items()
    }


@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_a_restricted_and_a_masked_circuit_have_the_same_weights(tmp_path, norms):
    templates = ("{name} {action}", "{name} and {action}")
    restricted, masked = random_circuits(write_task(tmp_path, templates=templates), norms)
    assert list(restricted.positions) == list(masked.positions)
    for site, weight in restricted.positions.items():
        assert torch.allclose(weight, masked.positions[site], atol=1e-4), site
        assert weight.sum(1).flatten().tolist() == pytest.approx([1.0] * weight[:, 0].numel(), abs=1e-5)
    kept = [node for node in restricted.compiled.nodes if node[0] == "0.attn_v"]
    one, other = (head_query_weights(subject, 0, [kept[:2]]) for subject in (restricted, masked))
    assert torch.allclose(one, other, atol=1e-4)
