"""``fairpo report``: from files alone, without torch."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from fairpo._checks import FairPOFileError
from fairpo.cli import app
from fairpo.models.checkpoint import verify_checksums, write_checksums
from tests.report.examples import EVIL, example, study_of, sweep_of, with_evidence
from tests.report.language_examples import compared, write_folder

runner = CliRunner()


def folder_of(metrics, path):
    (path / "metrics.json").write_text(json.dumps(metrics))
    return path


def without_torch(*arguments):
    """Run the command line where torch cannot be imported."""
    code = "import sys; sys.modules['torch'] = None; from fairpo.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


@pytest.mark.parametrize(
    "metrics",
    [with_evidence(example()), {**study_of(["rarest:10%", "worst:5"]), "sweep": sweep_of()}],
    ids=["comparison", "study"],
)
def test_every_format_is_made_without_torch(tmp_path, metrics):
    folder = folder_of(metrics, tmp_path)
    made = [without_torch("report", folder, "--format", kind) for kind in ("html", "markdown")]
    made.append(without_torch("report", folder, "--format", "svg"))
    assert [run.returncode for run in made] == [0, 0, 0], made[0].stderr + made[2].stderr
    assert made[0].stdout.strip() == str(folder / "report.html")
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert (folder / "report.md").read_text().startswith("# example")
    paths = made[2].stdout.split()
    assert {path.name for path in (folder / "figures").iterdir()} == {
        os.path.basename(path) for path in paths
    }
    for path in paths:
        with open(path) as file:
            assert file.read().startswith("<svg")


def test_a_comparison_of_language_models_without_torch(tmp_path):
    folder = write_folder(compared(), tmp_path / "cmp")
    for kind in ("html", "markdown", "svg"):
        found = without_torch("report", folder, "--format", kind)
        assert found.returncode == 0, found.stderr
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert (folder / "report.md").read_text().startswith("# verses: sft, dpo, fairpo-dpo")
    assert len(list((folder / "figures").iterdir())) == 9


def test_png_and_another_place(tmp_path):
    metrics = example()
    metrics["trace"] = []
    folder = folder_of(metrics, tmp_path)
    out = tmp_path / "elsewhere" / "pictures"
    result = runner.invoke(app, ["report", str(folder), "--format", "png", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["labels.png", "trade-off.png"]
    assert (out / "labels.png").read_bytes().startswith(b"\x89PNG")
    page = tmp_path / "page.html"
    assert runner.invoke(app, ["report", str(folder), "--out", str(page)]).exit_code == 0
    assert page.is_file()
    assert not (folder / "report.html").exists()


def test_a_report_made_again_leaves_the_seal_whole(tmp_path):
    folder = folder_of(example(), tmp_path)
    (folder / "report.html").write_text("old")
    write_checksums(folder)
    assert runner.invoke(app, ["report", str(folder)]).exit_code == 0
    verify_checksums(folder)
    (folder / "metrics.json").write_text("{}")
    with pytest.raises(FairPOFileError, match=r"metrics\.json: is truncated or was altered"):
        verify_checksums(folder)


def test_a_folder_without_figures_is_a_file_error(tmp_path):
    for kind in ("html", "markdown", "svg"):
        found = without_torch("report", tmp_path, "--format", kind)
        assert found.returncode == 2
        assert "metrics.json: cannot be read" in found.stderr


@pytest.mark.parametrize("kind", ["html", "markdown", "svg"])
def test_a_place_that_cannot_be_written_is_a_file_error(tmp_path, kind):
    folder = folder_of(example(), tmp_path)
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "there"
    found = without_torch("report", folder, "--format", kind, "--out", place)
    assert found.returncode == 2
    assert f"{place}: cannot be " in found.stderr
    assert "Traceback" not in found.stderr


def test_names_make_no_paths_and_no_markup(tmp_path):
    metrics = with_evidence(example(evil=True))
    for row in metrics["rows"]:
        row["method"] = row["method"].replace("fairpo-dpo", "../../x/no-constraint")
    metrics = json.loads(json.dumps(metrics).replace("fairpo-dpo", "../../x/no-constraint"))
    folder = folder_of(metrics, tmp_path)
    for kind in ("svg", "markdown"):
        assert runner.invoke(app, ["report", str(folder), "--format", kind]).exit_code == 0
    names = {path.name for path in (folder / "figures").iterdir()}
    assert "weight-..-..-x-no-constraint.svg" in names
    for path in (folder / "figures").iterdir():
        assert "<script" not in path.read_text()
    text = (folder / "report.md").read_text()
    assert [line for line in text.splitlines() if EVIL in line] == [f"    fairpo compare {EVIL}"]
    assert "&lt;script&gt;" in text
