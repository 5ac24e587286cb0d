"""A checkpoint by name (from the Hugging Face hub or its cache) or directory; weights as safetensors only."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from faithcheck.errors import UserError, first_line

if TYPE_CHECKING:
    from faithcheck.model import Tokenizer
    from faithcheck_circuits.lens.model import LensModel

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


def load_lens_model(name_or_dir: str, device: str) -> LensModel:
    """See `faithcheck_circuits.lens.load`."""
    _require_extra()
    from faithcheck_circuits.lens.building import build
    from faithcheck_circuits.lens.checkpoint import network_of
    from faithcheck_circuits.lens.source import Source

    directory = Path(name_or_dir).expanduser()
    is_local = directory.is_dir()
    if not is_local and (directory.exists() or directory.is_absolute() or name_or_dir.startswith(".")):
        raise UserError(f"lens:{name_or_dir}: no such directory")
    label = f"lens:{directory.resolve().name if is_local else name_or_dir}"
    place = str(directory) if is_local else name_or_dir
    source = Source.of(label, network_of(place, label, is_local).to(device))
    return build(source, _tokenizer(place, label, is_local, source.vocabulary))


def _require_extra() -> None:
    needed = "lens: models need TransformerLens: pip install 'faithcheck[lens]'"
    try:
        sources = import_module("transformer_lens.model_bridge.sources")
    except ImportError as error:
        raise UserError(needed if error.name == "transformer_lens" else f"{needed} ({error})") from error
    if not hasattr(sources, "build_bridge_from_module"):
        raise UserError(f"{needed} (this one is too old)")


def _tokenizer(name: str, label: str, is_local: bool, vocabulary: int) -> Tokenizer:
    from transformers import AutoTokenizer

    from faithcheck_circuits.lens.tokens import CheckpointTokenizer
    from faithcheck_circuits.token_ids import TokenIds

    if is_local and not any((Path(name) / file).is_file() for file in _TOKENIZER_FILES):
        return TokenIds(vocabulary)
    try:
        found = AutoTokenizer.from_pretrained(name, trust_remote_code=False, local_files_only=is_local)
    except Exception as error:
        raise UserError(f"{label}: its tokenizer cannot be loaded: {first_line(error)}") from error
    return CheckpointTokenizer(found, vocabulary)
