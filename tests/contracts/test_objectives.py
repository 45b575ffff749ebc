"""Every method of the catalogue, under both presets, keeps the contract of objectives."""

import pytest

from fairpo.objectives import make_objective, method_names
from fairpo.testing import ObjectiveContract
from tests.objectives.scenes import objective


@pytest.mark.parametrize("preset", ["paper-v1", "paper-v2"])
@pytest.mark.parametrize("name", method_names())
@pytest.mark.parametrize(
    "test", [name for name in vars(ObjectiveContract) if name.startswith("test_")]
)
def test_contract(name, preset, test):
    class Contract(ObjectiveContract):
        permutation_exact = preset == "paper-v1"

        def make_objective(self, groups):
            return objective(name, groups, preset)

        def make_permuted(self, groups, order):
            return objective(name, groups, preset, order.numpy())

    getattr(Contract(), test)()


def test_a_broken_objective_is_caught():
    class Broken(ObjectiveContract):
        def make_objective(self, groups):
            objective = make_objective("bce", groups)
            forward = objective.forward
            objective.forward = lambda z, y, r: forward(z, y.clamp_min(0), r)
            return objective

    with pytest.raises(AssertionError):
        Broken().test_missing_entries_have_no_gradient()
