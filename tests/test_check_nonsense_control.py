"""nonsense_control: which labels are eligible, on a model whose probabilities are known."""

import math
from dataclasses import replace

import pytest
import torch
from control_trials import trials
from fake_models import (
    IS,
    ONE,
    SIGN,
    TEST,
    WHEN,
    WORDS,
    Readout,
    answers_only,
    bench_of,
    method_finding,
    pronoun,
    table,
    write_task,
)
from hypothesis import given
from hypothesis import strategies as st

from faithcheck.check import Measurement
from faithcheck.checks import nonsense_control
from faithcheck.checks.nonsense_control import NonsenseControl, declared_labels, eligible_tokens
from faithcheck.verdict import Verdict

CHECK = NonsenseControl()
SO = WORDS.index("so")
TOKENS = st.integers(0, len(WORDS) - 1)


def likely(word, p):
    """Logits under which `word` has probability p and "she" the rest."""
    return table({"she": math.log(1 - p), word: math.log(p)}, -1000.0)


def bench(tmp_path, amplitude=6.0, target=0.15, so=5e-4, is_elsewhere=0.6, texts=None):
    """A model whose text gives "when" 0.6 after "is", "is" `is_elsewhere` after "so", "so" 0.6 after "and", "and" 0.6
    after "when"; after an action the answers, "so" with `so` and "and" with 5e-3 of the answer's probability."""
    base = torch.full((len(WORDS), len(WORDS)), -1000.0, dtype=torch.float64)
    half = amplitude / 2
    base[:] = answers_only(so=half + math.log(so), **{"and": half + math.log(5e-3)})
    for before, word, p in (("is", "when", 0.6), ("so", "is", is_elsewhere), ("and", "so", 0.6), ("when", "and", 0.6)):
        base[WORDS.index(before)] = likely(word, p)
    base[0] = likely("is", 0.99)  # after padding; nothing there may count
    texts = ("is so", "and", "when") if texts is None else texts
    model = Readout([(SIGN, table(dict.fromkeys(TEST, 1.0), 1.0))], [pronoun(amplitude)], base, sample_text=texts)
    return bench_of(model, write_task(tmp_path), target=target)


@pytest.fixture
def home(tmp_path):
    return bench(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The same for all examples of a property."""
    return bench(tmp_path_factory.mktemp("shared"))


def test_tokens_are_eligible_that_are_unlikely_at_the_answer_and_likely_elsewhere(home):
    # "and" has 5e-3 at the answer, she and he are the answers, the other words are likely nowhere.
    assert eligible_tokens(home) == sorted([WHEN, IS, SO])


@pytest.mark.parametrize(("so", "eligible"), [(9.9e-4, True), (1.02e-3, False)])
def test_the_mean_probability_at_the_answer_must_be_below_a_thousandth(tmp_path, so, eligible):
    # "so" has `so` times the answer's probability, which is 1 / (1 + e^-6 + so + 5e-3) = 0.9915.
    p = so / (1 + math.exp(-6) + so + 5e-3)
    assert (p < 1e-3) is eligible
    assert (SO in eligible_tokens(bench(tmp_path, so=so))) is eligible


@pytest.mark.parametrize(("p", "eligible"), [(0.51, True), (0.49, False)])
def test_somewhere_in_the_models_text_it_must_be_above_a_half(tmp_path, p, eligible):
    assert (IS in eligible_tokens(bench(tmp_path, is_elsewhere=p))) is eligible


def test_positions_after_the_end_of_a_text_do_not_count(tmp_path):
    # After padding "is" would have 0.99; the second text is shorter than the first.
    assert IS not in eligible_tokens(bench(tmp_path, texts=("is and", "is")))


def test_the_loss_on_a_label_must_be_ten_times_the_target(tmp_path):
    # -ln p("so") = -ln(5e-4) + 0.008 = 7.61: ten times a target of 0.75 is less, of 0.77 more.
    assert SO in eligible_tokens(bench(tmp_path, target=0.75))
    assert SO not in eligible_tokens(bench(tmp_path, target=0.77))


def test_declared_labels_are_in_the_order_of_the_answers_levels(home):
    assert declared_labels(home) == (WHEN, IS)


def test_the_declared_labels_come_first_and_the_others_are_drawn_by_seed(home):
    controls = CHECK.controls(home, [4, 5, 6, 7])
    assert [control.seed for control in controls] == [4, 5, 6, 7]
    assert controls[0].answers == (WHEN, IS)
    for control in controls[1:]:
        assert set(control.answers) <= {WHEN, IS, SO}
        assert len(set(control.answers)) == 2


def drawn(home, eligible, seeds):
    """What is drawn where these tokens are eligible."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nonsense_control, "eligible_tokens", lambda bench: sorted(eligible))
        return CHECK.draw(home, seeds)


@given(
    st.one_of(st.sets(TOKENS, max_size=4), st.sets(TOKENS, min_size=10)),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=14, unique=True),
)
def test_no_two_seeds_have_the_same_labels(shared, eligible, seeds):
    found = drawn(shared, eligible, seeds)
    if len(eligible) * (len(eligible) - 1) < len(seeds):
        assert isinstance(found, Measurement)
        return
    assert [control.seed for control in found] == seeds
    assert len({control.answers for control in found}) == len(seeds)
    for control in found:
        assert set(control.answers) <= eligible
        assert len(set(control.answers)) == 2
    assert (found[0].answers == (WHEN, IS)) or not {WHEN, IS} <= eligible
    assert drawn(shared, eligible, seeds) == found


