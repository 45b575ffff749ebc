import csv
import json

import numpy as np
import pytest

import fairpo
from fairpo.training import load
from fairpo.training.run import exact_logits
from tests import command

FAST = ["--set", "epochs=2", "--set", "reference_epochs=4", "--set", "hidden=[8]"]


def run(*arguments, code=0):
    result = command.fairpo(*arguments)
    assert result.returncode == code, result.stderr
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from tests.conftest import problem

    folder = tmp_path_factory.mktemp("cli")
    X, y = problem()
    path = folder / "small.npz"
    rows = np.arange(400)
    np.savez(
        path,
        X=X,
        Y=y,
        label_names=np.array(list("abcdef")),
        train_idx=rows[:300],
        test_idx=rows[300:],
    )
    result = run("train", path, "--out", folder / "run", "--json", *FAST)
    return folder, path, json.loads(result.stdout)


@pytest.mark.parametrize(
    "name",
    [
        "demo",
        "train",
        "evaluate",
        "check",
        "compare",
        "ablate",
        "partitions",
        "sweep",
        "predict",
        "methods",
        "embed",
    ],
)
def test_help(name):
    assert "--json" in run(name, "--help").stdout


@pytest.mark.parametrize(
    "name",
    [
        *("train", "evaluate", "check", "compare", "ablate", "partitions", "sweep"),
        *("reproduce", "predict", "embed"),
    ],
)
def test_every_command_can_be_told_how_its_data_are_read(name):
    text = run(name, "--help").stdout
    for option in ("--format", "--data-root", "--label-xml", "--data-option", "--fetch"):
        assert option in text


def test_version_and_methods():
    assert run("--version").stdout.strip() == fairpo.__version__
    assert "fairpo-cpo/no-constraint" in json.loads(run("methods", "--json").stdout)
    assert "Group DRO" in run("methods").stdout


def test_train_writes_a_run(trained):
    folder, _, metrics = trained
    names = {path.name for path in (folder / "run").iterdir()}
    assert names == {
        "config.yaml",
        "model.safetensors",
        "reference.safetensors",
        "decisions.safetensors",
        "labels.json",
        "metrics.json",
        "history.jsonl",
        "results.jsonl",
        "report.html",
        "checksums.json",
    }
    assert metrics == json.loads((folder / "run" / "metrics.json").read_text())
    assert [row["method"] for row in metrics["rows"]] == ["kernel-ridge"] * 2 + [
        "fairpo-crossfit"
    ] * 2
    history = (folder / "run" / "history.jsonl").read_text().splitlines()
    assert json.loads(history[0])["epoch"] == 1


def test_evaluate_gives_the_figures_of_training(trained):
    folder, path, metrics = trained
    result = json.loads(run("evaluate", folder / "run", "--json").stdout)
    cells = {row["method"]: row["cells"] for row in metrics["rows"] if row["epoch"] == "selected"}
    for key, cell in cells["fairpo-crossfit"].items():
        assert result["model"][key] == pytest.approx(cell["value"], abs=1e-6)
        assert result["reference"][key] == pytest.approx(
            cells["kernel-ridge"][key]["value"], abs=1e-6
        )
    assert (
        json.loads(run("evaluate", folder / "run", path, "--json").stdout)["model"]
        == result["model"]
    )
    assert "mAP, P" in run("evaluate", folder / "run").stdout
    loaded = load(folder / "run")
    with np.load(path) as arrays:
        X, y = (arrays[name][arrays["test_idx"]] for name in "XY")
    accuracy = (loaded.predict(X) == y).mean()
    assert result["model"]["label_accuracy"] == pytest.approx(accuracy)
    rule, logits = loaded.decisions.reference, exact_logits(loaded.reference, X)
    assert result["reference"]["label_accuracy"] == pytest.approx((rule.decide(logits) == y).mean())
    assert result["decisions"] == {"recalibration": "platt", "threshold": "0.5", "guard": 20.0}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_predict(trained, tmp_path, suffix):
    folder, path, _ = trained
    out = tmp_path / f"predictions.{suffix}"
    run("predict", folder / "run", path, "--out", out)
    with np.load(path) as arrays:
        expected = load(folder / "run").predict_proba(arrays["X"])
        decided = load(folder / "run").predict(arrays["X"])
    if suffix == "csv":
        rows = list(csv.DictReader(out.read_text().splitlines()))
        values = [[float(row[name]) for name in "abcdef"] for row in rows]
    elif suffix == "jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        values = [[row["probs"][name] for name in "abcdef"] for row in rows]
        for row, own in zip(rows, decided, strict=True):
            assert row["labels"] == [
                name for name, there in zip("abcdef", own, strict=True) if there
            ]
    else:
        import pyarrow.parquet as parquet

        table = parquet.read_table(out).to_pydict()
        rows, values = table["id"], list(zip(*(table[name] for name in "abcdef"), strict=True))
    assert len(rows) == 400
    assert np.array_equal(values, expected)
    assert "already exists" in run("predict", folder / "run", path, "--out", out, code=2).stderr


