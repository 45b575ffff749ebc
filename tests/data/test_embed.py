"""Stores: what is in them, killed and resumed, several processes, refused, read from disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import sparse

from fairpo import load_data
from fairpo._checks import FairPOError, FairPOFileError, FairPOValueError
from fairpo.data import MultiLabelData, embed
from fairpo.data.base import fingerprint
from fairpo.data.embed import embed_data
from fairpo.data.items import ImageFiles, Texts
from fairpo.data.store import verify_store
from fairpo.models.backbone import ModuleBackbone
from fairpo.models.backbones import load_backbone
from tests.models.tiny_models import image_model, text_model

N_ROWS = 53


class Letters(torch.nn.Module):
    """Counts of letters, scaled: an embedding that is known by heart."""

    def forward(self, codes):
        return codes / 7


def count_letters(texts):
    return torch.tensor([[float(text.count(letter)) for letter in "abcde"] for text in texts])


def letters(**changes):
    return ModuleBackbone(Letters(), count_letters, 5, kind="text", name="letters", **changes)


def texts_data(n_rows=N_ROWS, labels=4, ids=True):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdef"), size=rng.integers(0, 30))) for _ in range(n_rows)]
    targets = sparse.csr_array((rng.random((n_rows, labels)) < 0.3).astype(np.int8))
    order = rng.permutation(n_rows)
    third = n_rows // 3
    split = {
        "train": np.sort(order[: 2 * third]),
        "validation": np.sort(order[2 * third : -4]),
        "test": np.sort(order[-4:]),
    }
    return MultiLabelData(
        np.empty((n_rows, 0), dtype=np.float32),
        targets,
        tuple("wxyz"[:labels]),
        split,
        ids=[f"row é {row}" for row in range(n_rows)] if ids else None,
        clusters=np.arange(n_rows) // 2,
        name="letters",
        items=Texts(texts),
        kind="texts of letters",
    )


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_store_gives_back_what_was_embedded(tmp_path):
    data = texts_data()
    done = embed_data(data, letters(), tmp_path / "s", batch_size=4, shard_rows=10)
    assert (done.n_rows, done.n_done, done.n_features) == (N_ROWS, N_ROWS, 5)
    loaded = load_data(tmp_path / "s")
    wanted = count_letters(data.items.values).numpy() / 7
    assert np.array_equal(loaded.features[:], wanted.astype(np.float32))
    rows = np.array([52, 0, 9, 10, 9, 31])
    assert np.array_equal(loaded.features[rows], wanted[rows].astype(np.float32))
    assert np.array_equal(np.asarray(loaded.features), loaded.features[:])
    assert np.array_equal(loaded.targets, data.targets.toarray())
    assert loaded.label_names == data.label_names
    assert list(loaded.ids) == data.ids and loaded.ids[-1] == "row é 52"
    assert loaded.ids[1:3] == ("row é 1", "row é 2")
    assert np.array_equal(loaded.clusters, data.clusters)
    for name, members in data.split.items():
        assert np.array_equal(loaded.rows(name), members)
    assert "embeddings by letters of texts of letters" in loaded.kind
    verify_store(tmp_path / "s")


def test_slices_are_kept_in_a_store(tmp_path):
    cameras = np.array(["hall é", "yard"])[np.arange(N_ROWS) % 2]
    data = replace(texts_data(), slices={"camera": cameras, "site": cameras[::-1]})
    embed_data(data, letters(), tmp_path / "s", batch_size=4, shard_rows=10)
    loaded = load_data(tmp_path / "s")
    assert {name: values.tolist() for name, values in loaded.slices.items()} == {
        "camera": cameras.tolist(),
        "site": cameras[::-1].tolist(),
    }
    with pytest.raises(FairPOFileError, match="other"):
        embed_data(replace(data, slices={}), letters(), tmp_path / "s", batch_size=4)


def test_bfloat16_is_kept_without_loss(tmp_path):
    data = texts_data()
    backbone = letters(dtype="bf16")
    embed_data(data, backbone, tmp_path / "s", batch_size=4, shard_rows=10)
    wanted = torch.cat(
        [
            backbone.embed(count_letters(data.items.values[at : at + 1])).float()
            for at in range(N_ROWS)
        ]
    )
    loaded = load_data(tmp_path / "s")
    assert np.array_equal(loaded.features[:], wanted.numpy())
    assert (tmp_path / "s" / "shard-00000.npy").stat().st_size == 128 + 10 * 5 * 2


def test_what_no_option_says_is_at_most_64_files(tmp_path):
    embed_data(texts_data(), letters(), tmp_path / "s")
    assert len(list((tmp_path / "s").glob("shard-*.npy"))) == 1


KILLED = """
import os, sys
sys.path.insert(0, {root!r})
from tests.data import test_embed as own
from fairpo.data import embed
from fairpo.models import checkpoint
import pathlib
steps = 0
def killing(function):
    def wrapped(*args, **kwargs):
        global steps
        steps += 1
        if steps == {when}:
            os._exit(9)
        result = function(*args, **kwargs)
        return result
    return wrapped
