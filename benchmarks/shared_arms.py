"""Experiment: does repeating help a block that was trained to be repeated?

    itinf train cifar-resnet20 --data images:FOLDER -O share=2 --seed 0 --out arms/own-norm-0     and other arms and seeds
    python benchmarks/shared_arms.py arms --data images:FOLDER        every trained ARM-SEED in the folder

Each training is measured on test images once, and its numbers are kept in --out; those that are there already are only shown,
so run it again when more seeds are trained. Loss and accuracy are those of images in the training and the test split. The
last column is the difference of the loss after the best repeat of the last block, chosen on other images: negative where
repeating helps. Numbers of blocks are those of the blocks that share, in arms without sharing of the same places. The spread
is over seeds.

* alignment: cosine of the update and the negative gradient after the block, the mean over the blocks.
* lesion, mean: cost in bits of a block that adds nothing, or its mean; swap: of two neighbours that share; repeat: of the last
  of them run once more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F

import itinf
from itinf import Network
from itinf.data.clusters import keyed_order, load_batch
from itinf.training.specimen import read_card


def scores(network: Network, source: str, split: str, units: int) -> dict[str, float]:
    """Loss in bits and accuracy on images of a split."""
    data = itinf.dataset(source, network, split=split)
    order = keyed_order(data, min(units, len(data)), 0)
    loss = right = 0.0
    for start in range(0, len(order.indices), 200):
        batch = load_batch(data, order.indices[start : start + 200])
        with torch.no_grad():
            logits = network.model(batch.inputs)
        labels = batch.targets.flatten()
        loss += float(F.cross_entropy(logits, labels, reduction="sum")) / 0.6931471805599453
        right += float((logits.argmax(1) == labels).sum())
    return {f"{split} loss": loss / len(order.indices), f"{split} accuracy": right / len(order.indices)}


def measured(folder: Path, source: str, share: int, units: int) -> dict[str, float]:
    """The numbers of one trained network."""
    recipe = read_card(folder)["recipe"]
    network = itinf.network(recipe["network"], str(folder / "model.safetensors"), **recipe["options"])
    probes = [itinf.Alignment(forms=("raw",), gradients=("output",)), itinf.Lesion(nulls=("mean",))]
    probes += [itinf.Swap(), itinf.Repeat()]
    table = itinf.probe(network, itinf.dataset(source, network, split="test"), probes, units=units).table
    table = table[table["statistic"] == "mean"]
    names = [block.name for block in network.blocks]
    stages = [[n for n in names if n.startswith(s)] for s in dict.fromkeys(n.split(".")[0] for n in names)]
    shared = {names.index(n) + 1 for stage in stages for n in stage[-share:]}
    ends = {names.index(stage[-1]) + 1 for stage in stages}
    firsts = {b for b in shared if b not in ends}

    def over(blocks: set[int], measure: str, form: str, null: str = "observed") -> float:
        rows = table[(table["measure"] == measure) & (table["form"] == form) & (table["null"] == null)]
        return float(rows.loc[rows["block_index"].isin(blocks), "mean"].mean())

    best = table[(table["measure"] == "cost") & (table["form"] == "repeat best")].iloc[-1]
    return {
        **scores(network, source, "train", units),
        **scores(network, source, "test", units),
        "alignment": over(shared, "alignment", "raw"),
        "lesion": over(shared, "cost", "lesion"),
        "mean": over(shared, "cost", "lesion", "mean"),
        "swap": over(firsts, "cost", "swap"),
        "repeat": over(ends, "cost", "repeat 1 × 1"),
        "best repeat": best["mean"],
        "best lo": best["lo"],
        "best hi": best["hi"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="trainings, in folders called ARM-SEED")
    parser.add_argument("--data", required=True, help="images:FOLDER with the splits train and test")
    parser.add_argument("--share", type=int, default=2, help="how many blocks of a stage share")
    parser.add_argument("--units", type=int, default=2000, help="images of each split")
    parser.add_argument("--out", type=Path, default=Path("results/shared_arms.csv"))
    chosen = parser.parse_args()
    known = pd.read_csv(chosen.out).to_dict("records") if chosen.out.is_file() else []
    done = {(row["training"], row["units"]) for row in known}
    for card in sorted(chosen.folder.glob("*/card.toml")):
        folder = card.parent
        if (folder.name, chosen.units) in done:
            continue
        row = {"training": folder.name, "arm": folder.name.rpartition("-")[0], "units": chosen.units}
        known.append(row | measured(folder, chosen.data, chosen.share, chosen.units))
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(known).to_csv(chosen.out, index=False)
    if not known:
        raise SystemExit(f"{chosen.folder} holds no finished training, a folder with card.toml.")
    table = pd.DataFrame(known).drop(columns=["units"])
    pd.set_option("display.width", 200, "display.max_columns", 30)
    print(table.drop(columns="arm").set_index("training").round(3).T)
    arms = table.drop(columns="training").groupby("arm", sort=False)
    print(
        f"\nMean over seeds, with the standard deviation between them ({', '.join(f'{a}: {len(g)}' for a, g in arms)}):"
    )
    print(arms.mean().round(3).T, arms.std().round(3).T, sep="\n\n")


if __name__ == "__main__":
    main()
