"""The text that a planted model runs on: a small task, its words, and its prompts as tokens."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from faithcheck.prompts import PromptSet, encode
from faithcheck.task import Task, load_task_file
from faithcheck.task_spec import SPLITS
from faithcheck_circuits.stories.tokenizer import WordTokenizer

ASK, FEMALE, MALE = "ask", "she", "he"
LABELS = 6
"""Words that the model gives after a starter of their own and nowhere else: nonsense labels for its answers."""


@dataclass(frozen=True)
class Scene:
    """`{lead...} {name} {filler} {place} {marker} ask` -> she or he, the gender of the name.

    A filler is quiet or loud, whatever the name is. Places are other words in every split and in the shift. A marker,
    where there are markers, is of the name's gender but on the shift, where it is of the other one (or of either, if
    `mixed`). All prompts of a scene are of one length.
    """

    names: int
    """Of each gender."""
    fillers: int
    """Of each kind."""
    places: int
    """In each split and in the shift."""
    leads: int
    markers: int = 0
    """Of each gender."""
    mixed: bool = False

    @classmethod
    def drawn(cls, rng: random.Random, markers: bool = False) -> Scene:
        return cls(
            names=rng.randint(48, 64),
            fillers=rng.randint(1, 2),
            places=2,
            leads=rng.randint(0, 2),
            markers=rng.randint(1, 2) if markers else 0,
            mixed=markers and rng.random() < 0.5,
        )

    @cached_property
    def words(self) -> Mapping[str, Sequence[str]]:
        """Words by what they are."""
        words = {
            "female": [f"anna{i}" for i in range(self.names)],
            "male": [f"ben{i}" for i in range(self.names)],
            "female marker": [f"her{i}" for i in range(self.markers)],
            "male marker": [f"his{i}" for i in range(self.markers)],
            "lead": [f"when{i}" for i in range(self.leads)],
            "starter": [f"start{i}" for i in range(LABELS)],
            "label": [f"label{i}" for i in range(LABELS)],
        }
        words |= {kind: [f"{kind}{i}" for i in range(self.fillers)] for kind in ("quiet", "loud")}
        words |= {part: [f"{part}{i}" for i in range(self.places)] for part in (*SPLITS, "shift")}
        return words

    @cached_property
    def tokenizer(self) -> WordTokenizer:
        return WordTokenizer(["<|end|>", ASK, FEMALE, MALE, *(w for group in self.words.values() for w in group)])

    @property
    def sample_text(self) -> tuple[str, ...]:
        """The model's own text: every starter, which its label follows."""
        return tuple(" ".join(pair) for pair in zip(self.words["starter"], self.words["label"], strict=True))

    @cached_property
    def task(self) -> Task:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "planted.yaml"
            path.write_text(json.dumps(self._spec()))
            return load_task_file(path)

    def prompts(self, split: str) -> PromptSet:
        return encode(self.task, split, self.tokenizer)

    def _spec(self) -> dict[str, object]:
        words = self.words
        slots: dict[str, object] = {
            "name": {"gender": {"female": words["female"], "male": words["male"]}},
            "filler": {"kind": {"quiet": words["quiet"], "loud": words["loud"]}},
        }
        variables = {"gender": "name.gender", "kind": "filler.kind"}
        agree, disagree = [], []
        if self.markers:
            slots["marker"] = {"gender": {"female": words["female marker"], "male": words["male marker"]}}
            variables["marker"] = "marker.gender"
            agree, disagree = ["name.gender == marker.gender"], ["name.gender != marker.gender"]
        slot_names = ["{name}", "{filler}", "{place}", *(["{marker}"] if self.markers else [])]
        return {
            "faithcheck_task": 1,
            "task": "planted",
            "about": "the pronoun of a name",
            "slots": slots,
            "templates": [" ".join([*words["lead"], *slot_names, ASK])],
            "where": agree,
            "unit": "name",
            "variables": variables,
            "answer": {"variable": "gender", "tokens": {"female": FEMALE, "male": MALE}},
            "nonsense": {"female": words["label"][0], "male": words["label"][1]},
            "loss": "full",
            "splits": {split: {"slots": {"place": words[split]}} for split in SPLITS},
            "shifts": {"shift": {"slots": {"place": words["shift"]}, "where": [] if self.mixed else disagree}},
        }
