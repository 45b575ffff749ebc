import pytest
import torch

from fairpo.models.kernel_ridge import KernelRidge, gaussian_kernel


def drawn(n_rows, seed=0):
    return torch.randn(n_rows, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [0.0, 300.0, 1e5, 1e9])
def test_distances_do_not_cancel_far_from_the_centre(dtype, offset):
    rows, landmarks = drawn(20), drawn(30, seed=1)
    rows[::2, 0] += offset
    landmarks[::3, 0] += offset
    width = torch.tensor(2.0)
    apart = rows.double().unsqueeze(1) - landmarks.double()
    expected = (-(apart**2).sum(2) / 4).exp()
    found = gaussian_kernel(rows.to(dtype), landmarks.to(dtype), width)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


def test_a_row_has_the_same_bumps_beside_any_other_rows():
    rows, landmarks = drawn(8), drawn(30, seed=1)
    rows[3, 0] = 1e5
    whole = gaussian_kernel(rows, landmarks, torch.tensor(2.0))
    part = gaussian_kernel(rows[4:], landmarks, torch.tensor(2.0))
    torch.testing.assert_close(part, whole[4:], rtol=0, atol=1e-6)


def test_large_coefficients_that_cancel_leave_the_sum_exact():
    model = KernelRidge(6, 1, 2000)
    model.landmarks.copy_(drawn(1, seed=1).expand(2000, 6))
    model.coefficients[::2] = 1e4
    model.coefficients[1::2] = -1e4 + 2**-6
    rows = drawn(50)
    with torch.no_grad():
        found, some = model(rows), model.logits_at(rows, torch.tensor([0]))
        exact = model.double()(rows.double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=0)
    assert torch.equal(some, found)