embed.write_json = killing(embed.write_json)
embed.write_atomic = killing(embed.write_atomic)
embed.sha256 = killing(embed.sha256)
embed._embed_batch = killing(embed._embed_batch)
pathlib.Path.replace = killing(pathlib.Path.replace)
pathlib.Path.unlink = killing(pathlib.Path.unlink)
embed.embed_data(own.texts_data(), own.letters(), {folder!r}, batch_size=8, shard_rows=20)
print(steps)
"""


def run_killed(folder, when):
    code = KILLED.format(root=str(Path(__file__).parents[2]), when=when, folder=str(folder))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_killed_at_any_step_and_started_again_it_is_the_same_store(tmp_path):
    """In process each step is killed by an exception; some also by the end of the process."""
    whole = tmp_path / "whole"
    finished = run_killed(whole, when=0)
    assert finished.returncode == 0, finished.stderr
    n_steps = int(finished.stdout)
    wanted = contents(whole)
    for when in (1, 3, n_steps // 2, n_steps - 2):
        folder = tmp_path / f"killed{when}"
        assert run_killed(folder, when).returncode == 9
        embed_data(texts_data(), letters(), folder, batch_size=8, shard_rows=20)
        assert contents(folder) == wanted


@pytest.mark.parametrize("place", ["write_json", "write_atomic", "sha256", "_embed_batch"])
def test_interrupted_at_every_write_it_goes_on(tmp_path, monkeypatch, place):
    embed_data(texts_data(), letters(), tmp_path / "whole", batch_size=8, shard_rows=20)
    wanted = contents(tmp_path / "whole")
    genuine = getattr(embed, place)
    for when in range(100):
        calls = iter(range(1000))

        def interrupted(*args, calls=calls, when=when):
            if next(calls) == when:
                raise KeyboardInterrupt
            return genuine(*args)

        folder = tmp_path / str(when)
        with monkeypatch.context() as patch:
            patch.setattr(embed, place, interrupted)
            try:
                embed_data(texts_data(), letters(), folder, batch_size=8, shard_rows=20)
                break
            except KeyboardInterrupt:
                pass
        done = embed_data(texts_data(), letters(), folder, batch_size=8, shard_rows=20)
        assert done.n_rows == N_ROWS
        assert contents(folder) == wanted
    assert when > 3


def test_going_on_embeds_only_what_is_missing(tmp_path, monkeypatch):
    genuine, batches = embed._embed_batch, []

    def counted(job, inputs, batch, readable):
        batches.append(list(batch))
        if len(batches) == 4:
            raise KeyboardInterrupt
        return genuine(job, inputs, batch, readable)

    monkeypatch.setattr(embed, "_embed_batch", counted)
    with pytest.raises(KeyboardInterrupt):
        embed_data(texts_data(), letters(), tmp_path / "s", batch_size=8, shard_rows=20)
    embed_data(texts_data(), letters(), tmp_path / "s", batch_size=8, shard_rows=20)
    assert batches[3] == batches[4] == list(range(20, 28))
    rows = [row for batch in batches[:3] + batches[4:] for row in batch]
    assert rows == list(range(N_ROWS))
    assert all(batch[0] // 20 == batch[-1] // 20 for batch in batches)


def test_a_sigkill_of_the_command_loses_nothing(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "scenes").mkdir()
    lines = ["path,labels"]
    for number in range(600):
        pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "scenes" / f"{number}.png")
        lines.append(f"{number}.png,{'a' if number % 2 else 'b'}")
    (tmp_path / "scenes" / "metadata.csv").write_text("\n".join(lines))
    command = [sys.executable, "-m", "fairpo", "embed", str(tmp_path / "scenes")]
    command += ["--backbone", "digits", "--batch-size", "2", "--shard-rows", "200", "--out"]
    running = subprocess.Popen([*command, str(tmp_path / "killed")], stderr=subprocess.PIPE)
    deadline = time.time() + 120
    while not list(tmp_path.glob("killed/partial-*.json")) and time.time() < deadline:
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    running.stderr.close()
    left = sorted(path.name for path in (tmp_path / "killed").iterdir())
    assert any(name.startswith("partial") for name in left)
    with pytest.raises(FairPOFileError, match="is a store that is not complete"):
        load_data(tmp_path / "killed")
    for folder in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / folder)], check=True, capture_output=True)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_processes_share_the_work(tmp_path):
    embed_data(texts_data(), letters(), tmp_path / "one", batch_size=8, shard_rows=10)
    code = """
