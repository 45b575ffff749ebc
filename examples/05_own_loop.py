"""The objective in a loop of your own: logits in, loss out.

Run: python examples/05_own_loop.py
"""

import torch

from fairpo import LabelPartition, make_objective

torch.manual_seed(0)
features = torch.randn(512, 32)  # (rows, features)
targets = (torch.randn(512, 10) > 1.2).float()  # (rows, labels); -1 or NaN would be missing
reference = torch.nn.Linear(32, 10)
policy = torch.nn.Linear(32, 10)
policy.load_state_dict(reference.state_dict())
with torch.no_grad():
    reference_logits = reference(features)  # once

groups = LabelPartition.from_indices([0, 3], n_labels=10)
objective = make_objective("fairpo-dpo", groups, beta=0.5)
optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2)
for step in range(30):
    loss, group_losses, group_weights, diagnostics = objective(
        policy(features), targets, reference_logits
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 9:
        print(
            f"step {step + 1}: losses {[round(v, 3) for v in group_losses.tolist()]}, "
            f"weights {[round(v, 3) for v in group_weights.tolist()]}, "
            f"pairs {int(diagnostics.n_pairs)}"
        )
