"""The Pareto front: what no other point beats on both of two values."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Find the points that no other one beats: is nowhere worse and somewhere better.

    Parameters
    ----------
    points : sequence of (x, y)
        The higher the better. Where changes are compared, the reference is the point (0, 0), put
        first.

    Returns
    -------
    list of int
        Positions in ``points``, by rising x; of equal points the first.

    Examples
    --------
    >>> pareto_front([(0, 0), (2, -1), (1, -2), (-1, 1), (2, -1)])
    [3, 0, 1]
    """
    front: list[int] = []
    best_first = sorted(range(len(points)), key=lambda k: (-points[k][0], -points[k][1], k))
    for place in best_first:
        if not front or points[place][1] > points[front[-1]][1]:
            front.append(place)
    return front[::-1]
