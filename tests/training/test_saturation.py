"""A group that starves the other is told, by name, in the notes of the run."""

from fairpo.groups import LabelPartition
from fairpo.models import HeadSettings
from fairpo.training import TrainingSettings
from fairpo.training.fit import train_method, train_reference


def test_saturation_reaches_the_notes(data):
    settings = TrainingSettings(epochs=40, reference_epochs=4, batch_size=16, patience=40)
    head = HeadSettings(hidden=(8,))
    reference = train_reference(data, head, settings)
    groups = LabelPartition.rarest(data.targets[data.rows("train")], 0.3)
    fitted = train_method(
        data, reference, groups, "fairpo-dpo", settings, options={"step_size": 1.0}
    )
    assert any("group privileged has held" in note for note in fitted.notes)
