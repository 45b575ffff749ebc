"""The Hugging Face door: ``FairPOTrainer`` and ``FairPOConfig``.

Importing it imports transformers.
"""

from fairpo._optional import require

require("transformers", extra="vision", purpose="the Hugging Face door")

from fairpo.hf.config import FairPOConfig as FairPOConfig  # noqa: E402
from fairpo.hf.trainer import FairPOTrainer as FairPOTrainer  # noqa: E402
