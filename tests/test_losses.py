"""Losses, log-odds and logit differences against numbers worked out by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from faithcheck.losses import logit_difference, prompt_log_odds, prompt_losses

LN = math.log
LOGITS = torch.tensor(
    [
        [[LN(1), LN(2), LN(5)], [0.0, 0.0, 0.0]],
        [[LN(3), LN(1), LN(4)], [LN(7), LN(1), LN(2)]],
    ],
    dtype=torch.float64,
)
"""float[member 2, prompt 2, token 3]; the exponentials of a prompt sum to 8, 3, 8 and 10."""
TARGETS, DISTRACTORS = torch.tensor([1, 0]), torch.tensor([2, 2])
MEMBERWISE = torch.tensor([[1, 0], [2, 1]]), torch.tensor([[2, 2], [0, 0]])


def expect(found, rows):
    torch.testing.assert_close(found, torch.tensor(rows, dtype=torch.float64), rtol=1e-12, atol=0)


def test_the_full_loss_is_minus_the_log_probability_of_the_target_over_the_vocabulary():
    expect(prompt_losses(LOGITS, TARGETS, DISTRACTORS, "full"), [[LN(8 / 2), LN(3)], [LN(8 / 1), LN(10 / 7)]])


def test_the_binary_loss_is_over_target_and_distractor_only():
    expect(prompt_losses(LOGITS, TARGETS, DISTRACTORS, "binary"), [[LN(7 / 2), LN(2)], [LN(5 / 1), LN(9 / 7)]])


def test_the_logit_difference_is_target_minus_distractor():
    expect(logit_difference(LOGITS, TARGETS, DISTRACTORS), [[LN(2 / 5), 0.0], [LN(1 / 4), LN(7 / 2)]])


def test_each_member_can_have_targets_of_its_own():
    expect(prompt_losses(LOGITS, *MEMBERWISE, "full"), [[LN(8 / 2), LN(3)], [LN(8 / 4), LN(10 / 1)]])
    expect(prompt_losses(LOGITS, *MEMBERWISE, "binary"), [[LN(7 / 2), LN(2)], [LN(7 / 4), LN(8 / 1)]])
    expect(logit_difference(LOGITS, *MEMBERWISE), [[LN(2 / 5), 0.0], [LN(4 / 3), LN(1 / 7)]])


def test_one_members_logits_serve_the_targets_of_many():
    expect(prompt_losses(LOGITS[:1], *MEMBERWISE, "full"), [[LN(8 / 2), LN(3)], [LN(8 / 5), LN(3)]])
    expect(prompt_losses(LOGITS[:1], *MEMBERWISE, "binary"), [[LN(7 / 2), LN(2)], [LN(6 / 5), LN(2)]])


@pytest.mark.parametrize("kind", ["full", "binary"])
def test_large_logits_neither_overflow_nor_round_to_nothing(kind):
    logits = torch.tensor([[[1000.0, 0.0], [0.0, 1000.0]]])
    assert prompt_losses(logits, torch.tensor([0, 0]), torch.tensor([1, 1]), kind).tolist() == [[0.0, 1000.0]]


@pytest.mark.parametrize("kind", ["full", "binary"])
@given(shift=st.floats(-50, 50), seed=st.integers(0, 999))
@settings(max_examples=10, deadline=None)
def test_a_shift_of_all_logits_changes_no_loss(kind, shift, seed):
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    answers = torch.tensor([0, 1, 2]), torch.tensor([4, 4, 3])
    found = prompt_losses(logits + shift, *answers, kind)
    torch.testing.assert_close(found, prompt_losses(logits, *answers, kind), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["full", "binary"])
def test_the_gradient_is_the_probability_minus_the_target(kind):
    logits = LOGITS[1:, 1:].clone().requires_grad_()
    prompt_losses(logits, torch.tensor([0]), torch.tensor([2]), kind).sum().backward()
    full, binary = [7 / 10 - 1, 1 / 10, 2 / 10], [7 / 9 - 1, 0, 2 / 9]
    assert logits.grad[0, 0].tolist() == pytest.approx(full if kind == "full" else binary, rel=1e-12)


def test_the_full_log_odds_are_of_the_target_against_all_other_tokens():
    expect(prompt_log_odds(LOGITS, TARGETS, DISTRACTORS, "full"), [[LN(2 / 6), LN(1 / 2)], [LN(1 / 7), LN(7 / 3)]])


def test_the_binary_log_odds_are_the_logit_difference():
    expect(prompt_log_odds(LOGITS, TARGETS, DISTRACTORS, "binary"), [[LN(2 / 5), 0.0], [LN(1 / 4), LN(7 / 2)]])


def test_log_odds_of_targets_of_each_members_own():
    expect(prompt_log_odds(LOGITS, *MEMBERWISE, "full"), [[LN(2 / 6), LN(1 / 2)], [0.0, LN(1 / 9)]])
    expect(prompt_log_odds(LOGITS, *MEMBERWISE, "binary"), [[LN(2 / 5), 0.0], [LN(4 / 3), LN(1 / 7)]])


def test_log_odds_of_one_members_logits_for_the_targets_of_many():
    expect(prompt_log_odds(LOGITS[:1], *MEMBERWISE, "full"), [[LN(2 / 6), LN(1 / 2)], [LN(5 / 3), LN(1 / 2)]])
    expect(prompt_log_odds(LOGITS[:1], *MEMBERWISE, "binary"), [[LN(2 / 5), 0.0], [LN(5 / 1), 0.0]])


@pytest.mark.parametrize("kind", ["full", "binary"])
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("memberwise", [False, True])
def test_log_odds_have_the_shape_of_the_losses(kind, members, memberwise):
    answers = MEMBERWISE if memberwise else (TARGETS, DISTRACTORS)
    found = prompt_log_odds(LOGITS[:members], *answers, kind)
    assert found.shape == (2 if memberwise else members, 2) == prompt_losses(LOGITS[:members], *answers, kind).shape


@pytest.mark.parametrize("kind", ["full", "binary"])
@given(seed=st.integers(0, 999), size=st.floats(0.1, 3))
@settings(max_examples=20, deadline=None)
def test_log_odds_are_those_of_the_probability_whose_logarithm_is_minus_the_loss(kind, seed, size):
    generator = torch.Generator().manual_seed(seed)
    logits = size * torch.randn(2, 3, 5, generator=generator, dtype=torch.float64)
    answers = torch.tensor([0, 1, 2]), torch.tensor([4, 4, 3])
    expected = -torch.expm1(prompt_losses(logits, *answers, kind)).log()
    torch.testing.assert_close(prompt_log_odds(logits, *answers, kind), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["full", "binary"])
def test_log_odds_of_a_certain_or_impossible_target_do_not_overflow_and_have_a_gradient(kind):
    # One other token has all the rest of the probability. -log(expm1(loss)) would be infinite for both.
    logits = torch.tensor([[[1000.0, 0.0, -1000.0], [0.0, 1000.0, -1000.0]]], requires_grad=True)
    found = prompt_log_odds(logits, torch.tensor([0, 0]), torch.tensor([1, 1]), kind)
    assert found.tolist() == [[1000.0, -1000.0]]
    found.sum().backward()
    assert logits.grad.tolist() == [[[1.0, -1.0, 0.0], [1.0, -1.0, 0.0]]]
