import random

import numpy as np
import torch

from fairpo.training.random_state import same_random_state_after


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_generators_are_left_as_they_were():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    before = draws()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    with same_random_state_after():
        assert draws() == before
        draws()
    assert draws() == before
