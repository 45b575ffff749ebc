"""Random numbers by position, against SplitMix64 in Python's integers."""

import torch

from fairpo._random import random_bits, random_keep

WORD = 2**64


def split_mix(bits):
    bits = (bits + 0x9E3779B97F4A7C15) % WORD
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) % WORD
    return bits ^ (bits >> 31)


def test_bits_are_those_of_split_mix():
    # The first output of the published generator seeded with 0, less its top bit.
    assert int(random_bits(0)) == 0xE220A8397B1DCDAF % 2**63
    for keys in ([5], [5, 0], [0, 5], [2**62, 3, 2**63 - 1]):
        bits = 0
        for key in keys:
            bits = split_mix((bits + key) % WORD)
        assert int(random_bits(*keys)) == bits % 2**63


def test_a_number_depends_on_its_own_position_only():
    rows, columns = torch.arange(9).unsqueeze(1), torch.arange(7)
    whole = random_bits(3, rows, columns)
    assert torch.equal(random_bits(3, rows[4:], columns[2:]), whole[4:, 2:])
    assert whole.unique().numel() == whole.numel()
    assert not torch.equal(whole, random_bits(4, rows, columns))


def test_the_share_is_kept_in_every_row_and_column():
    kept = random_keep(0.7, 11, torch.arange(2000).unsqueeze(1), torch.arange(2000)).double()
    for share in (kept.mean(0), kept.mean(1)):
        # Standard deviation of a mean of 2000: 0.0102; the largest of 2000 lies near 3.5 of them.
        assert (share - 0.7).abs().max() < 0.055
        assert abs(float(share.std()) - 0.0102) < 0.001
    neighbours = (kept[1:] * kept[:-1]).mean(), (kept[:, 1:] * kept[:, :-1]).mean()
    assert all(abs(float(both) - 0.49) < 0.002 for both in neighbours)


def test_all_or_nothing():
    rows = torch.arange(1000)
    assert random_keep(1.0, 3, rows).all()
    assert random_keep(1 - 1e-17, 3, rows).all()
    assert not random_keep(0.0, 3, rows).any()
