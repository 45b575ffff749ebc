"""The model card, beside every model that is saved."""

import huggingface_hub
import peft
import pytest
import transformers
import yaml

from fairpo.models.classifier import BackboneClassifier
from tests.hf import tiny


def read(folder):
    text = (folder / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body


def test_a_card_tells_groups_settings_results_and_limits(tmp_path):
    trainer = tiny.trainer(tmp_path, evaluated=tiny.Images(40, 1), beta=0.7, trainable="last:1")
    trainer.train()
    found = trainer.evaluate()
    trainer.save_pretrained(str(tmp_path / "out"))
    head, body = read(tmp_path / "out")
    assert head == {
        "library_name": "transformers",
        "tags": ["fairpo", "multi-label-classification"],
    }
    assert "| privileged | improve | 2 | l0, l1 |" in body
    assert "| beta | 0.7 |" in body
    assert "| trainable | last:1 |" in body
    assert "| optimizer steps | 3 |" in body
    assert "| method | fairpo-dpo |" in body
    assert "| reference | the model as it was before this training |" in body
    assert "`eval`: 40 examples, after 3 optimizer steps" in body
    ours, theirs = (100 * found[f"eval_{key}map/privileged"] for key in ("", "reference/"))
    assert f"| map/privileged | {ours:.2f} | {theirs:.2f} |" in body
    assert "not by a guarantee" in body
    assert "whose errors count more" in body
    assert huggingface_hub.ModelCard.load(tmp_path / "out" / "README.md").data.tags == head["tags"]


def test_without_reference_or_evaluation(tmp_path):
    trainer = tiny.trainer(tmp_path, method="bce", evaluated=tiny.Images(40, 1))
    trainer.save_pretrained()
    assert "Not evaluated." in read(tmp_path)[1]
    trainer.evaluate()
    trainer.create_model_card(license="mit", tags="mine", language="en", model_name="a model")
    head, body = read(tmp_path)
    assert (head["license"], head["language"]) == ("mit", "en")
    assert head["tags"] == ["mine", "fairpo", "multi-label-classification"]
    assert "# a model" in body
    assert "| metric / group | this model |\n" in body
    assert "| reference | none |" in body


def test_names_are_text_and_no_markup(tmp_path):
    names = ["a|b", "<script>x</script>", "[x](http://y)", "l\n3", "*l4*", "{{l5}}"]
    model = tiny.vit(id2label=dict(enumerate(names)), label2id={})
    trainer = tiny.trainer(tmp_path, model, privileged="rarest:100%", evaluated=tiny.Images(20, 1))
    trainer.evaluate()
    trainer.save_pretrained()
    _, body = read(tmp_path)
    row = next(line for line in body.splitlines() if line.startswith("| privileged"))
    assert row == (
        r"| privileged | improve | 6 | a\|b, \<script\>x\</script\>, \[x\](http://y), l 3, \*l4\*, "
        r"\{\{l5\}\} |"
    )


def test_no_path_of_this_machine(tmp_path):
    (tmp_path / "start").mkdir()
    tiny.vit().save_pretrained(tmp_path / "start")
    kind = transformers.ViTForImageClassification
    model = kind.from_pretrained(tmp_path / "start")
    reference = str(tmp_path / "start")
    tiny.trainer(tmp_path / "out", model, reference=reference).save_pretrained()
    head, body = read(tmp_path / "out")
    assert str(tmp_path) not in str(head) + body
    assert "| reference | a saved model |" in body
    model.config._name_or_path = "google/vit-base-patch16-224"
    tiny.trainer(tmp_path / "out", model).save_pretrained()
    assert read(tmp_path / "out")[0]["base_model"] == "google/vit-base-patch16-224"


def test_checkpoints_and_adapters_have_one(tmp_path):
    lora = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["classifier"])
    options = {"save_strategy": "steps", "save_steps": 3}
    tiny.trainer(tmp_path, parts={"peft_config": lora}, **options).train()
    head, body = read(tmp_path / "checkpoint-3")
    assert head["library_name"] == "peft"
    assert "`ViTForImageClassification`, trained with fairpo" in body


def test_a_push_takes_the_card_and_leaves_what_is_kept(tmp_path, monkeypatch):
    """What would go to the hub, without a network."""

    class Hub:
        def create_repo(self, name, **_):
            return huggingface_hub.RepoUrl(f"https://huggingface.co/me/{name}")

        def upload_folder(self, folder_path, ignore_patterns, **_):
            paths = [p.relative_to(folder_path).as_posix() for p in tmp_path.rglob("*")]
            filtered = huggingface_hub.utils.filter_repo_objects
            self.sent = set(filtered(paths, ignore_patterns=ignore_patterns))

    hub = Hub()
    monkeypatch.setattr(transformers.trainer, "hf_api", lambda: hub)
    trainer = tiny.trainer(tmp_path, precompute_reference_logits=True)
    trainer.push_to_hub()
    assert {"README.md", "model.safetensors", "config.json"} <= hub.sent
    assert not any("reference_logits" in path for path in hub.sent)
    assert f"# {tmp_path.name}".replace("_", r"\_") in read(tmp_path)[1]


@pytest.mark.parametrize("kind", ["image", "text"])
def test_a_backbone_with_our_head_is_saved_and_loaded(tmp_path, kind):
    if kind == "image":
        backbone = transformers.ViTModel(transformers.ViTConfig(**tiny.VIT))
        data, parts = tiny.Images(40), {}
    else:
        backbone, data, parts = tiny.bert().bert, tiny.Texts(40), {"data_collator": tiny.pad}
    model = BackboneClassifier.on(backbone, tiny.NAMES)
    trainer = tiny.trainer(tmp_path, model, data, parts=parts)
    trainer.train()
    trainer.save_pretrained()
    again = BackboneClassifier.from_pretrained(tmp_path)
    tiny.assert_same(again.state_dict(), trainer.model.state_dict())
    assert again.config.id2label == dict(enumerate(tiny.NAMES))
    assert "BackboneClassifier" in read(tmp_path)[1]
