"""Tokenizers of the kinds that real models have, trained on the bundled tasks or made by hand."""

from __future__ import annotations

from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from faithcheck.task import load_task

TASKS = ("pronoun", "ioi", "questions")


class Adapter:
    """A model's tokenizer as the harness sees it. `unknown` is set only where it is given."""

    def __init__(self, tokenizer, **attributes):
        self.tokenizer = tokenizer
        self.__dict__.update(attributes)

    def encode(self, text):
        return self.tokenizer.encode(text).ids

    def decode(self, tokens):
        return self.tokenizer.decode(list(tokens), skip_special_tokens=False)

    def pieces(self, tokens):
        return [self.tokenizer.id_to_token(token) for token in tokens]


@cache
def texts():
    """Every frame of the bundled tasks once, every value of a slot once, and every answer after a text."""
    found = {}
    for task in map(load_task, TASKS):
        for split in (*task.splits, *task.shifts):
            for prompt in task.prompts(split):
                answer = task.tokens[prompt.answer]
                text = prompt.text + (" " if answer.isalpha() else "") + answer
                found.setdefault((prompt.frame, answer), text)
                found.setdefault(tuple(prompt.text[a:b] for a, b in prompt.roles.values()), text)
                found.setdefault(prompt.unit, text)
    return tuple(found.values())


def trained(tokenizer, trainer):
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def bytes_bpe(vocabulary=2000, prefix=False):
    """GPT-2's: a leading space is part of a token, and every text can be spelled in bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=prefix), decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    return trained(tokenizer, trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=letters, show_progress=False))


def unigram(pieces=None):
    """SentencePiece's: a word begins with a mark for the space before it. Made of `pieces`, or of all words."""
    cut = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    words = {piece for text in texts() for piece, _ in cut.pre_tokenize_str(text)} if pieces is None else set(pieces)
    letters = {letter for text in texts() for letter in text} | {"▁"}
    scores = {**dict.fromkeys(sorted(letters - {" "}), -12.0), **dict.fromkeys(sorted(words), -8.0)}
    special = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0)]
    tokenizer = Tokenizer(models.Unigram([*special, *scores.items()], unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return tokenizer


def llama(trained_on=None):
    """Llama's: spaces become marks, no words are cut beforehand, unknown letters are spelled in bytes.

    trained_on: how texts are cut into the pieces that are trained on; words and marks where it is not given.
    """
    as_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    words = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    words.pre_tokenizer = trained_on or pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    )
    special = ["<unk>", "<s>", "</s>", *as_bytes]
    trained(words, trainers.BpeTrainer(vocab_size=2000, special_tokens=special, show_progress=False))
    words.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    words.pre_tokenizer = None
    words.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return with_template(words, "<s> $A")


def wordpiece(vocabulary=2000):
    """BERT's, without the tokens at both ends: lower case, and a later part of a word begins with ##."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    return trained(
        tokenizer, trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=special, show_progress=False)
    )


def wordlevel():
    """A token a word, and one for all other words."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<unk>", "<s>"]
    return trained(tokenizer, trainers.WordLevelTrainer(special_tokens=special, show_progress=False))


def with_template(tokenizer, template):
    """With tokens at the ends of every text."""
    special = [(word, tokenizer.token_to_id(word)) for word in template.split() if word != "$A"]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    return tokenizer


KINDS = {
    "byte-level BPE": bytes_bpe,
    "byte-level BPE with a space before the text": lambda: bytes_bpe(prefix=True),
    "byte-level BPE of few tokens": lambda: bytes_bpe(330),
    "unigram": unigram,
    "unigram of few tokens": lambda: unigram(["▁he", "▁she", "▁him", "▁her", "▁when", "amu", "el"]),
    "unigram with a beginning": lambda: with_template(unigram(), "<s> $A"),
    "Llama": llama,
    "WordPiece": wordpiece,
    "WordPiece of few tokens": lambda: wordpiece(200),
    "WordPiece with a beginning": lambda: with_template(wordpiece(), "[CLS] $A"),
    "WordLevel": wordlevel,
    "WordLevel with a beginning": lambda: with_template(wordlevel(), "<s> $A"),
}


@cache
def adapter(kind):
    return Adapter(KINDS[kind]())
