import io

import pytest

from fairpo.experiments import ledger as ledgers
from fairpo.experiments.ledger import Ledger


@pytest.mark.parametrize("block", [1, 3, 2**16])
@pytest.mark.parametrize("torn", ["", '{"key": "cut of', "x"])
def test_a_record_is_added_after_the_last_whole_line(tmp_path, monkeypatch, block, torn):
    monkeypatch.setattr(ledgers, "_BLOCK", block)
    ledger = Ledger(tmp_path)
    path = tmp_path / "results.jsonl"
    records = []
    for number in range(3):
        with path.open("a") as stream:
            stream.write(torn)
        records.append({"key": str(number)})
        ledger.append(records[-1])
        assert ledger.records() == records


def test_the_last_line_is_found_without_reading_the_others(tmp_path):
    class Counting(io.BytesIO):
        n_read = 0

        def read(self, size):
            self.n_read += size
            return super().read(size)

    stream = Counting(b'{"key": "0"}\n' * 100_000 + b"cut of")
    assert ledgers._whole_lines(stream) == 1_300_000
    assert stream.n_read <= ledgers._BLOCK
