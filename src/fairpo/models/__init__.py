"""What is trained and what stays frozen.

- :mod:`~fairpo.models.head`: heads from features to logits.
- :mod:`~fairpo.models.digits_backbone`: frozen networks from images to features.
- :mod:`~fairpo.models.checkpoint`: weights on disk.
"""

from fairpo.models.head import HeadSettings as HeadSettings
from fairpo.models.head import Policy as Policy
