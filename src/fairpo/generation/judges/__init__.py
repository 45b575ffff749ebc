"""Judges: who says which of two completions is better by an attribute.

- :mod:`~fairpo.generation.judges.judge`: the interface, one method;
- :mod:`~fairpo.generation.judges.oracle`: functions that score a completion;
- :mod:`~fairpo.generation.judges.reward_model`: a sequence-classification model of transformers;
- :mod:`~fairpo.generation.judges.llm`: a chat model behind an OpenAI-compatible endpoint, with
  its question, endpoint, client and cache in files of their own;
- :mod:`~fairpo.generation.judges.human`: labels from a CSV.
"""
