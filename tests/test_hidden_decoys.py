"""Decoys whose fault weighs little, or shows in no single node: a check that takes shares of the importance of single
nodes, or that compares each node alone, passes them.

For each there is what such a check would see, the gate that sees the fault, and the circuit without the fault.
"""

import math

import pytest
import torch
from fake_models import (
    ONE,
    SIGN,
    TEN_FEMALE,
    TEN_MALE,
    TEST,
    Attention,
    Keyed,
    Readout,
    answers_only,
    bench_of,
    finding_of,
    pronoun,
    subject_of,
    table,
    write_large_task,
)

from faithcheck.checks.attention_agreement import AttentionAgreement
from faithcheck.checks.node_roles import NodeRoles
from faithcheck.model import Site
from faithcheck.verdict import Verdict

NAMES = [*TEN_FEMALE, *TEN_MALE]
KIND = table({action: 1.0 if i % 2 else -1.0 for i, action in enumerate(TEST)})
"""1 or -1 by the action: half of the prompts each, whatever the name."""
NOISE = table({name: 1.0 if i % 2 else -1.0 for names in (TEN_FEMALE, TEN_MALE) for i, name in enumerate(names)})
"""1 or -1 by the name, half of the women and of the men each."""


@pytest.fixture
def judged(tmp_path):
    """(model, check, **kept nodes) -> the finding, {metric: value} and {metric: verdict}; the circuit does the task."""
    task = write_large_task(tmp_path)

    def of(model, check, **keep):
        home = bench_of(model, task)
        subject = subject_of(home, **keep)
        assert home.model_loss() < 0.15
        assert subject.reached
        finding = finding_of(check(), subject)
        values = {judgement.metric.name: judgement.metric.estimate.value for judgement in finding.metrics}
        return finding, values, {judgement.metric.name: judgement.verdict for judgement in finding.metrics}

    return of


def only_failing(verdicts, *names):
    return verdicts == {name: Verdict.FAIL if name in names else Verdict.PASS for name in verdicts}


class TestAttention:
    def judge_the_head_with_the_key(self, judged, model, key):
        """The decoy keeps one of two keys of a head with a heavy sink; with both the circuit is the model's head."""
        head = {"attn_q": [0], "attn_k": [0], "attn_v": [0], "attn_out": [0]}
        decoy, values, verdicts = judged(model, AttentionAgreement, attn_in=[key], **head)
        assert values == pytest.approx({"pattern_tv": 0.18 - 1 / 83, "absent_heads": 1, "elsewhere_effect": 1})
        assert only_failing(verdicts, "absent_heads", "elsewhere_effect")
        assert decoy.verdict is Verdict.FAIL
        true, _, _ = judged(model, AttentionAgreement, attn_in=[0, 1], **head)
        assert true.verdict is Verdict.PASS

    def test_a_pair_of_heads_that_cancel_does_not_hide_one_that_looks_elsewhere(self, judged):
        """Head 0 looks at the name; without its q and k it attends 1/6 to it: 30 / 6 = 5 of logit difference.

        Heads 1 and 2 give a quarter of their attention to the action, in circuit and model, and write 100 and -100 of
        its kind. Without one of them half of the prompts lose 100. So head 0 has 5 of 105 of the importance.
        """
        scores = [table(dict.fromkeys(NAMES, math.log(weight)), math.log(2)) for weight in (18, 2, 2)]
        writes = [pronoun(30.0), pronoun(400.0), pronoun(-400.0)]
        model = Attention(scores, [SIGN, KIND, KIND], [math.log(4)] * 3, torch.eye(3).tolist(), writes)
        heads, pair = [0, 1, 2], [1, 2]
        decoy, values, verdicts = judged(
            model, AttentionAgreement, attn_q=pair, attn_k=pair, attn_v=heads, attn_out=heads
        )
        assert decoy.evidence["0/importance"].tolist() == pytest.approx([5, 50, 50])
        assert values == pytest.approx({"pattern_tv": 5 / 105 * 7 / 12, "absent_heads": 0, "elsewhere_effect": 1})
        assert only_failing(verdicts, "elsewhere_effect")
        assert decoy.verdict is Verdict.FAIL
        true, values, _ = judged(model, AttentionAgreement, attn_q=heads, attn_k=heads, attn_v=heads, attn_out=heads)
        assert values == {"pattern_tv": 0, "absent_heads": 0, "elsewhere_effect": 0}
        assert true.verdict is Verdict.PASS

    def test_an_irrelevant_key_does_not_hide_a_head_that_is_absent(self, judged):
        """Keys: 18 for names and 1.5 for actions, by two inputs; the sink has 80.5.

        Model (18, 1.5, 80.5) / 100. The circuit keeps the key of the actions alone: (1, 1.5, 80.5) / 83. It is not
        uniform over the words, (0.4, 0.6), and yet not where the model's is, (0.923, 0.077). Nearly all is on the sink,
        so that they are near each other: 0.18 - 1 / 83 = 0.168.
        """
        parts = [table(dict.fromkeys(NAMES, math.log(18))), table(dict.fromkeys(TEST, math.log(1.5)))]
        model = Keyed(parts, SIGN, math.log(80.5), 6 * 83.0)
        self.judge_the_head_with_the_key(judged, model, 1)

    def test_a_heavy_sink_does_not_hide_a_head_that_looks_where_the_models_does_not(self, judged):
        """Keys of names: 18 and 1 / 18, by two inputs; the sink has 81.

        The circuit keeps the first alone: (18, 1, 81) / 100. The model is uniform, (1, 1, 81) / 83. The patterns are
        0.18 - 1 / 83 = 0.168 apart, on words 18 / 19 - 0.5 = 0.447.
        """
        parts = [table(dict.fromkeys(NAMES, sign * math.log(18))) for sign in (1, -1)]
        model = Keyed(parts, SIGN, math.log(81), 500.0)
        self.judge_the_head_with_the_key(judged, model, 0)


