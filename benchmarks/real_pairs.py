"""Methods over pairs on two sets of real preference pairs, as the tables of docs/results.md.

Run: FAIRPO_DATA=/path/to/data python benchmarks/real_pairs.py [SET ...]

A language model of some 200,000 parameters from a config, fine-tuned on the chosen completions, and
every method from it, 3 seeds, one learning rate and number of steps for all. Results go to
runs/real-pairs/SET; what is done there is not done again. About ten minutes a set on a core that
does nothing else.
"""

import os
import sys
from pathlib import Path

import pandas as pd
import torch

from fairpo.generation.comparison import run_comparison
from fairpo.generation.comparison_figures import summarise_comparison
from fairpo.generation.plans import ComparePlan

METHODS = (
    *("sft", "dpo", "group-dro", "fairpo-dpo/fixed-weights"),
    *("fairpo-dpo", "fairpo-simpo", "fairpo-cpo"),
)
LAST_WORDS = 30
"""Of a prompt of unieval: dialogues and articles before it have hundreds."""

SETS = {
    "unieval_aspect_pairs": {
        "privileged": "worst:2",
        "sft": {"max_steps": 300},
        "settings": {"max_steps": 150, "precompute_ref_log_probs": False},
    },
    "anthropic_persona_pairs": {
        "privileged": "worst:5",
        "sft": {"max_steps": 500},
        "settings": {"max_steps": 250, "precompute_ref_log_probs": False},
    },
}


def main(names: tuple[str, ...]) -> None:
    torch.set_num_threads(1)
    for name in names:
        out = Path("runs/real-pairs") / name
        source = Path(os.environ["FAIRPO_DATA"]) / f"{name}.parquet"
        if name == "unieval_aspect_pairs":
            source = shortened(source, out.with_suffix(".parquet"))
        plan = ComparePlan(pairs=str(source), out=out, methods=METHODS, seeds=3, **SETS[name])
        compared = run_comparison(plan, say=lambda line: print(line, file=sys.stderr))
        print_tables(
            name, summarise_comparison(compared, f"python benchmarks/real_pairs.py {name}")
        )


def shortened(source: Path, target: Path) -> Path:
    """The same pairs with the last words of each prompt; pairs that are then equal stand once."""
    pairs = pd.read_parquet(source)
    pairs["prompt"] = [" ".join(prompt.split()[-LAST_WORDS:]) for prompt in pairs["prompt"]]
    target.parent.mkdir(parents=True, exist_ok=True)
    columns = ["prompt", "chosen", "rejected", "attribute"]
    pairs.drop_duplicates(columns).to_parquet(target)
    return target


def print_tables(name: str, found: dict) -> None:
    data = found["data"]
    sizes = ", ".join(f"{count} {split}" for split, count in data["n_pairs"].items())
    print(f"### {name}\n")
    print(
        f"{sizes} pairs, {len(found['attribute_names'])} attributes; privileged "
        f"({found['settings']['privileged']}): {', '.join(found['privileged'])}.\n"
    )
    parts = {"privileged": "P", "non_privileged": "N"}
    heads = ["method", *(f"reward accuracy {short}" for short in parts.values())]
    heads += ["worst attribute", "per token P", "per token N", "chosen P", "chosen N"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * 1}{'--:|' * (len(heads) - 1)}")
    for method, figures in found["methods"].items():
        rates, plain = figures["reward_accuracy"], figures["per_token_accuracy"]
        cells = [shown(rates["groups"][part]) for part in parts]
        cells.append(shown(rates["worst_attribute"]))
        cells += [shown(plain["groups"][part]) for part in parts]
        drift = figures["drift"]
        moved = [drift["chosen"]["groups"][part] for part in parts] if drift else []
        cells += [f"{value:+.2f}" for value in moved] or ["", ""]
        print(f"| {method} | {' | '.join(cells)} |")
    print()
    for gain in found["differences"]:
        if gain["first"].startswith("fairpo-dpo") and gain["second"] == "dpo":
            told = []
            for part, short in parts.items():
                value, low, high = (100 * x for x in gain["keys"][f"groups/{part}"].values())
                told.append(f"{short} {value:+.1f} [{low:+.1f}, {high:+.1f}]")
            print(f"{gain['first']} - dpo, reward accuracy: {'; '.join(told)}.\n")


def shown(rate: dict) -> str:
    if rate["value"] is None:
        return "-"
    return f"{100 * rate['value']:.1f} [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or tuple(SETS))
