"""What each part of a run costs as examples, labels and embedding width grow, with a picture.

One torch thread. A head d-256-L under FairPO-DPO, batch 256; where one number grows the others
stay at 20,000 examples, 80 labels, width 768. Examples are read memory-mapped from a store on disk.
Sampled: 1,000 labels drawn a step. Evaluation: metrics of the whole set, and 1,000 resamples for
the intervals of two models.

Run: python benchmarks/scaling.py [PICTURE.png]
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import altair as alt
import numpy as np
import torch
from scipy import sparse

from fairpo import LabelFrame, MultiLabelData, load_data
from fairpo.data.embed import embed_data
from fairpo.data.items import Texts
from fairpo.groups import LabelPartition
from fairpo.metrics import bootstrap_metrics
from fairpo.models.backbone import ModuleBackbone
from fairpo.models.head import HeadSettings, Policy
from fairpo.objectives import make_objective
from fairpo.training.optimizer import LazyAdam
from fairpo.training.reference_scores import HeadScores
from fairpo.training.rows import TrainingRows
from fairpo.training.settings import TrainingSettings
from fairpo.training.step import Stepper

N_EXAMPLES, N_LABELS, WIDTH, BATCH, N_DRAWN = 20_000, 80, 768, 256, 1000
EXAMPLES = (10_000, 20_000, 40_000, 80_000, 160_000)
LABELS = (80, 320, 1_280, 5_120, 20_480)
SAMPLED = (1_280, 5_120, 20_480, 81_920)
WIDTHS = (192, 384, 768, 1_536, 3_072)
ROWS = (5_000, 10_000, 20_000, 40_000)


class Random(torch.nn.Module):
    """Embeddings drawn by a seed."""

    def forward(self, seeds):
        """Draw a batch."""
        generator = torch.Generator().manual_seed(int(seeds[0]))
        return torch.randn(len(seeds), WIDTH, generator=generator)


def numbers(texts):
    return torch.tensor([float(text) for text in texts])


def make_store(folder, n_examples):
    rows = np.arange(n_examples)
    data = MultiLabelData(
        np.empty((n_examples, 0), dtype=np.float32),
        targets(n_examples, N_LABELS),
        tuple(map(str, range(N_LABELS))),
        {"train": rows[:-2], "validation": rows[-2:-1], "test": rows[-1:]},
        items=Texts([str(row) for row in rows]),
    )
    embed_data(data, ModuleBackbone(Random(), numbers, WIDTH, kind="text"), folder, batch_size=1024)
    return load_data(folder)


def targets(n_examples, n_labels, n_positives=3):
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(n_examples), n_positives)
    labels = rng.integers(0, n_labels, len(rows))
    built = sparse.csr_array((np.ones(len(rows), np.int8), (rows, labels)), (n_examples, n_labels))
    built.data[:] = 1
    return built.toarray() if n_labels <= 5_120 else built


def anonymous_megabytes():
    """Memory of this process that is not a file's (RssAnon): what a store must not add to."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def step_milliseconds(features, wanted, method="fairpo-dpo", sampled=0, steps=40):
    """Median of a step over steps of random rows, the first quarter left out."""
    n_examples, width = features.shape
    n_labels = wanted.shape[1]
    torch.manual_seed(0)
    policy = Policy(width, n_labels, HeadSettings(hidden=(256,))).train()
    groups = LabelPartition.from_indices(range(n_labels // 5), n_labels)
    options = {} if method == "bce" else {"reduction": "positives"}
    settings = TrainingSettings(device="cpu", sampled_labels=sampled)
    if sampled:
        optimizer = LazyAdam(policy, 1e-3)
    else:
        optimizer = torch.optim.AdamW(policy.parameters(), fused=True)
    known = None if method == "bce" else HeadScores(policy, features)
    if known is not None and n_examples * n_labels < 10**8:
        known = known[:]
    rows = TrainingRows(features, wanted, np.arange(n_examples), known)
    stepper = Stepper(policy, make_objective(method, groups, **options), optimizer, rows, settings)
    rng = np.random.default_rng(0)
    times = []
    for number in range(steps):
        positions = rng.integers(0, n_examples, BATCH)
        start = time.perf_counter()
        stepper.step(number, positions, 1e-4)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[steps // 4 :])


def epochs_from_stores(found):
    for n_examples in EXAMPLES:
        with tempfile.TemporaryDirectory() as folder:
            data = make_store(Path(folder) / "store", n_examples)
            milliseconds = step_milliseconds(data.features, data.targets, steps=80)
            seconds = milliseconds * n_examples / BATCH / 1e3
            print(
                f"  {n_examples:<9,}         {milliseconds:.1f} ms a step, {seconds:.1f} s an "
                f"epoch, store {n_examples * WIDTH * 4 / 2**20:,.0f} MB, "
                f"RssAnon {anonymous_megabytes():,.0f} MB"
            )
            found.append(("epoch, s", "examples", "FairPO-DPO", n_examples, seconds))


def steps_of_labels(found):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((N_EXAMPLES, WIDTH), dtype=np.float32)
    for n_labels in sorted({*LABELS, *SAMPLED}):
        wanted = targets(N_EXAMPLES, n_labels)
        shown = []
        for name, method, sampled, sizes in (
            ("cross-entropy", "bce", 0, LABELS),
            ("FairPO-DPO", "fairpo-dpo", 0, LABELS),
            ("FairPO-DPO, sampled", "fairpo-dpo", N_DRAWN, SAMPLED),
        ):
            if n_labels not in sizes:
                continue
            steps = 40 if n_labels <= 1_280 or sampled else 12
            milliseconds = step_milliseconds(features, wanted, method, sampled, steps)
            shown.append(f"{name} {milliseconds:.1f} ms")
            found.append(("step, ms", "labels", name, n_labels, milliseconds))
        print(f"  {n_labels:<9,}         {', '.join(shown)}")


def steps_of_widths(found):
    rng = np.random.default_rng(0)
    wanted = targets(N_EXAMPLES, N_LABELS)
    for width in WIDTHS:
        features = rng.standard_normal((N_EXAMPLES, width), dtype=np.float32)
        shown = []
        for name, method in (("cross-entropy", "bce"), ("FairPO-DPO", "fairpo-dpo")):
            milliseconds = step_milliseconds(features, wanted, method, steps=80)
            shown.append(f"{name} {milliseconds:.1f} ms")
            found.append(("step, ms", "embedding width", name, width, milliseconds))
        print(f"  {width:<9,}         {', '.join(shown)}")


def evaluations(found):
    rng = np.random.default_rng(0)
    groups = LabelPartition.from_indices(range(16), N_LABELS).as_mapping()
    for n_rows in ROWS:
        wanted = targets(n_rows, N_LABELS)
        logits = [rng.normal(size=wanted.shape).astype(np.float32) for _ in range(2)]
        start = time.perf_counter()
        LabelFrame.from_scores(logits[0], wanted, groups)
        metrics = time.perf_counter() - start
        start = time.perf_counter()
        bootstrap_metrics(logits, wanted, groups)
        intervals = time.perf_counter() - start
        print(f"  {n_rows:<9,}         metrics {metrics:.2f} s, intervals {intervals:.1f} s")
        found.append(("evaluation, s", "test rows", "metrics", n_rows, metrics))
        found.append(("evaluation, s", "test rows", "intervals", n_rows, intervals))


def picture(found):
    """Four panels, both axes logarithmic: a slope of 1 is cost in proportion."""
    panels = []
    for cost, grows in dict.fromkeys((row[0], row[1]) for row in found):
        rows = [
            {"what": what, "x": x, "y": y} for c, g, what, x, y in found if (c, g) == (cost, grows)
        ]
        axis = alt.Axis(format="~s")
        lines = (
            alt.Chart(alt.Data(values=rows), title=f"{cost}", width=300, height=210)
            .mark_line(point=True)
            .encode(
                alt.X("x:Q", title=grows, scale=alt.Scale(type="log", nice=False), axis=axis),
                alt.Y("y:Q", title=cost, scale=alt.Scale(type="log")),
                alt.Color("what:N", title=None, legend=alt.Legend(orient="bottom")),
                alt.StrokeDash("what:N", legend=None),
            )
        )
        panels.append(lines)
    return alt.vconcat(alt.hconcat(*panels[:2]), alt.hconcat(*panels[2:]))


def main():
    torch.set_num_threads(1)
    found = []
    for title, measure in (
        ("examples            from a store of embeddings", epochs_from_stores),
        ("labels", steps_of_labels),
        ("embedding width", steps_of_widths),
        ("test rows           two models, 1,000 resamples", evaluations),
    ):
        print(title)
        measure(found)
    if sys.argv[1:]:
        picture(found).save(sys.argv[1], scale_factor=2)


if __name__ == "__main__":
    main()