def mixed(inputs, mix, writes, base=None):
    """Neurons that mix inputs, {input: weight} each."""
    rows = [[weights.get(i, 0.0) for i in range(len(inputs))] for weights in mix]
    return Readout(inputs, writes, answers_only() if base is None else base, mix=rows)


class TestRoles:
    def judge_both(self, judged, model, decoy, true):
        """What the decoy came to, where only swap_effect fails it and the true circuit passes."""
        finding, values, verdicts = judged(model, NodeRoles, **decoy)
        assert only_failing(verdicts, "swap_effect"), finding.reason
        assert finding.verdict is Verdict.FAIL
        passing, _, _ = judged(model, NodeRoles, **true)
        assert passing.verdict is Verdict.PASS, passing.reason
        return finding, values

    def test_a_pair_of_neurons_that_cancel_does_not_hide_one_that_is_reversed(self, judged):
        """Neuron 0 is input 0 minus twice input 1, both the sign: the sign in the decoy, minus the sign in the model,
        where neuron 3 overrules it. Neurons 1 and 2 write 200 and -200 of the action's kind: 100 each on average.

        The decoy's whole effect is 6, and with the model's neurons it loses 12.
        """
        inputs = [(SIGN, ONE), (SIGN, ONE), (ONE, KIND), (ONE, KIND)]
        mix = [{0: 1, 1: -2}, {2: 1}, {3: 1}, {0: 1}]
        model = mixed(inputs, mix, [pronoun(6.0), pronoun(200.0), pronoun(-200.0), pronoun(20.0)])
        decoy = {"mlp_in": [0, 2, 3], "mlp_neuron": [0, 1, 2]}
        true = {"mlp_in": [0, 1, 2, 3], "mlp_neuron": [0, 1, 2, 3]}
        finding, values = self.judge_both(judged, model, decoy, true)
        assert finding.evidence["0/importance"].tolist() == pytest.approx([6, 100, 100, 6, 100, 100])
        assert finding.evidence["0/flips"].tolist() == [False, False, False, True, False, False]
        assert values == pytest.approx({"consistent_mass": 1 - 6 / 412, "flipped_nodes": 0, "swap_effect": 2})

    def test_a_neuron_that_makes_both_answers_likely_does_not_hide_one_that_is_reversed(self, judged):
        """As above, but neuron 1 adds 200 to she and he, which "when" with its logit of 100 would win over without it.

        Of the log-odds under the full loss the reversed neuron has few; between the answers it has all.
        """
        inputs = [(SIGN, ONE), (SIGN, ONE), (ONE, ONE)]
        writes = [pronoun(6.0), {"she": 200.0, "he": 200.0}, pronoun(20.0)]
        model = mixed(inputs, [{0: 1, 1: -2}, {2: 1}, {0: 1}], writes, answers_only(when=100.0))
        decoy = {"mlp_in": [0, 2], "mlp_neuron": [0, 1]}
        finding, values = self.judge_both(judged, model, decoy, {"mlp_in": [0, 1, 2], "mlp_neuron": [0, 1, 2]})
        # Full: 203 against 197 and 100, 6; without neuron 1: 3 against 100, -97; so it has 103.
        assert finding.evidence["0/importance"].tolist() == pytest.approx([6, 103, 6, 103], abs=0.1)
        assert values == pytest.approx({"consistent_mass": 1 - 6 / 218, "flipped_nodes": 0, "swap_effect": 2}, abs=1e-3)

    @pytest.mark.parametrize("reached", [True, False])
    def test_a_neuron_that_gains_what_a_reversed_one_loses_does_not_hide_it(self, judged, reached):
        """Neuron 0 is reversed as above, and the pair is as above. Neuron 1 has 2 more of the sign in the model: 3 and
        1, or 2 and, where nothing reaches it in the decoy, 0. Then it does not agree either. Both neurons write 6, so
        that one gains the 12 that the other loses, of 12 or 6 in all.
        """
        own = float(reached)
        inputs = [(SIGN, ONE), (SIGN, ONE), (ONE, KIND), (ONE, KIND)]
        mix = [{0: 1, 1: -2}, {0: own, 1: 2}, {2: 1}, {3: 1}]
        model = mixed(inputs, mix, [pronoun(6.0), pronoun(6.0), pronoun(200.0), pronoun(-200.0)])
        neurons = {"mlp_neuron": [0, 1, 2, 3]}
        decoy, true = {"mlp_in": [0, 2, 3], **neurons}, {"mlp_in": [0, 1, 2, 3], **neurons}
        finding, values = self.judge_both(judged, model, decoy, true)
        effect = 6 + 6 * own
        assert finding.evidence["0/importance"].tolist() == pytest.approx([effect, 100, 100, 6, 6 * own, 100, 100])
        assert finding.evidence["0/consistent"].tolist() == [True, True, True, False, reached, True, True]
        # What does not agree (but for the same group again), what of it loses, the inputs, all neurons.
        groups = [12 / effect, 0, 0] if reached else [0, 12 / effect, 0, 0]
        assert finding.evidence["0/group_swap"].tolist() == pytest.approx(groups)
        mass = 1 - 6 / (400 + 2 * effect)
        assert values == pytest.approx({"consistent_mass": mass, "flipped_nodes": 0, "swap_effect": 12 / effect})

    @pytest.mark.parametrize(("reverses", "noise", "lost"), [(2.0, 0.0, 2.0), (0.35, 3.0, 0.35)])
    def test_offsets_that_cancel_do_not_hide_what_two_neurons_carry(self, judged, reverses, noise, lost):
        """Neurons 0 and 1 are 100 and -100, by a constant input, plus the sign; both write 3. The difference is 6.

        In the model another input takes `reverses` of the sign off again: with 2 they are exactly reversed. Or a third
        makes most of what they vary by noise, which cancels. Either one by itself hardly changes for its size: without
        it those whom its offset helps lose 3 x 101, half of the prompts, 151.5 on average. Both together lose
        `reverses` of their effect. Neuron 2 answers in the model.
        """
        inputs = [(ONE, ONE), (SIGN, ONE), (SIGN, ONE), (NOISE, ONE)]
        mix = [{0: 100, 1: 1, 2: -reverses, 3: noise}, {0: -100, 1: 1, 2: -reverses, 3: -noise}, {1: 1}]
        model = mixed(inputs, mix, [pronoun(3.0), pronoun(3.0), pronoun(20.0)])
        decoy = {"mlp_in": [0, 1], "mlp_neuron": [0, 1]}
        true = {"mlp_in": [0, 1, 2, 3], "mlp_neuron": [0, 1, 2]}
        finding, values = self.judge_both(judged, model, decoy, true)
        assert finding.evidence["0/importance"].tolist() == pytest.approx([0, 6, 151.5, 151.5])
        # One by itself: 3 x 2, or 3 x (0.35 + 3) on half of the prompts.
        alone = 3 * reverses if noise == 0 else 3 * (reverses + noise) / 2
        assert finding.evidence["0/swapped"].tolist() == pytest.approx([0, 0, alone, alone])
        assert finding.evidence["0/consistent"].tolist() == [True, True, False, False]
        assert values == pytest.approx({"consistent_mass": 1, "flipped_nodes": 0, "swap_effect": lost})

    @pytest.mark.parametrize("more", [0.0, 25.0])
    def test_reversed_neurons_each_of_which_saturates_what_follows_do_not_hide(self, judged, more):
        """Neurons 0 to 2 are the sign in the decoy and minus the sign in the model. Their sum is clipped to 1, so that
        none is missed, none has any importance, and none loses anything if it alone is as in the model. The difference
        is 5 + 0.4, with all three as in the model -5 + 0.4. Neuron 3, which writes the 0.4, is 1 + `more` in the model:
        with 25 it gains the 10 that the three lose.
        """
        decoy = {"mlp_in": [0, 2], "mlp_neuron": [0, 1, 2, 3]}
        true = {"mlp_in": [0, 1, 2], "mlp_neuron": [0, 1, 2, 3, 4]}
        finding, values = self.judge_both(judged, Saturated(more), decoy, true)
        assert finding.evidence["0/importance"].tolist() == pytest.approx([5, 0.4, 0, 0, 0, 0.4])
        assert finding.evidence["0/flips"].tolist() == [False, False, True, True, True, False]
        assert finding.evidence["0/swapped"].tolist() == pytest.approx([0] * 6)
        assert values == pytest.approx({"consistent_mass": 1, "flipped_nodes": 0, "swap_effect": 10 / 5.4})

    @pytest.mark.parametrize(("parts", "reverses"), [(4, 1.0), (7, 2.0)])
    @pytest.mark.parametrize("idle", [False, True])
    def test_work_that_is_split_over_sites_does_not_hide_that_the_model_does_not_do_it(
        self, judged, parts, reverses, idle
    ):
        """The decoy's difference of 6 is made by one neuron a layer. In the model `reverses` of it is taken off again,
        at one layer 1 / 4 or 2 / 7 of the whole, at all of them all or twice that. The pair is as above.

        Where the neuron that answers in the model is kept, although in the decoy nothing reaches it, it gains 20 if it
        is as in the model, more than the others lose.
        """
        others = {f"l{layer}_{kind}": [0] for layer in range(1, parts) for kind in ("mlp_in", "mlp_neuron")}
        decoy = {"mlp_in": [0, 2], "mlp_neuron": [0, 1, 2, 3] if idle else [0, 1, 2], **others}
        true = {f"l{layer}_{kind}": [0, 1, 2, 3] for layer in range(parts) for kind in ("mlp_in", "mlp_neuron")}
        finding, values = self.judge_both(judged, Split(parts, reverses), decoy, true)
        assert values == pytest.approx({"consistent_mass": 1 - 6 / 412, "flipped_nodes": 0, "swap_effect": reverses})
        losses, groups = finding.evidence["0/group_swap"], finding.evidence["0/group"]
        sites = finding.evidence["0/node"][:, 0]
        within = [len(sites[group].unique()) == 1 for group in groups]
        assert max(loss for loss, one in zip(losses.tolist(), within, strict=True) if one) == pytest.approx(
            reverses / parts
        )
        assert losses[: 1 + idle].tolist() == pytest.approx([0, reverses] if idle else [reverses])