@pytest.mark.parametrize(
    ("tokens", "seeds", "applies"),
    [(0, 1, False), (1, 1, False), (2, 2, True), (2, 3, False), (3, 6, True), (3, 7, False), (4, 12, True)],
)
@pytest.mark.parametrize("first", [WHEN, 0], ids=["declared", "drawn"])
def test_it_applies_where_the_tokens_have_an_ordered_pair_for_every_seed(home, first, tokens, seeds, applies):
    eligible = range(first, first + tokens)
    found = drawn(home, eligible, range(seeds))
    assert isinstance(found, Measurement) is not applies
    if not applies:
        finding = method_finding(CHECK, found)
        assert finding.verdict is Verdict.NOT_APPLICABLE
        assert finding.reason.startswith(f"only {tokens} tokens can serve as nonsense labels for this model")


def test_where_tokens_abound_a_seeds_labels_do_not_depend_on_the_other_seeds(home):
    labels = [{c.seed: c.answers for c in drawn(home, range(WHEN), seeds)} for seeds in ([4, 5, 6, 7], [9, 6, 4])]
    assert labels[0][4] == labels[1][4]
    assert labels[0][6] == labels[1][6]


def test_where_a_seed_would_draw_the_labels_of_an_earlier_one_it_draws_again(home):
    # Alone, two of seven seeds draw the same of six pairs.
    alone = [drawn(home, range(3), [seed])[0].answers for seed in range(7)]
    assert len(set(alone)) < len(alone)
    again = next(seed for seed in range(7) if alone[seed] in alone[:seed])
    earlier = alone.index(alone[again])
    assert drawn(home, range(3), [earlier, again])[0].answers == alone[earlier]
    assert drawn(home, range(3), [earlier, again])[1].answers != alone[again]
    assert drawn(home, range(3), [again, earlier])[0].answers == alone[again]


def test_declared_labels_that_do_not_serve_are_replaced_and_remarked_upon(tmp_path):
    home = bench(tmp_path, is_elsewhere=0.4)
    controls = CHECK.controls(home, range(2))
    assert {control.answers for control in controls} == {(WHEN, SO), (SO, WHEN)}
    tried = [replace(t, control=c) for t, c in zip(trials([200] * 2), controls, strict=True)]
    finding = method_finding(CHECK, CHECK.measure(home, tried))
    assert finding.reason.endswith("(the declared labels when / is are not usable on this model, drawn ones were used)")


def test_usable_declared_labels_get_no_remark(home):
    assert CHECK.measure(home, trials([200] * 6)).remark == ""


def test_without_two_eligible_tokens_there_is_no_control(tmp_path):
    found = CHECK.controls(bench(tmp_path, texts=("is",)), range(6))
    assert isinstance(found, Measurement)
    assert method_finding(CHECK, found).verdict is Verdict.NOT_APPLICABLE


def test_where_the_models_own_cross_entropy_misses_the_target_the_check_does_not_apply(tmp_path):
    # Difference 1: loss softplus(-1) = 0.313 and more > 0.15.
    found = CHECK.controls(bench(tmp_path, amplitude=1.0), range(6))
    assert isinstance(found, Measurement)
    assert found.not_applicable.startswith("the model's cross-entropy over the whole vocabulary on this task is 0.31")


def test_it_is_the_full_cross_entropy_that_counts_where_the_task_uses_the_binary_one(tmp_path):
    # "when" has the answer's own logit: full loss ln 2 and more, binary softplus(-6).
    base = answers_only(when=3.0)
    model = Readout([(SIGN, ONE)], [pronoun(6.0)], base)
    home = bench_of(model, write_task(tmp_path), loss="binary")
    assert home.model_loss() < 0.15
    found = CHECK.controls(home, range(6))
    assert isinstance(found, Measurement)
    assert "cross-entropy over the whole vocabulary on this task is 0.69" in found.not_applicable


def test_a_declared_label_that_the_tokenizer_does_not_know_is_replaced(tmp_path):
    home = bench(tmp_path)
    home.task = replace(home.task, nonsense={"female": "zebra", "male": "is"})
    assert len(CHECK.controls(home, range(6))) == 6


def test_curves_and_labels_are_kept_by_seed(home):
    evidence = CHECK.measure(home, trials([30])).evidence
    assert evidence["0/labels"].tolist() == [WHEN, IS]
    assert evidence["0/nonsense"].tolist() == [[30, 0.1]]
    assert evidence["0/task"].tolist() == [[10, 0.1]]
