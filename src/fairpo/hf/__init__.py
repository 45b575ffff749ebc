"""The Hugging Face door: ``FairPOTrainer`` and ``FairPOConfig``.

Importing it imports transformers.
"""

from fairpo.hf.config import FairPOConfig as FairPOConfig
from fairpo.hf.trainer import FairPOTrainer as FairPOTrainer
