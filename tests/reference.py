"""MEASURES.md the long way: plain forward passes, one autograd call per gradient, loops over pairs.

Nothing of itinf is used. A ``Meeting`` is one update with one gradient, for all clusters; units are numbered
cluster by cluster, position by position.
"""

import math
from collections import defaultdict
from dataclasses import dataclass

import torch
import torch.nn.functional as F

IGNORED = -100


@dataclass
class Meeting:
    """D and g of every unit, flattened: (N, P, K). ``scale`` (N, P) is what a normalised loss is divided by."""

    update: torch.Tensor
    gradient: torch.Tensor
    scale: torch.Tensor


def loss(logits, targets):
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum")


@torch.enable_grad()
def gradient_at(point, onward, targets):
    leaf = point.detach().clone().requires_grad_(True)
    (found,) = torch.autograd.grad(loss(onward(leaf), targets), leaf)
    return found


def residual_norm(logits, targets):
    """Norm of softmax − onehot per unit, 0 where ignored."""
    hot = F.one_hot(targets.clamp_min(0), logits.shape[-1])
    return (logits.softmax(-1) - hot).norm(dim=-1) * (targets != IGNORED)


class Images:
    """A post-activation CIFAR ResNet, its blocks written out."""

    def __init__(self, model, inputs, targets):
        self.model, self.targets = model, targets.unsqueeze(1)  # (N, 1)
        self.blocks = [b for stage in (model.layer1, model.layer2, model.layer3) for b in stage]
        self.states = [F.relu(model.bn1(model.conv1(inputs)))]
        for block in self.blocks:
            h = self.states[-1]
            self.states.append(F.relu(self.branch(block, h) + block.shortcut(h)))
        self.final = self.head(self.states[-1])

    @staticmethod
    def branch(block, h):
        return block.bn2(block.conv2(F.relu(block.bn1(block.conv1(h)))))

    def head(self, h):
        return self.model.linear(h.mean((2, 3))).unsqueeze(1)  # (N, 1, classes)

    def rest(self, start):
        def onward(h):
            for block in self.blocks[start:]:
                h = F.relu(self.branch(block, h) + block.shortcut(h))
            return self.head(h)

        return onward

    def fits(self, state):
        return state.shape[1] == self.states[-1].shape[1]

    @staticmethod
    def flat(values):
        return values.flatten(1).unsqueeze(1)

    def channels(self, state):
        return state.flatten(2).unsqueeze(1)  # (N, P, C, S)

    def meetings(self):
        """(block, update, part, gradient) -> meeting, and (block, update, part) -> what it is added to."""
        found, bases = {}, {}
        whole = residual_norm(self.final, self.targets)
        for l, block in enumerate(self.blocks):
            before, after = self.states[l], self.states[l + 1]
            branch = self.branch(block, before)
            skip = block.shortcut(before)
            same = before.shape == after.shape
            outputs = {"update": gradient_at(after, self.rest(l + 1), self.targets)} if same else {}
            outputs["branch"] = gradient_at(
                branch, lambda f, s=skip, l=l: self.rest(l + 1)(F.relu(f + s)), self.targets
            )
            for update, vector in (("update", after - before if same else None), ("branch", branch)):
                if vector is None:
                    continue
                gradients = {"output": (outputs[update], whole)}
                if same:
                    bases[l, update, ""] = self.flat(before)
                    gradients["input"] = gradient_at(before, self.rest(l), self.targets), whole
                    if self.fits(before):
                        norm = residual_norm(self.head(before), self.targets)
                        gradients["readout"] = gradient_at(before, self.head, self.targets), norm
                for which, (g, scale) in gradients.items():
                    found[l, update, "", which] = Meeting(self.flat(vector), self.flat(g), scale)
        return found, bases


class Tokens:
    """GPT-2, its blocks written out."""

    def __init__(self, model, ids, targets):
        self.model, self.targets = model, targets
        trunk = model.transformer
        self.blocks = list(trunk.h)
        self.states = [trunk.wte(ids) + trunk.wpe(torch.arange(ids.shape[1]))]
        self.attention, self.mlp = [], []
        for block in self.blocks:
            h = self.states[-1]
            self.attention.append(self.attend(block, h))
            self.mlp.append(block.mlp(block.ln_2(h + self.attention[-1])))
            self.states.append(h + self.attention[-1] + self.mlp[-1])
        self.final = self.head(self.states[-1])

    def attend(self, block, h):
        n, t, c = h.shape
        heads = self.model.config.n_head
        x = block.ln_1(h) @ block.attn.c_attn.weight + block.attn.c_attn.bias
        q, k, v = (y.reshape(n, t, heads, -1).transpose(1, 2) for y in x.split(c, dim=2))
        scores = q @ k.transpose(2, 3) / (c / heads) ** 0.5
        scores = scores.masked_fill(torch.ones(t, t).triu(1).bool(), -torch.inf)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, c)
        return mixed @ block.attn.c_proj.weight + block.attn.c_proj.bias

    def head(self, h):
        return self.model.transformer.ln_f(h) @ self.model.lm_head.weight.T

    def rest(self, start, after_attention=False):
        def onward(h):
            for l, block in enumerate(self.blocks[start:]):
                if l > 0 or not after_attention:
                    h = h + self.attend(block, h)
                h = h + block.mlp(block.ln_2(h))
            return self.head(h)

        return onward

    def fits(self, state):
        return True

    def channels(self, state):
        return state.unsqueeze(-1)

    def meetings(self):
        found, bases = {}, {}
        whole = residual_norm(self.final, self.targets).norm(dim=1, keepdim=True).expand(self.targets.shape)
        for l in range(len(self.blocks)):
            before, after = self.states[l], self.states[l + 1]
            inside = before + self.attention[l]
            at_inside = gradient_at(inside, self.rest(l, after_attention=True), self.targets)
            at_before = gradient_at(before, self.rest(l), self.targets)
            at_after = gradient_at(after, self.rest(l + 1), self.targets)
            for update, part, vector, base, into, out in (
                ("update", "", after - before, before, at_before, at_after),
                ("part", "attention", self.attention[l], before, at_before, at_inside),
                ("part", "mlp", self.mlp[l], inside, at_inside, at_after),
            ):
                bases[l, update, part] = base
                found[l, update, part, "input"] = Meeting(vector, into, whole)
                found[l, update, part, "output"] = Meeting(vector, out, whole)
                norm = residual_norm(self.head(base), self.targets)
                found[l, update, part, "readout"] = Meeting(vector, gradient_at(base, self.head, self.targets), norm)
        return found, bases


