"""What ablated nodes take: a circuit under each kind of ablation is the model with those values written in by hand."""

from dataclasses import replace

import pytest
import torch
from faithcheck_circuits.methods.batches import train_masks
from faithcheck_circuits.methods.sparse_prune import SparsePrune
from fake_models import ONE, SIGN, Readout, table, write_task
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_forward import plain_forward
from small_models import prompt_set, random_keep, random_prompts, small_model
from small_pruning import MODEL, TRAIN, problem

from faithcheck.ablation import Ablation
from faithcheck.api import run_suite
from faithcheck.baselines import baselines_on, measured
from faithcheck.bench import Bench
from faithcheck.circuit import Circuit
from faithcheck.compiled import CompiledCircuit
from faithcheck.errors import UserError
from faithcheck.subject import Subject

EXACT = 1e-10
few = settings(max_examples=6, deadline=None)
seeds = st.integers(0, 2**16)
variants = st.sampled_from(["plain", "top-k", "bigram", "three layers"])


def some_prompts(model, seed, prompts=4, width=5):
    """Prompts of one length, half of each answer, so that all have partners."""
    tokens, _ = random_prompts(model, seed, prompts, width)
    tokens = tokens.clamp(min=1)
    last, classes = torch.full((prompts,), width - 1), torch.arange(prompts) % 2
    return prompt_set(tokens, last, torch.ones_like(last), torch.zeros_like(last), classes)


def circuit_logits(model, prompts, keep, ablation):
    return CompiledCircuit(model, Circuit(keep, ablation)).run(prompts).logits


@given(variant=variants, seed=seeds)
@few
def test_a_circuit_under_mean_ablation_is_the_model_with_the_means_written_in(variant, seed):
    model = small_model(variant, seed % 7)
    prompts, keep = some_prompts(model, seed), random_keep(model, seed)
    ablation = measured(Ablation("task_mean"), model, prompts)
    captured = plain_forward(model, prompts.tokens).captured
    means = {site: torch.tensor(captured[site].mean((0, 1, 2))) for site in model.sites}
    for site, mean in means.items():
        assert torch.allclose(ablation.means[site], mean, rtol=0, atol=EXACT)
    masks = {site: kept.double()[None] for site, kept in keep.items()}
    plain = plain_forward(model, prompts.tokens, masks, means).logits[:, :, -1]
    assert torch.allclose(circuit_logits(model, prompts, keep, ablation), torch.tensor(plain), rtol=0, atol=EXACT * 100)


@given(variant=variants, seed=seeds)
@few
def test_a_circuit_under_resample_ablation_is_the_model_with_the_partners_activations_written_in(variant, seed):
    model = small_model(variant, seed % 7)
    prompts, keep = some_prompts(model, seed).paired(), random_keep(model, seed)
    theirs = {site: torch.tensor(v) for site, v in plain_forward(model, prompts.partners).captured.items()}
    masks = {site: kept.double()[None] for site, kept in keep.items()}
    baselines = {site: theirs[site] for site in model.sites}
    plain = plain_forward(model, prompts.tokens, masks, baselines).logits[:, :, -1]
    found = circuit_logits(model, prompts, keep, Ablation("resample"))
    assert torch.allclose(found, torch.tensor(plain), rtol=0, atol=EXACT * 100)


@given(variant=variants, seed=seeds)
@few
def test_a_prompt_that_is_its_own_partner_makes_any_circuit_the_model(variant, seed):
    model = small_model(variant, seed % 7)
    prompts = some_prompts(model, seed)
    alike = replace(prompts, partners=prompts.tokens)
    found = circuit_logits(model, alike, random_keep(model, seed), Ablation("resample"))
    whole = model.run(prompts.tokens, positions=prompts.positions).logits
    assert torch.allclose(found, whole, rtol=0, atol=EXACT * 100)


