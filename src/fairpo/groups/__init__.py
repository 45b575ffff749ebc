"""Named sets of labels: which ones a training improves and which ones it protects.

- :mod:`~fairpo.groups.label_groups`: groups over a label space, privileged labels against all
  others.
- :mod:`~fairpo.groups.rules`: how they are written, such as ``rarest:20%``.
"""

from fairpo.groups.label_groups import ALL as ALL
from fairpo.groups.label_groups import NON_PRIVILEGED as NON_PRIVILEGED
from fairpo.groups.label_groups import PRIVILEGED as PRIVILEGED
from fairpo.groups.label_groups import RESERVED as RESERVED
from fairpo.groups.label_groups import LabelGroup as LabelGroup
from fairpo.groups.label_groups import LabelGroups as LabelGroups
from fairpo.groups.label_groups import LabelPartition as LabelPartition
from fairpo.groups.label_groups import label_indices as label_indices
from fairpo.groups.rules import PrivilegedRule as PrivilegedRule
from fairpo.groups.rules import parse_privileged as parse_privileged
