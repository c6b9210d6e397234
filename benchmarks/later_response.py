"""Benchmark: is what was predicted earlier subtracted later? The table of the probe ``later_response`` of several networks.

    python benchmarks/later_response.py predictive-tabular,steps=1 predictive-tabular,steps=1,error=truth gpt2 \\
        predictive,weights=FOLDER llama,weights=FOLDER,data=text:FILE --windows 96 --out results/later

A network is its name, then ``KEY=VALUE`` for its weights, its options and, as ``data``, its text; ``windows`` of its own too.
``untrained=0`` measures a copy with random weights of that seed instead. Each network has its own results folder, so the command can be stopped and given again. Effects are in
thousandths of a nat for each nat, with half of the 95 % interval over windows; ρ without a number is missing, where a true
token teaches nothing clearly above zero. About half a second a window for gpt2, on one core.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pandas as pd

import itinf
from itinf.cli.options import options as options_of

TOKENS = 256
NULLS = ("other-place", "other-token", "cross")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", help="NAME,KEY=VALUE,…")
    parser.add_argument("--data", default="stdlib", help="text to read")
    parser.add_argument("--windows", type=int, default=96, help=f"sequences of {TOKENS} tokens")
    parser.add_argument("--batch", type=int, default=16, help="sequences in memory at once")
    parser.add_argument("--out", type=Path, default=Path("results/later"), help="folder of results folders")
    given = parser.parse_args()
    for words in given.networks:
        name, *pairs = words.split(",")
        options = options_of(pairs)
        data, windows = options.pop("data", given.data), options.pop("windows", given.windows)
        seed = options.pop("untrained", None)
        network = itinf.network(name, options.pop("weights", None), **options)
        if seed is not None and network.untrained is not None:
            network = network.untrained(seed)
        result = itinf.probe(
            network,
            itinf.dataset(data, network, length=TOKENS),
            [itinf.LaterResponse()],
            out=given.out / words.replace("/", "_"),
            units=windows * TOKENS,
            group=8,
            batch=given.batch,
        )
        print(f"\n{words} on {data}, {result.table['n_clusters'].max()} windows")
        write(result.table)


def write(table: pd.DataFrame) -> None:
    """One line for each state."""
    (taught,) = _numbers(table, "taught").values()
    print(f"κ {_text(taught)}")
    heads = ("state", "χ", *NULLS, "χ finite", "same sign", "lag 1", "Σχ", "Σχ same token", "Σχ cross")
    print("".join(f"{head:>16}" for head in heads), f"{'ρ':>20}{'ρ same depth':>20}")
    for state in sorted(_numbers(table, "later_response")):
        cells = [_numbers(table, "later_response").get(state)]
        cells += [_numbers(table, "later_response", null=null).get(state) for null in NULLS]
        cells += [_numbers(table, "later_response", form="finite").get(state)]
        signs = _numbers(table, "finite_same_sign", form="finite").get(state)
        later = [_numbers(table, "later_response", form="lag 1").get(state)]
        later += [_numbers(table, "later_response_total", **which).get(state) for which in TOTALS]
        shares = [_numbers(table, "subtracted_share", form=form).get(state) for form in ("", "same depth")]
        texts = [_text(cell, 1000) for cell in cells] + [f"{signs[0]:.2f}" if signs else ""]
        texts += [_text(cell, 1000) for cell in later]
        print(f"{state:>16}" + "".join(f"{text:>16}" for text in texts), "".join(f"{_range(x):>20}" for x in shares))


TOTALS = ({}, {"subset": "same token"}, {"null": "cross"})
Number = tuple[float, float, float]


def _numbers(table: pd.DataFrame, measure: str, **columns: str) -> dict[int, Number]:
    """State -> estimate and interval."""
    wanted = {"measure": measure, "form": "", "null": "observed", "subset": "all"} | columns
    chosen = table[(table["statistic"] != "median")]
    for column, value in wanted.items():
        chosen = chosen[chosen[column] == value]
    rows = zip(chosen["state_index"], chosen["mean"], chosen["lo"], chosen["hi"], strict=True)
    return {int(state): numbers for state, *numbers in rows}


def _text(number: Number | None, times: float = 1) -> str:
    if number is None or math.isnan(number[0]):
        return "–"
    mean, lo, hi = (times * x for x in number)
    digits = 1 if times > 1 else 3
    half = "" if math.isnan(lo) else f" ± {(hi - lo) / 2:.{digits}f}"
    return f"{mean:.{digits}f}{half}"


def _range(number: Number | None) -> str:
    if number is None or math.isnan(number[0]):
        return "missing"
    return f"{number[0]:.3f} [{number[1]:.3f}, {number[2]:.3f}]"


if __name__ == "__main__":
    main()
