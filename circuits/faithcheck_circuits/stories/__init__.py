"""Short children's stories from a seeded grammar, and the word tokenizer that covers them."""

from faithcheck_circuits.stories.grammar import stories, story, story_tokens, vocabulary
from faithcheck_circuits.stories.tokenizer import END, WordTokenizer

__all__ = ["END", "WordTokenizer", "stories", "story", "story_tokens", "vocabulary"]