def test_predict_the_best_labels(trained, tmp_path):
    folder, path, _ = trained
    out = tmp_path / "best.csv"
    told = run("predict", folder / "run", path, "--out", out, "--top", 2)
    assert told.stdout == f"400 rows x the 2 best of 6 labels: {out}\n"
    with np.load(path) as arrays:
        expected = load(folder / "run").predict_proba(arrays["X"])
    rows = list(csv.reader(out.read_text().splitlines()))
    assert rows[0] == ["id", "label_1", "probability_1", "label_2", "probability_2"]
    order = np.argsort(-expected, axis=1, kind="stable")
    assert [row[1] + row[3] for row in rows[1:]] == [
        "abcdef"[a] + "abcdef"[b] for a, b, *_ in order
    ]
    assert [float(row[2]) for row in rows[1:]] == expected.max(axis=1).tolist()
    other = tmp_path / "other.csv"
    refused = run("predict", folder / "run", path, "--out", other, "--top", 7, code=2)
    assert "--top must be at most 6, the labels of the run, got 7" in refused.stderr
    assert not other.exists()


def test_settings_of_decisions_are_set_by_name():
    from fairpo.cli.options import make_plan
    from fairpo.experiments.plan import Plan

    told = ["threshold=cost:5", "recalibration=isotonic", "guard=3", "beta=0.5", "epochs=7"]
    plan = make_plan(Plan, told, "default", data="digits", methods=("fairpo-dpo",))
    assert plan.decisions.rule == ("cost", 5.0)
    assert (plan.decisions.recalibration, plan.decisions.guard) == ("isotonic", 3.0)
    assert plan.options == {"beta": 0.5} and plan.training.epochs == 7


def test_compare(trained, tmp_path):
    _, path, _ = trained
    out = tmp_path / "comparison"
    arguments = [
        "compare",
        path,
        "--methods",
        "bce,bce-reweighted,fairpo-dpo/no-constraint",
        "--seeds",
        2,
        "--out",
        out,
        "--jobs",
        1,
        *FAST,
    ]
    result = run(*arguments)
    assert "bce-reweighted" in result.stdout and "back" in result.stdout
    assert len((out / "results.jsonl").read_text().splitlines()) == 6
    shown = run(*arguments)
    assert "holds these results already" in shown.stderr
    assert shown.stdout == result.stdout
    assert "holds another study" in run(*arguments, "--preset", "paper-v2", code=2).stderr
    again = json.loads(run(*arguments, "--overwrite", "--json").stdout)
    assert again["rows"] == json.loads((out / "metrics.json").read_text())["rows"]
    assert len((out / "results.jsonl").read_text().splitlines()) == 6


def test_compare_leaves_out_what_a_per_label_head_cannot_hold(npz, tmp_path):
    words = ("compare", npz, "--set", "kind=per-label", "--privileged", "h")
    failed = run(*words, "--out", tmp_path / "out", code=2)
    note = "note: without kernel-ridge and fairpo-crossfit, which a per-label head cannot hold."
    assert note in failed.stderr
    assert "label 'h' is not among the 6 label names" in failed.stderr


def test_scores_as_reference(trained, tmp_path):
    folder, path, _ = trained
    with np.load(path) as arrays:
        scores = load(folder / "run").predict_logits(arrays["X"])
    np.save(tmp_path / "scores.npy", scores)
    out = tmp_path / "residual"
    run(
        "train",
        path,
        "--method",
        "bce-continued",
        "--reference",
        tmp_path / "scores.npy",
        "--out",
        out,
        *FAST,
    )
    assert load(out).config.residual
    result = json.loads(run("evaluate", out, "--json").stdout)
    assert result["reference"]["map"] > 0
    message = run("predict", out, path, "--out", tmp_path / "p.csv", code=2).stderr
    assert "reference scores must be given: this run is a residual" in message
    run("predict", out, path, "--out", tmp_path / "p.csv", "--reference", tmp_path / "scores.npy")
    words = ["--reference", tmp_path / "scores.npy", "--reference-kind", "x"]
    message = run("evaluate", out, *words, code=2).stderr
    assert "--reference-kind must be logits or probs, got 'x'" in message
    np.save(tmp_path / "wrong.npy", scores[:, :2])
    message = run(
        "train", path, "--reference", tmp_path / "wrong.npy", "--out", tmp_path / "x", code=2
    ).stderr
    assert "reference scores must have shape (400, 6)" in message
    assert not (tmp_path / "x").exists()


