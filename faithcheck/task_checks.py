"""What a task file must get right beyond its schema. Each check adds its reasons; none raises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from faithcheck.errors import did_you_mean
from faithcheck.marked_yaml import KeyPath
from faithcheck.reasons import Reasons
from faithcheck.task_distributions import Distribution
from faithcheck.task_parts import TEMPLATE, Choices, Ref
from faithcheck.task_prompts import MAX_PROMPTS, combinations, texts
from faithcheck.task_spec import SPLITS, TaskSpec
from faithcheck.task_survey import Survey


def check_names(spec: TaskSpec, parts: Sequence[Distribution], reasons: Reasons) -> None:
    """Every slot is used by a template, none is called `template`; no shift has the name of a split."""
    everywhere = {slot for part in parts for slot in part.used_slots}
    for name in spec.slots:
        _check_slot_name(name, ("slots", name), everywhere, reasons)
    for part in parts:
        for name, choices in part.slots.items():
            if not choices.is_default:
                _check_slot_name(name, choices.path, part.used_slots, reasons)
    for name in spec.shifts:
        if name in SPLITS:
            reasons.add("a shift cannot have the name of a split", ("shifts", name), key=True)


def _check_slot_name(name: str, path: KeyPath, used: Iterable[str], reasons: Reasons) -> None:
    if name == TEMPLATE:
        reasons.add("a slot cannot have this name; it means the template itself", path, key=True)
    elif name not in used:
        reasons.add(f"no template here has a slot {name!r}{did_you_mean(name, used)}", path, key=True)


def check_templates(parts: Sequence[Distribution], reasons: Reasons) -> None:
    """Every split and shift has templates, and their slots are known."""
    known = _slot_names(parts)
    for part in parts:
        if not part.templates:
            reasons.add(f"{part} has no templates", part.path, key=True)
        for template in part.templates:
            for slot in template.slots:
                if slot not in known:
                    found = f"unknown slot {slot!r}; slots: {', '.join(known)}"
                    reasons.add(found + did_you_mean(slot, known), template.value.path)


def check_slots(parts: Sequence[Distribution], reasons: Reasons) -> None:
    """Every slot has values wherever a template uses it, each text once."""
    for part in parts:
        for slot in part.used_slots:
            if slot not in part.slots:
                reasons.add(f"{part} gives slot {slot!r} no values", part.path, key=True)
        for choices in part.slots.values():
            _check_repeats(choices, reasons)


def _check_repeats(choices: Choices, reasons: Reasons) -> None:
    seen = set()
    for value in choices.values:
        if value.text in seen:
            reasons.add(f"{value.text!r} is given twice in one slot", value.path)
        seen.add(value.text)


def check_unit(spec: TaskSpec, parts: Sequence[Distribution], reasons: Reasons) -> None:
    """The unit is a slot, and every template has it."""
    known = _slot_names(parts)
    if spec.unit not in known:
        near = did_you_mean(spec.unit, known)
        reasons.add(f"no slot is called {spec.unit!r}; slots: {', '.join(known)}{near}", ("unit",))
        return
    for part in parts:
        _check_everywhere(spec.unit, ("unit",), part, reasons)


def check_ref(ref: Ref, path: KeyPath, part: Distribution, reasons: Reasons) -> None:
    """What `ref` names stands in every template of the split or shift, and has the attribute."""
    if ref.slot != TEMPLATE and ref.slot not in part.slots:
        near = did_you_mean(ref.slot, [*part.slots, TEMPLATE])
        allowed = f"{part} has {', '.join(part.slots)}"
        reasons.add(f"unknown slot {ref.slot!r} in {str(ref)!r}; {allowed}{near}", path)
        return
    if ref.slot != TEMPLATE:
        _check_everywhere(ref.slot, path, part, reasons)
    has = part.choices(ref.slot).attribute
    if ref.attribute is not None and ref.attribute != has:
        known = [has] if has else []
        found = f"unknown attribute {ref.attribute!r} in {str(ref)!r}"
        allowed = f"{part} groups {ref.slot!r} by {has or 'nothing'}"
        reasons.add(f"{found}; {allowed}{did_you_mean(ref.attribute, known)}", path)


def _check_everywhere(slot: str, path: KeyPath, part: Distribution, reasons: Reasons) -> None:
    for template in part.templates:
        if slot not in template.slots:
            reasons.add(f"the template {template.value.text!r} has no slot {slot!r}", path)


def check_levels(name: str, ref: Ref, levels: Sequence[str], part: Distribution, reasons: Reasons) -> None:
    """A split or shift gives a variable no level that the task does not know."""
    for value in part.choices(ref.slot).values:
        if value.level is not None and value.level not in levels:
            near = did_you_mean(value.level, levels)
            allowed = f"levels of {name!r}: {', '.join(levels)}"
            reasons.add(f"unknown level {value.level!r}; {allowed}{near}", value.path[:-1], key=True)


def check_answer(spec: TaskSpec, levels: Mapping[str, Sequence[str]], reasons: Reasons) -> None:
    """The answer is a variable of two levels, each with its own token and its own nonsense token."""
    variable = spec.answer.variable
    path = ("answer", "variable")
    if variable not in levels:
        near = did_you_mean(variable, levels)
        reasons.add(f"unknown variable {variable!r}; variables: {', '.join(levels)}{near}", path)
        return
    if len(levels[variable]) != 2:
        found = ", ".join(levels[variable])
        reasons.add(f"an answer has exactly two levels; {variable!r} has {found}", path)
    _check_labels(spec.answer.tokens, levels[variable], ("answer", "tokens"), reasons)
    _check_labels(spec.nonsense, levels[variable], ("nonsense",), reasons)


def _check_labels(labels: Mapping[str, str], levels: Sequence[str], path: KeyPath, reasons: Reasons) -> None:
    if set(labels) != set(levels):
        found = ", ".join(labels) or "none"
        reasons.add(f"found tokens for {found}; allowed: one each for {', '.join(levels)}", path, key=True)
    elif len(set(labels.values())) < len(labels):
        reasons.add(f"the tokens must differ; found {', '.join(map(repr, labels.values()))}", path, key=True)


def check_size(part: Distribution, reasons: Reasons) -> None:
    """The enumeration is short enough to be done."""
    count = combinations(part)
    if count > MAX_PROMPTS:
        found = f"{part} combines to {count:,} prompts before `where`"
        reasons.add(f"{found}; allowed: {MAX_PROMPTS:,}", part.path, key=True)


def check_surveys(
    surveys: Mapping[str, Survey],
    levels: Sequence[str],
    parts: Sequence[Distribution],
    reasons: Reasons,
) -> None:
    """No split or shift is empty, every split has every answer, and no two splits share a frame."""
    home: dict[str, str] = {}
    for part in parts:
        here = surveys[part.name]
        if not here.frames:
            reasons.add(f"{part} has no prompts: no values meet `where`", part.path, key=True)
        elif part.name in SPLITS:
            for level in sorted(set(levels) - here.answers):
                reasons.add(f"no prompt of {part} has the answer {level!r}", part.path, key=True)
            _check_frames(here.frames, home, part, reasons)


def _check_frames(frames: Iterable[str], home: dict[str, str], part: Distribution, reasons: Reasons) -> None:
    """`home` says which split has each frame; this split's frames are added to it."""
    shared = sorted(frame for frame in frames if home.setdefault(frame, part.name) != part.name)
    if shared:
        found = f"{part} shares the frame {shared[0]!r} with split {home[shared[0]]!r}"
        others = f" (and {len(shared) - 1} more)" if len(shared) > 1 else ""
        reasons.add(found + others, part.path, key=True)


def check_shifts(surveys: Mapping[str, Survey], parts: Sequence[Distribution], reasons: Reasons) -> None:
    """Every shift has a prompt that the test split has not; else `generalization` would pass without a look at it."""
    test = next(part for part in parts if part.name == "test")
    suspects = [p for p in parts if p.name not in SPLITS and surveys[p.name].frames <= surveys["test"].frames]
    known = set(texts(test)) if suspects else set()
    for shift in suspects:
        if known.issuperset(texts(shift)):
            reasons.add(f"every prompt of {shift} is one of {test}", shift.path, key=True)


def _slot_names(parts: Sequence[Distribution]) -> list[str]:
    return list(dict.fromkeys(name for part in parts for name in part.slots))