import os, sys
sys.path.insert(0, {root!r})
from tests.data import test_embed as own
from fairpo.data.embed import embed_data
rank = int(os.environ["RANK"])
done = embed_data(own.texts_data(), own.letters(), {folder!r}, batch_size=8, shard_rows=10,
                  rank=rank, world_size=3)
print(done.n_done)
"""
    code = code.format(root=str(Path(__file__).parents[2]), folder=str(tmp_path / "three"))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (2, 1, 0)
    ]
    done = [int(process.communicate(timeout=120)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum(done) == N_ROWS and all(done)
    assert contents(tmp_path / "three") == contents(tmp_path / "one")


def test_a_second_process_on_the_same_shard_is_refused(tmp_path):
    genuine = embed._embed_batch

    def nested(job, inputs, batch, readable):
        embed._embed_batch = genuine
        embed_data(texts_data(), letters(), tmp_path / "s", batch_size=8)

    embed._embed_batch = nested
    try:
        with pytest.raises(FairPOFileError, match="is being written by another process"):
            embed_data(texts_data(), letters(), tmp_path / "s", batch_size=8)
    finally:
        embed._embed_batch = genuine


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["path,labels"]
    for number in range(40):
        pixels = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
        lines.append(f"{number}.jpg,{'cat|dog' if number % 3 else 'dog'}")
    (folder / "metadata.csv").write_text("\n".join(lines))
    whole = (folder / "11.jpg").read_bytes()
    (folder / "11.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "12.jpg").write_bytes(b"")
    return folder


def test_unreadable_images_are_listed_and_in_no_split(tmp_path, photos):
    backbone = load_backbone(image_model(tmp_path / "vit"), device="cpu")
    data = load_data(photos)
    done = embed_data(data, backbone, tmp_path / "s", batch_size=8)
    assert done.unreadable == ("11.jpg", "12.jpg")
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert [item["row"] for item in manifest["unreadable"]] == [11, 12]
    assert "is not a readable image" in manifest["unreadable"][0]["problem"]
    loaded = load_data(tmp_path / "s")
    used = np.concatenate(list(loaded.split.values()))
    assert sorted(used) == [row for row in range(40) if row not in (11, 12)]
    assert "2 items could not be read and are in no split" in loaded.notes
    assert np.array_equal(loaded.features[np.array([11, 12])], np.zeros((2, 24)))
    assert np.abs(loaded.features[np.array([10, 13])]).max() > 0
    alone = backbone.embed(backbone.prepare([data.items.load(13)])).numpy()
    assert np.allclose(loaded.features[np.array([13])], alone, atol=1e-5)


def test_another_backbone_or_preprocessing_is_refused_by_name(tmp_path, photos):
    vit = image_model(tmp_path / "vit")
    data = load_data(photos)
    embed_data(data, load_backbone(vit), tmp_path / "s", batch_size=8)
    other = image_model(tmp_path / "other", seed=3)
    for backbone, message in [
        (load_backbone(vit, pooling="mean"), "pooling: 'cls' there, 'mean' now"),
        (load_backbone(vit, dtype="bf16"), "dtype: 'fp32' there, 'bf16' now"),
        (load_backbone(other), "name: .*vit' there, .*other' now; revision:"),
    ]:
        with pytest.raises(FairPOFileError, match=message):
            embed_data(data, backbone, tmp_path / "s", batch_size=8)
    processor = json.loads((tmp_path / "vit" / "preprocessor_config.json").read_text())
    processor["image_mean"] = [0.1, 0.2, 0.3]
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(processor))
    with pytest.raises(FairPOFileError, match=r"preprocessing: .*0\.5, 0\.5.* now"):
        embed_data(data, load_backbone(vit), tmp_path / "s", batch_size=8)


def test_the_same_model_in_another_folder_goes_on(tmp_path, photos):
    data = load_data(photos)
    embed_data(data, load_backbone(image_model(tmp_path / "a")), tmp_path / "s", batch_size=8)
    again = load_backbone(image_model(tmp_path / "b"))
    assert embed_data(data, again, tmp_path / "s", batch_size=8).n_done == 0


def test_other_data_are_refused(tmp_path):
    data = texts_data()
    embed_data(data, letters(), tmp_path / "s")
    fewer = replace(data, split={"train": data.split["train"]})
    with pytest.raises(FairPOFileError, match="is a store of other data"):
        embed_data(fewer, letters(), tmp_path / "s")


def test_a_store_begun_with_another_batch_size_says_which(tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "_seal_store", lambda job: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        embed_data(texts_data(), letters(), tmp_path / "s", batch_size=8)
    with pytest.raises(FairPOFileError, match="begun with batch_size 8, not 4. Say --batch-size 8"):
        embed_data(texts_data(), letters(), tmp_path / "s", batch_size=4)


def test_folders_and_data_that_will_not_do_are_refused(tmp_path, data):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(FairPOFileError, match="is not empty and not a store"):
        embed_data(texts_data(), letters(), tmp_path / "full")
    with pytest.raises(FairPOValueError, match="must hold images or texts, got 12 features"):
        embed_data(data, letters(), tmp_path / "s")
    images = replace(texts_data(), items=ImageFiles(tmp_path, ("a.jpg",) * N_ROWS))
    with pytest.raises(FairPOValueError, match="must read images, which DATA holds, got letters"):
        embed_data(images, letters(), tmp_path / "s")
    with pytest.raises(FairPOValueError, match="batch_size must be an int > 0, got 0"):
        embed_data(texts_data(), letters(), tmp_path / "s", batch_size=0)


def test_an_embedding_that_is_not_finite_is_named(tmp_path):
    class Broken(torch.nn.Module):
        def forward(self, codes):
            return torch.where(codes.sum(1, keepdim=True) > 20, torch.inf, codes)

    backbone = ModuleBackbone(Broken(), count_letters, 5, kind="text")
    with pytest.raises(FairPOError, match=r"the embedding of text\[\d+\] .* is not finite"):
        embed_data(texts_data(), backbone, tmp_path / "s")


@pytest.mark.parametrize("fault", ["truncated", "missing", "flipped", "manifest"])
def test_damaged_stores_are_refused_by_file(tmp_path, fault):
    folder = tmp_path / "s"
    embed_data(texts_data(), letters(), folder, shard_rows=20, batch_size=4)
    shard = folder / "shard-00001.npy"
    whole = shard.read_bytes()
    if fault == "truncated":
        shard.write_bytes(whole[:-7])
    elif fault == "missing":
        shard.unlink()
    elif fault == "manifest":
        (folder / "manifest.json").write_text("{")
    else:
        shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 255]))
        assert load_data(folder).n_rows == N_ROWS  # sizes only: opening does not read it all
        with pytest.raises(FairPOFileError, match="shard-00001.npy: is damaged"):
            verify_store(folder)
        return
    with pytest.raises(FairPOFileError, match="shard-00001.npy|manifest.json"):
        load_data(folder)


def test_fingerprints_of_stores_tell_them_apart(tmp_path):
    embed_data(texts_data(), letters(), tmp_path / "a")
    embed_data(texts_data(), letters(dtype="bf16"), tmp_path / "b")
    first = load_data(tmp_path / "a")
    assert fingerprint(first) != fingerprint(load_data(tmp_path / "b"))
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    assert fingerprint(load_data(tmp_path / "copy")) == fingerprint(first)


def test_real_texts_through_a_small_encoder(tmp_path, shared_data):
    """GoEmotions as it lies, some of its rows, to a store and a trained run."""
    data = load_data("goemotions.parquet")
    rows = np.arange(0, data.n_rows, 50)
    few = MultiLabelData(
        np.empty((len(rows), 0), dtype=np.float32),
        data.targets[rows],
        data.label_names,
        {name: np.flatnonzero(np.isin(rows, members)) for name, members in data.split.items()},
        items=Texts([data.items.load(int(row)) for row in rows]),
        name="goemotions",
    )
    embed_data(few, load_backbone(text_model(tmp_path / "bert")), tmp_path / "s")
    loaded = load_data(tmp_path / "s")
    assert loaded.features.shape == (len(rows), 16)
    assert np.isfinite(loaded.features[:]).all()
    assert np.unique(loaded.features[:], axis=0).shape[0] > len(rows) / 2


@pytest.mark.parametrize("index", [3, -1, (slice(2), slice(3)), slice(5, 1, -2)])
def test_rows_are_cut_as_from_an_array(tmp_path, index):
    embed_data(texts_data(), letters(), tmp_path / "s", batch_size=4, shard_rows=10)
    features = load_data(tmp_path / "s").features
    if index == -1:
        with pytest.raises(IndexError, match="from 0 to 52"):
            features[index]
        return
    assert np.array_equal(features[index], features[:][index])
    mask = np.arange(N_ROWS) % 3 == 0
    assert np.array_equal(features[mask], features[:][mask])
    assert len(list(features)) == N_ROWS


def test_other_texts_that_begin_alike_are_other_data(tmp_path):
    data = texts_data()
    alike = [
        "a long beginning that all the texts have, and then " + text for text in data.items.values
    ]
    first = replace(data, items=Texts(alike))
    embed_data(first, letters(), tmp_path / "s")
    second = replace(data, items=Texts([*alike[:-1], alike[-1] + "e"]))
    with pytest.raises(FairPOFileError, match="is a store of other data"):
        embed_data(second, letters(), tmp_path / "s")


def test_other_images_under_the_same_names_are_other_data(tmp_path, photos):
    backbone = load_backbone(image_model(tmp_path / "vit"))
    embed_data(load_data(photos), backbone, tmp_path / "s", batch_size=8)
    Image.new("RGB", (9, 9)).save(photos / "3.jpg")
    with pytest.raises(FairPOFileError, match="is a store of other data"):
        embed_data(load_data(photos), backbone, tmp_path / "s", batch_size=8)


@pytest.mark.parametrize("damage", ["short", "header", "journal"])
def test_a_damaged_half_is_begun_again_and_never_filled_with_zeros(tmp_path, monkeypatch, damage):
    embed_data(texts_data(), letters(), tmp_path / "whole", batch_size=8, shard_rows=40)
    calls = iter(range(100))
    genuine = embed._embed_batch

    def interrupted(*args):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return genuine(*args)

    with monkeypatch.context() as patch:
        patch.setattr(embed, "_embed_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            embed_data(texts_data(), letters(), tmp_path / "s", batch_size=8, shard_rows=40)
    half = tmp_path / "s" / "partial-00000.npy"
    if damage == "short":
        half.write_bytes(half.read_bytes()[:200])
    elif damage == "header":
        half.write_bytes(b"x" * len(half.read_bytes()))
    else:
        half.with_suffix(".json").write_text("{}")
    embed_data(texts_data(), letters(), tmp_path / "s", batch_size=8, shard_rows=40)
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


def test_a_store_finished_meanwhile_is_left_alone(tmp_path, monkeypatch):
    """Another process finishes between this one's look and its lock."""
    genuine = embed.hold

    def late(path):
        monkeypatch.setattr(embed, "hold", genuine)
        embed_data(texts_data(), letters(), tmp_path / "s", batch_size=8)
        return genuine(path)

    monkeypatch.setattr(embed, "hold", late)
    done = embed_data(texts_data(), letters(), tmp_path / "s", batch_size=8)
    assert done.n_done == 0
    verify_store(tmp_path / "s")


