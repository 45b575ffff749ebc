"""What an objective knows of the examples that positives of a label compete with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fairpo._checks import value_error


@dataclass(frozen=True, eq=False)
class Competition:
    """How strong the negatives of each label are, as a reference scores them.

    Objectives never see data; those that compare examples within a label are built with this.
    :func:`fairpo.training.measure_competition` takes it from scores of rows that the reference was
    not fitted to: on its own rows hardly any negative is confusing any more.

    Parameters
    ----------
    log_partition : float tensor, shape (labels,)
        ``log sum_j exp(r_j)`` over the rows ``j`` to which the label does not apply, ``r`` the
        reference's logits: in it each negative counts by how confusing it is.
    n_positives : float tensor, shape (labels,)
        Rows to which the label applies; 0 takes the label out of the comparison. Weights of rows,
        1 on average, count here and in all means and sums.
    n_rows : int
    preference_losses : float tensor, shape (labels,)
        Mean over these rows of ``-log(exp(r_i) / (exp(r_i) + sum_j exp(r_j)))``, in nats.
    cross_entropies : float tensor, shape (labels,)
        Mean cross-entropy of the reference, in nats.

    Raises
    ------
    FairPOValueError
        Shapes differ.
    """

    log_partition: Tensor
    n_positives: Tensor
    n_rows: int
    preference_losses: Tensor
    cross_entropies: Tensor

    def __post_init__(self) -> None:
        """Refuse what cannot belong together."""
        shapes = {
            tuple(part.shape)
            for part in (
                self.log_partition,
                self.n_positives,
                self.preference_losses,
                self.cross_entropies,
            )
        }
        if len(shapes) != 1 or len(self.log_partition.shape) != 1:
            raise value_error(
                "Competition", must="hold one number a label, four times", got=sorted(shapes)
            )

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return len(self.n_positives)