def mean(values):
    return math.fsum(values) / len(values) if values else math.nan


def dots(d, g):
    """Every update with every gradient: table[u][k], u and k numbered cluster by cluster."""
    return (d.flatten(0, 1) @ g.flatten(0, 1).T).tolist()


def alignment(d, g, scale, known, pairs, partner):
    """Rows of one form: mean, weighted and both nulls; and the effects against the nulls.

    ``partner`` holds for each unit all units of other clusters of its group with its target.
    """
    long, wide = d.norm(dim=2).flatten().tolist(), g.norm(dim=2).flatten().tolist()
    usable = [u for u, k in enumerate(known.flatten().tolist()) if k and long[u] > 0 and wide[u] > 0]
    table, weight = dots(d, g), scale.flatten().tolist()

    def cosine(u, k):
        return -table[u][k] / (long[u] * wide[k])

    own = {u: cosine(u, u) for u in usable}
    theirs = {u: [cosine(u, k) for k in partner.get(u, ()) if k in own] for u in usable}
    other = {u: mean(values) for u, values in theirs.items() if values}
    rows = {
        ("mean", "observed"): mean(own.values()),
        ("weighted", "observed"): sum(own[u] * weight[u] for u in usable) / sum(weight[u] for u in usable),
        ("mean", "pairing"): mean([cosine(u, k) for u, k in pairs if u in own and k in own]),
        ("mean", "same-target"): mean(other.values()),
    }
    effect = mean([own[u] for u in other]) - rows["mean", "same-target"]
    return rows, {"pairing": rows["mean", "observed"] - rows["mean", "pairing"], "same-target": effect}


def gauge_free(d, g, known, pairs, partner):
    """Share and ratio, observed and over pairs, and the share with partners."""
    table = dots(d, g)
    units = [u for u, k in enumerate(known.flatten().tolist()) if k]
    meet = {(u, k): -table[u][k] for u, k in pairs}
    at_gradient, at_update = defaultdict(list), defaultdict(list)
    for (u, k), value in meet.items():
        at_gradient[k].append(value**2)
        at_update[u].append(value**2)
    a = {u: mean(at_gradient[u]) ** 0.5 for u in units}
    b = {u: mean(at_update[u]) ** 0.5 for u in units}
    m = mean([v**2 for v in meet.values()]) ** 0.5
    return {
        ("descent_share", "mean", "observed"): mean([-table[u][u] > 0 for u in units]),
        ("descent_share", "mean", "pairing"): mean([v > 0 for v in meet.values()]),
        ("descent_share", "mean", "same-target"): mean(
            [mean([-table[u][k] > 0 for k in partner[u]]) for u in units if partner.get(u)]
        ),
        ("alignment", "ratio", "observed"): mean([m * -table[u][u] / (a[u] * b[u]) for u in units]),
        ("alignment", "ratio", "pairing"): mean([m * v / (b[u] * a[k]) for (u, k), v in meet.items()]),
    }


def flattened(d, g, known, members):
    """Cosine of whole sequences, observed and over pairs of the same group."""
    d, g = ((x * known.unsqueeze(2)).flatten(1) for x in (d, g))
    table = (-(d @ g.T) / (d.norm(dim=1).unsqueeze(1) * g.norm(dim=1))).tolist()
    pairs = [table[i][k] for m in members for i in m for k in m if i != k]
    return {"observed": mean([table[i][i] for i in range(len(d))]), "pairing": mean(pairs)}


def prediction(before, after, target):
    """Sums over units (R, classes) of gain and movement, in bits."""
    p, q = (x.log_softmax(1) / math.log(2) for x in (before, after))
    gain = (q - p).gather(1, target.unsqueeze(1)).sum()
    return float(gain), float((2**p * (p - q)).sum())
