"""Ways to say which labels matter: a rule, names, the reference's weak spots.

Run: python examples/02_privileged_labels_by_rule.py
"""

import numpy as np

from fairpo import LabelPartition, load_data
from fairpo.groups import parse_privileged

data = load_data("digits")
targets = data.targets_of(data.rows("train"))  # (rows, labels)

rarest = LabelPartition.rarest(targets, 0.2)
named = LabelPartition.from_names(["red 7", "blue 1"], data.label_names)
by_text = parse_privileged("rarest:10%").resolve(targets, data.label_names)
weak = LabelPartition.worst(np.linspace(1, 0, data.n_labels), k=3)  # any AP vector, (labels,)

for how, groups in (("rarest", rarest), ("named", named), ("text", by_text), ("worst", weak)):
    print(f"{how:7}", ", ".join(data.label_names[index] for index in groups.privileged))
