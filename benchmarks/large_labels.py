"""Load 100,000 rows x 100,000 labels (wanted: under 4 GB); split 100,000 x 100 (under 10 s).

Five labels a row, from an ``.npz`` file and from svmlight.

Run: python benchmarks/large_labels.py
"""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import sparse

from fairpo import load_data
from fairpo.data import stratified_split

N_ROWS = 100_000
N_LABELS = 100_000


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_svmlight(path, rng):
    """Lines as the extreme classification repository has them, 20 features a row."""
    labels = np.minimum(rng.zipf(1.3, (N_ROWS, 5)) - 1, N_LABELS - 1)
    columns = np.sort(rng.integers(50_000, size=(N_ROWS, 20)))
    with path.open("w") as stream:
        stream.write(f"{N_ROWS} 50000 {N_LABELS}\n")
        for row in range(N_ROWS):
            names = ",".join(map(str, sorted({int(label) for label in labels[row]})))
            features = {int(column): 0.5 for column in columns[row]}
            stream.write(names + " " + " ".join(f"{k}:{v}" for k, v in features.items()) + "\n")


def write_npz(path, rng):
    indices = np.minimum(rng.zipf(1.3, (N_ROWS, 5)) - 1, N_LABELS - 1).ravel()
    indptr = np.arange(0, 5 * N_ROWS + 1, 5)
    Y = sparse.csr_array((np.ones(len(indices)), indices, indptr), shape=(N_ROWS, N_LABELS))
    Y.sum_duplicates()
    Y.data[:] = 1
    parts = {"data": Y.data, "indices": Y.indices, "indptr": Y.indptr, "shape": Y.shape}
    X = rng.standard_normal((N_ROWS, 64), dtype=np.float32)
    np.savez(path, X=X, **{f"Y_{name}": value for name, value in parts.items()})


def main():
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        for write, file in ((write_npz, "wide.npz"), (write_svmlight, "wide.svm")):
            path = Path(name) / file
            write(path, rng)
            start = time.perf_counter()
            data = load_data(path)
            seconds = time.perf_counter() - start
            assert sparse.issparse(data.targets)
            print(f"{file:19} {data.n_rows:,} x {data.n_labels:,} in {seconds:.1f} s", end="")
            print(f", peak of the process {peak():.0f} MB")
            del data
    targets = (rng.random((N_ROWS, 100)) < np.geomspace(3e-5, 0.3, 100)).astype(np.int8)
    start = time.perf_counter()
    first, second = stratified_split(targets, np.arange(N_ROWS), 0.2)
    seconds = time.perf_counter() - start
    counts = np.stack([targets[rows].sum(0, dtype=np.int64) for rows in (first, second)])
    apart = int(((counts.sum(0) >= 2) & (counts.min(0) == 0)).sum())
    print(f"split 100,000 x 100 {seconds:.2f} s; {apart} labels of two positives on one side only")
    print(f"                    rarest labels {counts[:, :4].T.tolist()}")


if __name__ == "__main__":
    main()
