"""random_weights: one shuffle of the model a seed, and where there is none to compare with."""

import math

import pytest
from fake_models import answers_only, bench_of, write_task
from stub_shuffles import readout, shuffling

from faithcheck.check import Measurement
from faithcheck.checks.random_weights import RandomWeights

CHECK = RandomWeights()


def bench(tmp_path, model=None, **options):
    return bench_of(shuffling() if model is None else model, write_task(tmp_path), **options)


@pytest.fixture
def home(tmp_path):
    return bench(tmp_path)


def test_there_is_one_shuffle_a_seed_under_the_tasks_own_labels(home):
    controls = CHECK.controls(home, [4, 7])
    assert [(c.seed, c.answers, c.model.fingerprint) for c in controls] == [
        (4, None, "shuffled 4"),
        (7, None, "shuffled 7"),
    ]


def test_a_model_that_cannot_be_shuffled_is_not_applicable(tmp_path):
    found = CHECK.controls(bench(tmp_path, readout(6.0, fingerprint="own")), range(6))
    assert found == Measurement(not_applicable="scripted offers no shuffled weights")


def test_where_the_models_own_cross_entropy_misses_the_target_the_check_does_not_apply(tmp_path):
    # Difference 1: loss softplus(-1) = 0.313 > 0.15.
    found = CHECK.controls(bench(tmp_path, shuffling(amplitude=1.0)), range(6))
    assert found.not_applicable.startswith(
        "the model's cross-entropy over the whole vocabulary on this task is 0.313 nats, above the target of 0.15"
    )


def test_it_is_the_full_cross_entropy_that_counts_where_the_task_uses_the_binary_one(tmp_path):
    # "when" has the answer's own logit: full loss ln 2 and more, binary softplus(-6).
    home = bench(tmp_path, shuffling(base=answers_only(when=3.0)), loss="binary")
    assert home.model_loss() < 0.15
    assert "whole vocabulary on this task is 0.69" in CHECK.controls(home, range(6)).not_applicable


def test_a_shuffle_that_happens_to_do_the_task_is_no_control(tmp_path):
    # By seed 3 the difference is 5: loss softplus(-5) = 0.0067.
    home = bench(tmp_path, shuffling(shuffles=lambda seed: (5.0 if seed == 3 else 0.0,)))
    found = CHECK.controls(home, range(6))
    assert found.not_applicable == (
        "the model still does the task with its weights shuffled by seed 3: its loss is then 0.00672 nats, "
        "the target is 0.15"
    )
    assert len(CHECK.controls(home, range(3))) == 3


@pytest.mark.parametrize(("amplitude", "applies"), [(1.80, True), (1.84, False)])
def test_it_does_the_task_where_its_loss_meets_the_target(tmp_path, amplitude, applies):
    # softplus(-x) = 0.15 at x = -ln(e^0.15 - 1) = 1.821.
    found = CHECK.controls(bench(tmp_path, shuffling(shuffles=lambda seed: (amplitude,))), [0])
    assert isinstance(found, Measurement) is not applies


def test_a_shuffle_that_only_prefers_the_right_answer_to_the_wrong_one_is_a_control(tmp_path):
    # "when" has the answer's own logit, as above.
    model = shuffling()
    model.shuffled = lambda seed: readout(6.0, fingerprint="other", base=answers_only(when=3.0))
    assert len(CHECK.controls(bench(tmp_path, model), range(6))) == 6


def test_a_shuffle_with_the_fingerprint_of_the_model_is_an_error_of_the_model(tmp_path):
    model = shuffling()
    model.shuffled = lambda seed: readout(0.0, fingerprint="own")
    with pytest.raises(ValueError, match="fingerprint"):
        CHECK.controls(bench(tmp_path, model), [0])


NOT_FINITE = {
    "nan": readout(math.nan, fingerprint="other"),
    "inf": readout(6.0, fingerprint="other", base=answers_only(she=-math.inf, he=-math.inf)),
}


@pytest.mark.parametrize("loss", NOT_FINITE)
def test_a_shuffle_without_a_finite_loss_is_an_error_of_the_model(tmp_path, loss):
    model = shuffling()
    finite = model.shuffled
    model.shuffled = lambda seed: NOT_FINITE[loss] if seed == 3 else finite(seed)
    with pytest.raises(ValueError, match=f"^scripted with its weights shuffled by seed 3 has a loss of {loss}$"):
        CHECK.controls(bench(tmp_path, model), range(6))
    assert len(CHECK.controls(bench(tmp_path, model), range(3))) == 3
