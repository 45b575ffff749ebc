"""Figures of a comparison of language models, made up, as `fairpo lm compare` writes them."""

import json
from itertools import combinations

import numpy as np

from tests.report.examples import EVIL

METHODS = ("sft", "dpo", "fairpo-dpo")
ATTRIBUTES = ("length", "topic", "format", "polite", "rhyme", "clean")
PRIVILEGED = ("rhyme", "clean")


def compared(
    methods=METHODS,
    attributes=ATTRIBUTES,
    privileged=PRIVILEGED,
    seeds=2,
    steps=12,
    judged=True,
    evil=False,
    n_samples=8,
    words=12,
):
    rng = np.random.default_rng(0)
    attributes = [EVIL if evil and k == 0 else name for k, name in enumerate(attributes)]
    groups = [
        {"name": "privileged", "role": "improve", "attributes": list(privileged)},
        {
            "name": "non_privileged",
            "role": "protect",
            "attributes": [name for name in attributes if name not in privileged],
        },
    ]
    names = [group["name"] for group in groups]

    def rate(value):
        value = float(np.clip(value, 0.02, 0.98))
        ends = {"value": value, "low": value - 0.04, "high": value + 0.04}
        return {**ends, "wins": 60, "ties": 20, "losses": 18, "skipped": 2}

    def worst(of):
        name = min(of, key=lambda each: of[each]["value"])
        return {"name": name, **{key: of[name][key] for key in ("value", "low", "high")}}

    def rates(middle):
        of_attributes = {name: rate(middle + rng.normal(0, 0.08)) for name in attributes}
        of_groups = {
            group["name"]: rate(
                np.mean([of_attributes[name]["value"] for name in group["attributes"]])
            )
            for group in groups
        }
        return {
            "overall": rate(middle),
            "groups": of_groups,
            "attributes": of_attributes,
            "worst_group": worst(of_groups),
            "worst_attribute": worst(of_attributes),
            "per_seed": [
                {
                    "seed": seed,
                    "overall": middle,
                    "groups": {name: each["value"] for name, each in of_groups.items()},
                    "attributes": {name: each["value"] for name, each in of_attributes.items()},
                    "worst_group": worst(of_groups)["value"],
                    "worst_attribute": worst(of_attributes)["value"],
                }
                for seed in range(seeds)
            ],
        }

    def difference(one, other):
        keys = {"overall": (one["overall"], other["overall"])}
        for part, members in (("groups", names), ("attributes", attributes)):
            keys |= {f"{part}/{n}": (one[part][n], other[part][n]) for n in members}
        keys |= {k: (one[k], other[k]) for k in ("worst_group", "worst_attribute")}
        found = {}
        for key, (first, second) in keys.items():
            gain = first["value"] - second["value"]
            found[key] = {"value": gain, "low": gain - 0.02, "high": gain + 0.02}
        return found

    def drift(value):
        return {
            "overall": value,
            "groups": dict.fromkeys(names, value),
            "attributes": dict.fromkeys(attributes, value),
        }

    found = {}
    for place, method in enumerate(methods):
        trained = place > 0
        found[method] = {
            "reward_accuracy": {
                **rates(0.5 + 0.06 * place),
                "reward": "implicit" if trained else "per_token",
            },
            "per_token_accuracy": rates(0.5 + 0.04 * place),
            "win_rate": rates(0.5 + 0.07 * place) if trained and judged else None,
            "drift": {"chosen": drift(2.5 - 2 * place), "rejected": drift(0.5 - 2.0 * place)}
            if trained
            else None,
            "seeds": list(range(seeds)),
            "seconds": [1.5] * seeds,
        }
    weights = np.clip(0.5 + np.cumsum(rng.normal(0.01, 0.01, steps)), 0, 1)
    logs = [
        {
            "method": method,
            "seed": seed,
            "step": step,
            "epoch": step / 4,
            "loss": 0.7,
            "group_weights/privileged": float(weights[step]),
            "group_weights/non_privileged": 1 - float(weights[step]),
            "group_losses/privileged": 0.69 - 0.01 * step,
            "group_losses/non_privileged": 0.0,
            "rewards/chosen": -0.02 * step,
            "rewards/rejected": -0.05 * step,
        }
        for method in methods
        for seed in range(seeds)
        for step in range(steps)
    ]
    logs.append({"method": methods[-1], "seed": 0, "train_runtime": 2.0, "epoch": 3.0, "step": 12})
    vocabulary = ["the", "cat", "sat", "by", "sea", "(", "please", "four"]
    samples = [
        {
            "prompt": EVIL if evil and k == 0 else f"write about the cat, number {k} :",
            "completions": {
                method: (EVIL if evil and k == 1 else "") + " ".join(rng.choice(vocabulary, words))
                for method in methods
            },
            "verdicts": {
                method: dict(zip(attributes, [1.0, 0.5, 0.0, None, 1.0, 0.0], strict=False))
                for method in methods[1:]
            },
        }
        for k in range(n_samples if judged else 0)
    ]
    return {
        "kind": "lm-comparison",
        "title": f"{EVIL if evil else 'verses'}: {', '.join(methods)}",
        "version": "0",
        "command": f"fairpo lm compare {EVIL if evil else 'verses'}",
        "settings": {"pairs": EVIL if evil else "verses", "model": "tiny", "seeds": seeds},
        "data": {
            "name": "verses",
            "n_pairs": {"train": 4000, "validation": 300, "test": 600},
            "counts": {},
            "notes": [EVIL] if evil else [],
        },
        "seeds": list(range(seeds)),
        "judge": "oracle" if judged else None,
        "level": 0.95,
        "n_resamples": 1000,
        "n_prompts": 100,
        "attribute_names": attributes,
        "privileged": list(privileged),
        "groups": groups,
        "methods": found,
        "differences": [
            {
                "first": later,
                "second": earlier,
                "measure": measure,
                "keys": difference(found[later][measure], found[earlier][measure]),
            }
            for measure in ("reward_accuracy", "win_rate")
            for earlier, later in combinations(methods[1:], 2)
            if found[later][measure] and found[earlier][measure]
        ],
        "failed": [],
        "notes": ["one seed"] if seeds == 1 else [],
        "logs": logs,
        "samples": samples,
    }


def write_folder(figures, folder):
    """The three files of a folder."""
    folder.mkdir(exist_ok=True)
    figures = dict(figures)
    for name in ("logs", "samples"):
        lines = [json.dumps(row, ensure_ascii=False) for row in figures.pop(name)]
        (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (folder / "comparison.json").write_text(json.dumps(figures))
    return folder
