"""The sentence on top of the page: over how much of its depth each network infers iteratively."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .controls import untold
from .network import NO, YES, Network
from .words import Verdict, Word

MOST = 4
"""Networks that one part of the sentence names, at most."""


def sentence(networks: Sequence[Network], judged: Mapping[str, Verdict], told: Mapping[str, str]) -> str:
    """One sentence on the iterative depth of all networks, controls last; "" where none was measured.

    A network whose interval reaches 0, or whose controls cannot be told apart, is never said to infer iteratively.

    Args:
        networks: the columns of the table.
        judged: name -> verdict on the iterative depth; ``told``: modality -> whether it tells the controls apart.
    """
    known = [network for network in networks if judged[network.name].word is not Word.UNDEFINED]
    asked = [network for network in known if not network.role]
    doubted = [n for n in asked if untold(told.get(n.modality, "")) and _passes(judged[n.name])]
    clauses = _asked([network for network in asked if network not in doubted], judged)
    for modality in dict.fromkeys(network.modality for network in doubted):
        of = [(n.name, _share(judged[n.name])) for n in doubted if n.modality == modality]
        clauses.append(f"by the numbers alone {_each(of, INFERS)}, but the {modality} controls cannot be told apart")
    clauses += [clause for role in (YES, NO) if (clause := _controls([n for n in known if n.role == role], judged))]
    whole = "; ".join(clauses)
    return f"{whole[0].upper() if clauses[0].startswith(STARTS) else whole[0]}{whole[1:]}." if whole else ""


INFERS, CANNOT = "infers iteratively", "cannot be told"
STARTS = ("by the numbers ", "of the ", "the ", "for ")
"""Beginnings of clauses that are no name, and may be written with a capital."""


def _controls(networks: Sequence[Network], judged: Mapping[str, Verdict]) -> str:
    """A clause on the controls of one role; "" without any."""
    if not networks:
        return ""
    shares = [(n.name, _share(judged[n.name])) for n in networks]
    one = len(networks) == 1
    if networks[0].role == YES:
        if not one:
            return f"of the networks built to infer iteratively, {_each(shares, 'does')}"
        name, share = shares[0]
        does = "does not" if share == "not at all" else f"does {share}" if share.startswith("over ") else share
        return f"the network built to infer iteratively, {named(name)}, {does}"
    if all(judged[n.name].word is Word.NO for n in networks):
        return "the control that should not does not" if one else f"the {len(networks)} controls that should not do not"
    return f"of the controls that should not, {_each(shares, 'does')}"


def _passes(verdict: Verdict) -> bool:
    return verdict.word in (Word.YES, Word.PART)


def _asked(networks: Sequence[Network], judged: Mapping[str, Verdict]) -> list[str]:
    """Clauses on networks that are no controls."""
    shares = {network.name: judged[network.name] for network in networks}
    passing = [(name, _share(verdict)) for name, verdict in shares.items() if _passes(verdict)]
    failing = [named(name) for name, verdict in shares.items() if verdict.word is Word.NO]
    rest = {name: verdict for name, verdict in shares.items() if not (_passes(verdict) or verdict.word is Word.NO)}
    clauses = []
    if passing:
        clauses.append(_each(passing, INFERS))
    if failing and passing:
        clauses[0] += f", {_listed(failing)} not at all"
    elif failing:
        clauses.append(f"{_listed(failing)} {'does' if len(failing) == 1 else 'do'} not infer iteratively")
    if rest:
        clauses.append(_each([(name, _share(verdict)) for name, verdict in rest.items()]))
    return clauses


def _share(verdict: Verdict) -> str:
    """What one network does, as it follows its name."""
    depth = verdict.size
    if verdict.word is Word.FEW:
        return "has too few units to tell"
    if verdict.word is Word.NO:
        return "not at all"
    if verdict.word is Word.OPEN:
        return f"{CANNOT} ({100 * depth.lo:.0f} … {100 * depth.hi:.0f} % of its depth)"
    between = "" if depth.lo == depth.hi else f" ({100 * depth.lo:.0f} … {100 * depth.hi:.0f} %)"
    share = (
        "over all of its depth" if verdict.word is Word.YES else f"over the last {100 * depth.mean:.0f} % of its depth"
    )
    return share + between + (", but untrained too" if verdict.word is Word.SAME else "")


def _each(shares: Sequence[tuple[str, str]], verb: str = "") -> str:
    """What every network does; the verb stands once, at the first share of depth."""
    told = []
    for name, share in shares[:MOST]:
        over = verb and share.startswith("over ")
        if share.startswith(CANNOT):
            told.append(f"for {named(name)} it {share}")
        else:
            told.append(f"{named(name)} {verb} {share}" if over else f"{named(name)} {share}")
        verb = "" if over else verb
    return ", ".join(told) + (f", and {len(shares) - MOST} more in the table" if len(shares) > MOST else "")


def _listed(names: Sequence[str]) -> str:
    if len(names) > MOST:
        return f"{', '.join(names[:MOST])} and {len(names) - MOST} more in the table"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def named(name: str) -> str:
    """In quotes where it has a comma of its own."""
    return f"“{name}”" if "," in name else name