@given(seed=seeds, kind=st.sampled_from(["task_mean", "resample"]))
@example(seed=25087, kind="resample")  # equal prompts share their columns only without partners: another rounding
@few
def test_a_circuit_of_all_nodes_is_the_model_whatever_the_ablation(seed, kind):
    model = small_model("plain", seed % 7)
    prompts = some_prompts(model, seed).paired()
    every = random_keep(model, shares=(1.0,))
    found = circuit_logits(model, prompts, every, measured(Ablation(kind), model, prompts))
    whole = model.run(prompts.tokens, positions=prompts.positions).logits
    assert torch.allclose(found, whole, rtol=0, atol=EXACT * 100)


def test_means_leave_padding_out_and_count_every_token_of_a_prompt():
    """Nodes sign[t] and 1: tokens f0 t0 | m0, so the first node's values are 1, 0, -1."""
    model = Readout([(ONE, SIGN), (ONE, table({"f0": 6.0}))], [{"she": 1.0}, {"she": 1.0}])
    (f0, m0, t0), zero = model.tokenizer.encode("f0 m0 t0"), torch.zeros(2, dtype=torch.long)
    prompts = prompt_set(torch.tensor([[f0, t0], [m0, 0]]), torch.tensor([1, 0]), zero, zero)
    means = measured(Ablation("task_mean"), model, prompts).means
    assert means["0.mlp_neuron"].tolist() == [0.0, 2.0]


def test_mean_ablation_takes_the_models_own_text():
    model = Readout([(ONE, table({"f0": 6.0}))], [{"she": 1.0}], sample_text=("f0 t0", "t0"))
    ablation = measured(Ablation("mean"), model, TRAIN)
    assert ablation.means["0.mlp_neuron"].tolist() == [2.0]
    gaps = Readout([(ONE, table({"f0": 6.0}))], [{"she": 1.0}], sample_text=("", "f0 t0", "", "t0"))
    assert measured(Ablation("mean"), gaps, TRAIN).means["0.mlp_neuron"].tolist() == [2.0]


@pytest.mark.parametrize("text", [(), ("",)])
def test_a_model_without_text_of_its_own_has_no_means_of_it(text):
    silent = Readout([(ONE, SIGN)], [{"she": 1.0}], sample_text=text)
    with pytest.raises(UserError, match="scripted carries no text of its own to take means over; use task_mean"):
        measured(Ablation("mean"), silent, TRAIN)


def test_a_mean_that_is_not_finite_is_refused_by_its_site():
    model = Readout([(ONE, table({"f0": float("inf")}))], [{"she": 1.0}], sample_text=("f0",))
    with pytest.raises(UserError, match=r"a mean activation of scripted at 0\.mlp_neuron is not finite"):
        measured(Ablation("mean"), model, TRAIN)


@pytest.mark.parametrize(("kind", "what"), [("mean", "were not measured"), ("resample", "needs prompts with partners")])
def test_an_ablation_that_lacks_its_values_says_which(kind, what):
    with pytest.raises(ValueError, match=what):
        baselines_on(Ablation(kind), MODEL, None)


class TestPartners:
    prompts = prompt_set(
        torch.tensor([[1, 2, 0], [3, 4, 0], [5, 6, 7], [8, 9, 10], [1, 3, 5]]),
        torch.tensor([1, 1, 2, 2, 2]),
        *(torch.zeros(5, dtype=torch.long) for _ in range(2)),
        classes=torch.tensor([0, 1, 0, 1, 0]),
    )

    def test_have_as_many_tokens_and_the_other_answer(self):
        partners = self.prompts.paired().partners.tolist()
        assert partners[0] == [3, 4, 0]
        assert partners[1] == [1, 2, 0]
        assert partners[2] == partners[4] == [8, 9, 10]
        assert partners[3] in ([5, 6, 7], [1, 3, 5])

    def test_stay_with_their_prompts(self):
        paired = self.prompts.paired()
        some = paired.select(torch.tensor([3, 0]))
        assert torch.equal(some.partners, paired.partners[[3, 0]])
        assert torch.equal(paired.relabelled((4, 5)).to("cpu").partners, paired.partners)

    def test_are_the_same_each_time(self):
        assert torch.equal(self.prompts.paired().partners, self.prompts.paired().partners)

    def test_that_cannot_be_had_are_refused_with_the_prompt(self):
        alone = self.prompts.select(torch.tensor([0, 1, 2]))
        with pytest.raises(UserError, match=r"'2: \[5, 6, 7\]' has 3 tokens, and none of the prompts with the"):
            alone.paired()