class Split(Readout):
    """Layers side by side. In each, neuron 0 is input 0 minus `reverses` times input 1, both the sign, and writes a
    part of 6. In the first, neurons 1 and 2 are input 2, the action's kind, and write 400 and -400, and neuron 3 is
    input 3, the sign, and writes 20; in the others they write nothing."""

    def __init__(self, parts, reverses):
        mix = [{0: 1, 1: -reverses}, {2: 1}, {2: 1}, {3: 1}]
        self.__dict__.update(mixed([(SIGN, ONE), (SIGN, ONE), (ONE, KIND), (SIGN, ONE)], mix, [{}] * 4).__dict__)
        first, other = [6 / parts, 400, -400, 20], [6 / parts, 0, 0, 0]
        self.amplitudes = torch.tensor([first, *[other] * (parts - 1)], dtype=torch.float64)
        kinds = ("mlp_in", "mlp_neuron")
        self.sites = {f"{layer}.{kind}": Site(4, layer, kind) for layer in range(parts) for kind in kinds}

    def _logits(self, tokens):
        difference = torch.zeros(())
        for layer, amplitudes in enumerate(self.amplitudes):
            inputs = self._at_site(f"{layer}.mlp_in", (self.first[tokens[:, :1]] * self.own[tokens])[None])
            difference = difference + self._at_site(f"{layer}.mlp_neuron", inputs @ self.mix.T) @ amplitudes
            self._keep(f"{layer}.attn_pattern", torch.zeros(1, len(tokens), 0, tokens.shape[1], tokens.shape[1] + 1))
        return self.base[tokens] + difference[..., None] * table(pronoun(1.0))


class Saturated(Readout):
    """All inputs are the sign. Neurons 0 to 2 are input 0 minus twice input 1, neuron 3 is input 2 plus `more` of input
    1, neuron 4 is input 0. The logit difference is 5 x the sum of neurons 0 to 2, clipped to -1 and 1, plus 0.4 x
    neuron 3 plus 20 x neuron 4."""

    def __init__(self, more):
        mix = [*[{0: 1, 1: -2}] * 3, {2: 1, 1: more}, {0: 1}]
        self.__dict__.update(mixed([(SIGN, ONE)] * 3, mix, [{}] * 5).__dict__)

    def _logits(self, tokens):
        inputs = self._at_site("0.mlp_in", (self.first[tokens[:, :1]] * self.own[tokens])[None])
        neurons = self._at_site("0.mlp_neuron", inputs @ self.mix.T)
        self._keep("0.attn_pattern", torch.zeros(1, len(tokens), 0, tokens.shape[1], tokens.shape[1] + 1))
        difference = 5 * neurons[..., :3].sum(-1).clamp(-1, 1) + 0.4 * neurons[..., 3] + 20 * neurons[..., 4]
        return self.base[tokens] + difference[..., None] * table(pronoun(1.0))
