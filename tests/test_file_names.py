"""Names of tasks and checks as parts of file names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from faithcheck.files import file_name

NAMES = st.text() | st.text("ab._/ -", max_size=4) | st.text("x", min_size=70, max_size=300)


@given(st.lists(NAMES, min_size=2, unique=True))
def test_no_two_names_share_a_file(names):
    assert len({file_name(name) for name in names}) == len(names)


@given(NAMES)
def test_a_name_becomes_one_short_part_of_a_path(name):
    made = file_name(name)
    assert made
    assert all(character.isalnum() or character in "-_" for character in made)
    assert len(made) < 100


def test_a_plain_name_stays_as_it_is():
    assert [file_name(name) for name in ("pronoun", "node_roles", "a-1")] == ["pronoun", "node_roles", "a-1"]
