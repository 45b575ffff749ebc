"""The main job on the embedded data: it runs, repeats, and its figures are where they should be."""

import json

import pytest

from fairpo.cli.demo import demo


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIRPO_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        out = tmp_path_factory.mktemp("demo") / "demo"
        demo(out=out, seeds=1, jobs=1, as_json=True)
        yield out


def test_the_reference_is_in_its_band_and_the_rare_labels_are_below(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    reference = metrics["rows"][0]["cells"]
    assert 0.75 < reference["map/non_privileged"]["value"] < 0.92
    assert reference["map/privileged"]["value"] < reference["map/non_privileged"]["value"] - 0.1
    assert metrics["data"]["clusters"] >= 30
    assert metrics["data"]["n_labels"] >= 20
    privileged = [row for row in metrics["per_label"] if "privileged" in row["groups"]]
    assert min(row["test_positives"] for row in privileged) >= 200


def test_re_weighting_gains_and_no_method_hides_behind_the_fallback(folder):
    rows = {
        (row["method"], row["epoch"]): row
        for row in json.loads((folder / "metrics.json").read_text())["rows"]
    }
    gain = rows["bce-reweighted", "selected"]["cells"]["map/privileged"]
    assert gain["excludes_zero"] and gain["difference"] > 0.003
    for method in ("fairpo-dpo", "fairpo-simpo", "fairpo-cpo"):
        if rows[method, "selected"]["fell_back_share"] == 1:
            assert rows[method, "last"]["cells"]["map/privileged"]["difference"] != 0


def test_finished_results_are_shown_again(folder, capsys):
    before = (folder / "metrics.json").stat().st_mtime_ns
    demo(out=folder, seeds=1, jobs=1)
    shown = capsys.readouterr()
    assert "holds these results already" in shown.err
    assert "report.html" in shown.out
    assert "fairpo-cpo" in shown.out
    assert (folder / "metrics.json").stat().st_mtime_ns == before


def test_results_of_other_settings_are_replaced(tmp_path):
    """A folder that an older demo, or one of other settings, has left."""
    from fairpo._checks import FairPOFileError
    from fairpo.experiments.study import Study, write_study
    from fairpo.experiments.study_folder import check_folder

    write_study(tmp_path / "study.yaml", Study(data="digits", seeds=(0,)))
    with pytest.raises(FairPOFileError, match="holds another study"):
        check_folder(tmp_path, Study(data="digits", seeds=(0, 1)))
    check_folder(tmp_path, Study(data="digits", seeds=(0, 1)), overwrite=True)
