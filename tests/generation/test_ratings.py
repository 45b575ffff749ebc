"""Pairs from ratings, against a slow double loop; UltraFeedback and HelpSteer2 as they lie."""

import itertools
import json

import numpy as np
import pytest

from fairpo.generation import load_pairs, pairs_from_ratings, read_pairs
from fairpo.generation.ratings import find_rated_pairs
from fairpo.generation.readers.rating_sets import HELPSTEER_ASPECTS

ASPECTS = ("kind", "short", "true")


def slow_pairs(prompts, ratings, margin, limit):
    """Every pair and what all aspects say of it, by loops, as the definition reads."""
    found = []
    for prompt in dict.fromkeys(prompts):
        rows = [row for row, other in enumerate(prompts) if other == prompt]
        for aspect in range(ratings.shape[1]):
            candidates = []
            for first, second in itertools.combinations(rows, 2):
                gap = ratings[first, aspect] - ratings[second, aspect]
                if np.isnan(gap) or abs(gap) < margin:
                    continue
                better, worse = (first, second) if gap > 0 else (second, first)
                agreement = []
                for other in range(ratings.shape[1]):
                    says = ratings[better, other] - ratings[worse, other]
                    agreement.append(0 if np.isnan(says) else int(np.sign(says)))
                candidates.append((abs(gap), better, worse, aspect, agreement))
            candidates.sort(key=lambda one: -one[0])  # stable: equal gaps stay in order
            found += candidates[:limit]
    return [one[1:] for one in found]


def rated(seed, n=60, n_prompts=17):
    rng = np.random.default_rng(seed)
    ratings = rng.integers(1, 6, size=(n, len(ASPECTS))).astype(float)
    ratings[rng.random(ratings.shape) < 0.15] = np.nan
    prompts = [f"ask {number}" for number in rng.integers(0, n_prompts, n)]
    return prompts, [f" answer {row}" for row in range(n)], ratings