def test_killed_before_the_first_word_is_whole_it_begins(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / ".embedding.json.77.tmp").write_text("{")
    assert embed_data(texts_data(), letters(), tmp_path / "s").n_done == N_ROWS


def test_a_full_disk_is_an_error_that_keeps_what_was_done(tmp_path, monkeypatch):
    genuine = embed.GrowingArray.append
    calls = iter(range(100))

    def full(self, block):
        if next(calls) == 2:
            raise OSError(28, "No space left on device")
        return genuine(self, block)

    with monkeypatch.context() as patch:
        patch.setattr(embed.GrowingArray, "append", full)
        with pytest.raises(FairPOFileError, match="No space left on device.*run it again to go on"):
            embed_data(texts_data(), letters(), tmp_path / "s", batch_size=8)
    assert embed_data(texts_data(), letters(), tmp_path / "s", batch_size=8).n_done == N_ROWS - 16


def test_an_item_that_the_backbone_refuses_is_listed(tmp_path):
    def prepare(texts):
        if any("e" in text for text in texts):
            raise ValueError("no e, please")
        return count_letters(texts)

    backbone = ModuleBackbone(Letters(), prepare, 5, kind="text", name="letters")
    data = texts_data()
    done = embed_data(data, backbone, tmp_path / "s", batch_size=8)
    with_e = [row for row, text in enumerate(data.items.values) if "e" in text]
    assert len(done.unreadable) == len(with_e) > 0
    loaded = load_data(tmp_path / "s")
    assert loaded.unreadable.tolist() == with_e
    kept = np.setdiff1d(np.arange(N_ROWS), with_e)
    assert np.array_equal(loaded.features[kept], count_letters(data.items.values)[kept] / 7)


def test_a_foreign_manifest_is_no_store(tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "a browser extension"}')
    with pytest.raises(FairPOFileError, match="is not empty and not a store"):
        embed_data(texts_data(), letters(), tmp_path)
    embed_data(texts_data(), letters(), tmp_path / "s")
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    for key in manifest:
        if key in ("format", "version"):
            continue
        changed = {name: value for name, value in manifest.items() if name != key}
        (tmp_path / "s" / "manifest.json").write_text(json.dumps(changed))
        with pytest.raises(FairPOFileError, match=f"manifest.json: .*{key}: Field required"):
            load_data(tmp_path / "s")
