"""What of a measurement can be written as evidence and read again, which is asked where only its check fails by it."""

from __future__ import annotations

from typing import Any

from faithcheck.check import Measurement


def refuse_what_cannot_be_kept(measurement: Measurement) -> None:
    """Raises TypeError for evidence that is no plain tensor and for names and labels that are no text."""
    for name, value in measurement.evidence.items():
        if not hasattr(value, "detach"):
            raise TypeError(f"evidence {name!r} is no tensor but {type(value).__name__}")
        if str(value.layout) != "torch.strided" or value.is_meta or value.is_quantized:
            raise TypeError(f"evidence {name!r} must be a dense tensor with values: found {value.layout}")
        if str(value.dtype) == "torch.complex128":
            raise TypeError(f"evidence {name!r} is {value.dtype}, which safetensors does not store")
    words = [word for words in measurement.labels.values() for word in words]
    for text in (*measurement.evidence, *measurement.labels, *words):
        if not _is_text(text) or text == "__metadata__":
            raise TypeError(f"names of evidence, and labels, must be text that UTF-8 has: found {text!r}")


def _is_text(text: Any) -> bool:
    return isinstance(text, str) and not any("\ud800" <= character <= "\udfff" for character in text)
