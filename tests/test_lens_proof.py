"""What is tried out when a model is loaded: hook points that do not do what the protocol says are found, each by name.

Every trial here puts one wrong hook point in the place of a right one of a model that is otherwise sound.
"""

import copy

import pytest
from faithcheck_circuits.lens.proof import prove
from lens_models import configuration, lens_of, plain, prompts, random_network
from transformer_lens.hook_points import HookPoint

from faithcheck.errors import UserError


def proved(model, family):
    tokens, _ = prompts(2, 6)
    prove(model, model._points, tokens, plain(family)(tokens).logits)


def swap(model, table, name, point):
    getattr(model._points, table)[name] = model._bridge.hook_dict[point]


SWAPS = [
    ("llama", "sites", "0.attn_in", "blocks.0.ln1.hook_in", "0.attn_in is not what ln_1 gives"),
    ("pythia", "sites", "1.mlp_in", "blocks.1.attn.hook_in", "1.mlp_in is not what 1.ln_2 gives"),
    ("llama", "patterns", "1.attn_pattern", "blocks.1.attn.hook_attn_scores", "1.attn_pattern does not sum to 1"),
    ("gemma", "sites", "0.attn_v", "blocks.0.attn.k.hook_out", "0.attn_out is not made of values under the pattern"),
    ("gemma2", "sites", "1.attn_out", "blocks.1.attn.hook_out", "are not what is added to the residual stream"),
    ("gemma3", "sites", "0.mlp_out", "blocks.0.mlp.hook_out", "are not what is added to the residual stream"),
]


@pytest.mark.parametrize(("family", "table", "name", "point", "says"), SWAPS)
def test_a_hook_point_that_shows_something_else_is_refused(family, table, name, point, says):
    model = lens_of(copy.deepcopy(plain(family)), "theirs")
    proved(model, family)
    swap(model, table, name, point)
    with pytest.raises(UserError, match=says) as error:
        proved(model, family)
    assert str(error.value).startswith(f"theirs ({type(plain(family)).__name__}) cannot be run faithfully")


@pytest.mark.parametrize(("table", "name"), [("sites", "1.mlp_neuron"), ("sites", "0.attn_q"), ("norms", "0.ln_2")])
def test_a_hook_point_that_only_shows_a_value_is_refused(table, name):
    # It sees what the right one sees, and what is returned there is dropped.
    model, onlooker = lens_of(copy.deepcopy(plain("llama")), "theirs"), HookPoint()

    def show(value, hook):
        onlooker(value)

    points = getattr(model._points, table)
    points[name].add_hook(show)
    points[name] = onlooker
    with pytest.raises(UserError, match=f"the logits do not depend on what its hook point of {name} gives"):
        proved(model, "llama")


def test_logits_of_another_network_are_refused():
    model = lens_of(random_network(configuration("llama"), seed=1), "theirs")
    with pytest.raises(UserError, match="the logits with hook points are not the model's"):
        proved(model, "llama")


class Half:
    """A hook point at which half of what a function gives is put in the place of what it saw."""

    def __init__(self, point):
        self._point, self.remove_hooks = point, point.remove_hooks

    def add_hook(self, function):
        def halved(value, hook):
            given = function(value, hook=hook)
            return None if given is None else given / 2

        self._point.add_hook(halved)


@pytest.mark.parametrize(("table", "name"), [("norms", "1.ln_1"), ("sites", "0.mlp_neuron")])
def test_a_hook_point_that_changes_what_it_is_given_is_refused(table, name):
    model = lens_of(copy.deepcopy(plain("llama")), "theirs")
    points = getattr(model._points, table)
    points[name] = Half(points[name])
    with pytest.raises(UserError, match="all-on masks and its own norm scales change the model"):
        proved(model, "llama")


class Squared:
    """A hook point at which a mask of m acts as one of m squared: nothing changes where it is 0 or 1."""

    def __init__(self, point):
        self._point, self.remove_hooks = point, point.remove_hooks

    def add_hook(self, function):
        def squared(value, hook):
            given = function(value, hook=hook)
            return None if given is None else given * given / value

        self._point.add_hook(squared)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("0.attn_v", "0.attn_out is not made of values under the pattern"),
        ("1.attn_out", "are not what is added to the residual stream"),
        ("0.mlp_out", "are not what is added to the residual stream"),
    ],
)
def test_a_hook_point_at_which_masks_do_something_else_than_masks_is_refused(name, says):
    model = lens_of(copy.deepcopy(plain("llama")), "theirs")
    model._points.sites[name] = Squared(model._points.sites[name])
    with pytest.raises(UserError, match=says):
        proved(model, "llama")


def test_a_model_whose_tokens_see_what_comes_after_them_is_refused():
    network = random_network(configuration("gemma3", use_bidirectional_attention=True))
    with pytest.raises(UserError, match="a token changes the logits before it"):
        lens_of(network)