def test_a_node_that_is_left_out_takes_the_circuits_baseline(tmp_path):
    """A node that is 1 everywhere is its own mean: left out under mean ablation, nothing falls."""
    model = Readout([(ONE, ONE), (ONE, SIGN)], [{"she": 2.0}, {"he": -1.0, "she": 1.0}])
    falls = {}
    for kind in ("zero", "task_mean"):
        bench = Bench(model, write_task(tmp_path), "binary", 1.0, Ablation(), "live")
        bench.ablation = measured(Ablation(kind), model, bench.prompts("train"))
        subject = Subject(bench, Circuit({"0.mlp_neuron": torch.tensor([True, True])}, bench.ablation))
        falls[kind] = subject.node_importance.per_prompt[0]
    women = bench.prompts("test").classes.numpy() == 0
    assert falls["zero"][women] == pytest.approx(2.0)
    assert falls["zero"][~women] == pytest.approx(-2.0)
    assert falls["task_mean"] == pytest.approx(0.0)


@pytest.mark.parametrize("kind", ["zero", "task_mean", "resample"])
@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_the_loss_of_a_problem_is_that_of_the_circuit_its_mask_stands_for(kind, norms):
    prompts = TRAIN.paired()
    asked = problem(prompts=prompts, norms=norms, ablation=measured(Ablation(kind), MODEL, prompts))
    keep = random_keep(MODEL, seed=3)
    compiled = CompiledCircuit(MODEL, Circuit(keep, asked.ablation))
    logits = compiled.run(prompts, norm_scales=asked.norm_scales()).logits
    expected = -logits.log_softmax(-1)[0, torch.arange(len(prompts)), prompts.targets]
    some = torch.tensor([5, 2, 40])
    masks = {site: kept.float()[None] for site, kept in keep.items()}
    assert torch.allclose(asked.losses(masks)[0], expected, atol=1e-5)
    assert torch.allclose(asked.losses(masks, prompts.select(some))[0], expected[some], atol=1e-5)


@pytest.mark.parametrize("kind", ["zero", "task_mean", "resample"])
@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_masks_are_trained_under_the_problems_ablation(kind, norms):
    """All nodes start off, and every prompt is the same one, so that the first loss is that of the empty circuit."""
    prompts = TRAIN.paired()
    ablation = measured(Ablation(kind), MODEL, prompts)
    asked = problem(prompts=prompts.select(torch.tensor([5, 5, 5])), norms=norms, ablation=ablation)
    parameters = SparsePrune.Parameters(steps=2, init_noise_bias=-0.5, init_noise_scale=0.0)
    [trained] = train_masks([(asked, 1.0)], parameters)
    off = {site: torch.zeros(1, at.size) for site, at in MODEL.sites.items()}
    assert float(trained.losses[0]) == pytest.approx(float(asked.losses(off).mean()), abs=1e-5)


def test_problems_with_other_means_are_not_trained_under_each_others():
    """Two in one call find what each finds by itself."""
    means = {site: torch.zeros(at.size) for site, at in MODEL.sites.items()}
    apart = [
        problem(ablation=Ablation("mean", {site: mean + value for site, mean in means.items()})) for value in (0.0, 2.0)
    ]
    prune = SparsePrune(SparsePrune.Parameters(steps=10, sweep=(1.0,)))
    for together, asked in zip(prune.extract_many(apart), apart, strict=True):
        alone = prune.extract(asked).scores
        assert all(torch.equal(together.scores[site], alone[site]) for site in MODEL.sites)


def test_a_task_whose_answers_have_prompts_of_other_lengths_is_refused_under_resample_ablation(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "faithcheck: 1\nmodel: stories-tiny\ntasks: [questions]\nmethod: full\nseeds: 1\ntarget_loss: 0.15\n"
        "ablation: resample\nchecks: [layernorm]\n"
    )
    with pytest.raises(UserError, match=r"task questions, train: resample ablation: '.* key' has 7 tokens, and none"):
        run_suite(path, out=tmp_path / "out")