def test_scores_that_would_not_be_looked_at_are_refused(trained, tmp_path):
    folder, path, _ = trained
    one = folder / "run"
    np.save(tmp_path / "scores.npy", np.zeros((400, 6)))
    np.save(tmp_path / "few.npy", np.zeros((5, 6)))
    some = ["--reference", tmp_path / "scores.npy"]
    for name in ("check", "evaluate"):
        assert "must come with other DATA" in run(name, one, *some, code=2).stderr
        assert "must be left out" in run(name, one, path, *some, code=2).stderr
        message = run(name, one, path, "--reference", one, code=2).stderr
        assert "is a folder, not an .npy file of scores" in message
    out = tmp_path / "p.csv"
    assert "must be left out" in run("predict", one, path, "--out", out, *some, code=2).stderr
    residual = tmp_path / "residual"
    run("train", path, "--method", "bce-continued", *some, "--out", residual, *FAST)
    for name, *more in (["check"], ["evaluate"], ["predict", "--out", out]):
        words = [name, residual, path, *more, "--reference", tmp_path / "few.npy"]
        assert "must have shape (400, 6)" in run(*words, code=2).stderr


def test_a_run_as_reference(trained, tmp_path):
    folder, path, metrics = trained
    out = tmp_path / "second"
    run(
        "train",
        path,
        "--method",
        "bce-reweighted",
        "--reference",
        folder / "run",
        "--out",
        out,
        *FAST,
    )
    second = json.loads((out / "metrics.json").read_text())
    start, model = second["rows"][0]["cells"], metrics["rows"][2]["cells"]
    assert start["map/privileged"]["value"] == pytest.approx(model["map/privileged"]["value"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "{data}", "--method", "fairpo-dbo"],
            "error: method 'fairpo-dbo' is not among the 26",
        ),
        (["train", "{data}", "--set", "betta=1"], "setting 'betta' is not among"),
        (["train", "{data}", "--set", "epoch=1"], "Did you mean 'epochs'"),
        (["train", "{data}", "--set", "beta"], "--set must be NAME=VALUE, got 'beta'"),
        (
            ["train", "{data}", "--privileged", "rarest:0%"],
            "the privileged labels must be rarest:F",
        ),
        (
            ["train", "{data}", "--privileged", "zebra"],
            "label 'zebra' is not among the 6 label names",
        ),
        (["train", "none.npz"], "none.npz: does not exist"),
        (
            ["reproduce", "rare-labels", ".", "--seeds", "3", "--fetch"],
            "rare-labels must stand without options of the other benchmarks, got --seeds, --fetch",
        ),
        (
            ["reproduce", "other", "{data}", "--design"],
            "other must stand without options of the other benchmarks, got --design",
        ),
        (
            ["train", "{data}", "--reference", "none.npy"],
            "none.npy: is not a run folder or an .npy",
        ),
        (
            ["train", "{data}", "--reference-kind", "x", "--reference", "a.npy"],
            "Plan.reference_kind must be 'logits' or 'probs', got 'x'",
        ),
    ],
)
def test_mistakes_are_one_message_and_leave_nothing(trained, tmp_path, arguments, message):
    _, path, _ = trained
    arguments = [str(path) if text == "{data}" else text for text in arguments]
    result = run(*arguments, "--out", tmp_path / "out", code=2)
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_never_replaced(trained, tmp_path):
    _, path, _ = trained
    (tmp_path / "letter.txt").write_text("dear")
    message = run("train", path, "--out", tmp_path, "--overwrite", code=2).stderr
    assert "is not empty and does not hold a run" in message
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_data_is_recognised_said_and_overruled(trained, tmp_path):
    folder, path, _ = trained
    result = run("data", "inspect", path, "--json")
    assert "small: arrays in an .npz file" in result.stderr
    found = json.loads(result.stdout)
    assert found["rows"] == {"train": 240, "test": 100, "validation": 60}
    wrong = run("data", "inspect", path, "--format", "arff", code=2)
    assert "small.npz" in wrong.stderr
    unknown = run("data", "inspect", path, "--format", "arf", code=2)
    assert "format 'arf' is not among the 11 formats. Did you mean 'arff'?" in unknown.stderr
    typo = run("train", path, "--out", tmp_path / "r", "--data-option", "label=x", code=2)
    assert "option 'label' is not among" in typo.stderr and "'labels'" in typo.stderr
    below = run("data", "inspect", path.name, "--data-root", folder, "--json")
    assert json.loads(below.stdout)["n_labels"] == 6


