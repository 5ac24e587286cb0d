"""Every method in the box keeps the laws of a method."""

from importlib.metadata import entry_points

import pytest

from faithcheck.testing import check_method

IN_THE_BOX = {
    e.name: e for e in entry_points(group="faithcheck.methods") if e.module.startswith("faithcheck_circuits.")
}
FASTER = {"sparse_prune": {"steps": 12}, "hard_concrete": {"steps": 12}}
"""Fewer steps keep the same laws."""


def test_the_box_holds_eight_methods():
    assert IN_THE_BOX.keys() == {
        "sparse_prune",
        "full",
        "random",
        "attribution",
        "integrated_gradients",
        "activation_difference",
        "greedy",
        "hard_concrete",
    }


@pytest.mark.parametrize("name", sorted(IN_THE_BOX))
def test_it_keeps_the_laws_of_a_method(name):
    method = IN_THE_BOX[name].load()
    assert method.name == name
    check_method(method, parameters=FASTER.get(name))