@pytest.mark.parametrize("margin", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("limit", [None, 1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_against_loops(seed, limit, margin):
    prompts, completions, ratings = rated(seed)
    pairs = pairs_from_ratings(
        prompts, completions, ratings, ASPECTS, margin=margin, pairs_per_prompt=limit
    )
    got = [
        (completions.index(chosen), completions.index(rejected), attribute, agreement)
        for chosen, rejected, attribute, agreement in zip(
            pairs.chosen, pairs.rejected, pairs.attributes, pairs.agreement.tolist(), strict=True
        )
    ]
    assert got == slow_pairs(prompts, ratings, margin, limit)
    assert list(pairs.prompts) == [prompts[row] for row, *_ in got]


def test_rows_of_one_prompt_need_not_stand_together():
    found = find_rated_pairs(
        np.array([0, 1, 0, 1, 2]), np.array([[1.0], [5.0], [4.0], [2.0], [9.0]]), 1.0, None
    )
    assert found.chosen.tolist() == [2, 1]
    assert found.rejected.tolist() == [0, 3]


def test_conflicts_are_recorded_and_unrated_is_unknown():
    pairs = pairs_from_ratings(
        ["a"] * 2, ["x", "y"], [[5, 1, np.nan], [3, 2, 4]], ASPECTS, pairs_per_prompt=None
    )
    assert pairs.attributes.tolist() == [0, 1]
    assert pairs.agreement.tolist() == [[1, -1, 0], [-1, 1, 0]]
    assert pairs.conflicts.all()
    assert pairs.counts.tolist() == [1, 1, 0]


def test_the_largest_difference_stands_for_a_prompt():
    pairs = pairs_from_ratings(["a"] * 4, list("wxyz"), [[1], [3], [5], [5]], ["kind"])
    assert (pairs.chosen, pairs.rejected) == (("y",), ("w",))


def test_what_is_refused():
    def make(prompts=("a", "a"), completions=("x", "y"), ratings=((1,), (2,)), **options):
        return pairs_from_ratings(prompts, completions, ratings, ["kind"], **options)

    with pytest.raises(ValueError, match="margin must be greater than 0, got 0"):
        make(margin=0)
    with pytest.raises(ValueError, match="pairs_per_prompt must be at least 1, or None, got 0"):
        make(pairs_per_prompt=0)
    with pytest.raises(ValueError, match="the ratings of ratings must differ by 2 or more within"):
        make(margin=2)
    with pytest.raises(ValueError, match=r"a column for each of the 1 aspects, got shape \(2, 2\)"):
        make(ratings=((1, 2), (2, 3)))
    with pytest.raises(ValueError, match="ratings must be finite, or NaN, got infinity in row 1"):
        make(ratings=((1,), (np.inf,)))
    with pytest.raises(ValueError, match="must have the same number of rows"):
        make(completions=("x",))
    with pytest.raises(TypeError, match="completions must be a sequence of texts, got one text"):
        make(completions="xy")
    with pytest.raises(ValueError, match="aspects must be unique"):
        pairs_from_ratings(["a"], ["x"], [[1, 2]], ["kind", "kind"])


def test_faulty_completions_are_named_or_dropped():
    prompts, completions = ["a"] * 4, ["x", " ", None, "y"]
    ratings = [[1], [9], [9], [3]]
    with pytest.raises(ValueError, match=r"got 2 of 4 that are not \(rows 1, 2\)"):
        pairs_from_ratings(prompts, completions, ratings, ["kind"])
    pairs = pairs_from_ratings(prompts, completions, ratings, ["kind"], invalid="drop")
    assert (pairs.chosen, pairs.rejected) == (("y",), ("x",))
    assert pairs.notes == ("dropped 2 completions that are empty or no text (rows 1, 2)",)


def test_equal_completions_are_no_pair():
    prompts, completions, ratings = ["a"] * 3, ["x", "x", "y"], [[1], [5], [3]]
    with pytest.raises(ValueError, match=r"1 with chosen equal to rejected \(completion 1 ov"):
        pairs_from_ratings(prompts, completions, ratings, ["kind"])
    pairs = pairs_from_ratings(
        prompts, completions, ratings, ["kind"], pairs_per_prompt=None, invalid="drop"
    )
    assert sorted(zip(pairs.chosen, pairs.rejected, strict=True)) == [("x", "y"), ("y", "x")]
    assert pairs.agreement.tolist() == [[1], [1]]


def answer(text, *ratings):
    names = ("instruction_following", "honesty", "truthfulness", "helpfulness")
    annotations = {
        name: {"Rating": rating, "Rationale": "because"}
        for name, rating in zip(names, ratings, strict=True)
    }
    return {"model": "m", "response": text, "annotations": annotations, "overall_score": 7.0}


ULTRA = [
    {
        "instruction": f"Write {n}",
        "completions": [
            answer(f"best {n}", "5", "N/A", "3", "5"),
            answer(f"fair {n}", "3", "4", "4", "4"),
            answer(f"poor {n}", "1", "2", "5", "1"),
            answer(f"none {n}", "N/A", "N/A", "N/A", "N/A"),
        ],
    }
    for n in range(3)
]
STEER = [
    {
        "prompt": f"Ask {n}",
        "response": f"{text} {n}",
        **dict(zip(HELPSTEER_ASPECTS, values, strict=True)),
    }
    for n in range(4)
    for text, values in (("long", (4, 4, 4, 2, 3)), ("brief", (2, 4, 4, 1, 1)))
]


def test_ultrafeedback(tmp_path):
    path = tmp_path / "ultra.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ULTRA))
    pairs = read_pairs(path)["train"]
    assert pairs.name == "ultra"
    assert pairs.counts.tolist() == [3, 3, 3, 3]
    first = [
        (pairs.chosen[row], pairs.rejected[row], pairs.agreement[row].tolist()) for row in range(4)
    ]
    assert first == [
        ("best 0", "poor 0", [1, 0, -1, 1]),
        ("fair 0", "poor 0", [1, 1, -1, 1]),
        ("poor 0", "best 0", [-1, 0, 1, -1]),
        ("best 0", "poor 0", [1, 0, -1, 1]),
    ]
    assert len(read_pairs(path, pairs_per_prompt=None)["train"]) == 3 * (3 + 1 + 3 + 3)
    assert len(read_pairs(path, margin=3)["train"]) == 3 * 2
    chosen = read_pairs(path, attribute_names=("truthfulness", "honesty"))["train"]
    assert chosen.attribute_names == ("truthfulness", "honesty")
    assert chosen.counts.tolist() == [3, 3]
    with pytest.raises(ValueError, match="attribute 'honest' is not among the 4 aspects that are"):
        read_pairs(path, attribute_names=("honest",))
    with pytest.raises(OSError, match="row 0: completions must be a list of objects, got 'x'"):
        read_pairs([{"instruction": "a", "completions": "x"}])


def test_helpsteer(tmp_path):
    rows = [{**row, "split": "test" if row["prompt"] == "Ask 3" else "train"} for row in STEER]
    parts = read_pairs(rows)
    assert parts["train"].counts.tolist() == [3, 0, 0, 3, 3]
    assert parts["test"].counts.tolist() == [1, 0, 0, 1, 1]
    assert set(parts["train"].chosen) == {"long 0", "long 1", "long 2"}
    assert not parts["train"].conflicts.any()
    assert "attributes without a training pair: correctness, coherence" in parts["train"].notes
    whole = load_pairs(STEER, validation_fraction=0.3, test_fraction=0.25)
    assert [len(set(part.prompts)) for part in whole.values()] == [2, 1, 1]
    long = read_pairs(rows, max_prompt_length=5, prompt_length=len)
    assert len(long["train"]) == 9
    with pytest.raises(ValueError, match="9 with a prompt over the limit"):
        read_pairs(rows, max_prompt_length=4, prompt_length=len)