def test_a_run_remembers_how_its_data_were_read(tmp_path):
    rows = ["x1;x2;is_a;is_b"]
    rng = np.random.default_rng(0)
    for values in rng.normal(size=(80, 2)):
        rows.append(f"{values[0]};{values[1]};{int(values[0] > 0)};{int(values[1] > 1)}")
    (tmp_path / "t.csv").write_text("\n".join(rows).replace(";", ","))
    told = ["--data-option", "labels=is_*", "--data-option", "test_fraction=0.3"]
    run("train", tmp_path / "t.csv", "--out", tmp_path / "run", "--method", "bce", *told, *FAST)
    assert json.loads(run("evaluate", tmp_path / "run", "--json").stdout)["n_rows"] == 24
    one = tmp_path / "one.csv"
    one.write_text("is_a,x2,x1\n1,0.5,1\n")  # a labelled row, in another order
    run("predict", tmp_path / "run", one, "--out", tmp_path / "one.jsonl")
    new = tmp_path / "new.csv"
    new.write_text("x1,x2\n0.5,1\n-1,2\n")
    run("predict", tmp_path / "run", new, "--out", tmp_path / "p.csv")
    with (tmp_path / "p.csv").open() as stream:
        assert [row["id"] for row in csv.DictReader(stream)] == ["0", "1"]


def test_items_without_a_backbone_are_refused_with_the_command_that_helps(tmp_path):
    (tmp_path / "t.csv").write_text("text,labels\n" + "hello,a\nworld,b\n" * 10)
    result = run("train", tmp_path / "t.csv", "--out", tmp_path / "run", code=2)
    assert "must hold features, got 20 texts. Embed them first, `fairpo embed" in result.stderr
    assert not (tmp_path / "run").exists()


def test_embed_prints_json_and_refuses_the_network(tmp_path):
    (tmp_path / "t.csv").write_text("text,labels\n" + "hello,a\nworld,b\n" * 10)
    result = run("embed", tmp_path / "t.csv", "--out", tmp_path / "s", code=2)
    assert "all-MiniLM-L6-v2: is neither a folder nor in the local cache" in result.stderr
    assert "--fetch" in result.stderr
    assert not (tmp_path / "s").exists()


def test_only_the_named_part_is_predicted_and_only_what_could_be_read(tmp_path):
    rng = np.random.default_rng(0)
    for part, rows in (("train", 60), ("test", 7)):
        lines = [
            f"{int(a > 0) + 2 * int(b > 0)} 1:{a:.4f} 2:{b:.4f}"
            for a, b in rng.normal(size=(rows, 2))
        ]
        (tmp_path / f"{part}.svm").write_text("\n".join(lines) + "\n")
    run("train", tmp_path / "train.svm", "--method", "bce", "--out", tmp_path / "run", *FAST)
    (tmp_path / "test.svm").write_text("1 1:0.5\n\n2 1:-0.25\n")  # no feature 2
    result = run(
        "predict",
        tmp_path / "run",
        tmp_path / "test.svm",
        "--out",
        tmp_path / "new/p.csv",
        "--json",
    )
    assert json.loads(result.stdout)["rows"] == 2


def test_options_that_do_not_concern_the_data_are_told(trained, tmp_path):
    _, path, _ = trained
    result = run("data", "inspect", path, "--data-option", "year=2017", "--json")
    assert "the options year do not concern this kind of data" in result.stderr


def test_several_groups_come_from_a_file(trained, tmp_path):
    _, path, _ = trained
    written = tmp_path / "groups.yaml"
    written.write_text(
        "tail: {improve: 'rarest:30%'}\nours: {improve: 'a,b'}\nrest: {protect: others}\n"
    )
    out = tmp_path / "run"
    result = run("train", path, "--privileged", f"@{written}", "--out", out, "--json", *FAST)
    metrics = json.loads(result.stdout)
    assert [group["name"] for group in metrics["groups"]] == ["tail", "ours", "rest"]
    assert {"map/tail", "map/ours", "map/rest"} <= set(metrics["rows"][0]["cells"])
    assert load(out).groups.names == ("tail", "ours", "rest")
    found = json.loads(run("evaluate", out, "--json").stdout)
    assert found["model"]["map/tail"] is not None
    assert "tail" in (out / "report.html").read_text()
