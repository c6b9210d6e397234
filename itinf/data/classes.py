"""Which output of the head each class of a data set has: by name, by number, or refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils.data import Subset

from ..errors import ItinfError

WORDNET = re.compile(r"n\d{8}")
"""A class of ImageNet by its WordNet id; sorted, the 1,000 ids are the outputs of ImageNet's networks."""
BY_NAME, BY_NUMBER, BY_ORDER = "name", "number, counted from 0", "alphabetical order"


def class_outputs(
    given: Sequence[str],
    names: Sequence[str] | None,
    outputs: int | None,
    network: str,
    others: Mapping[str, int] | None = None,
) -> tuple[dict[str, int], str]:
    """The output of the head for each class of a data set, and the rule that assigned it.

    By name: every class is exactly one of the network's names, or one of ``others``; if not as it stands, then without
    case, spaces, underscores and hyphens. By number: all classes are numbers of outputs, counted from 0. By alphabetical
    order, like torchvision's ImageFolder: only if the network knows no names, the data have as many classes as the
    head has outputs, and numbers among them have one order only.

    Args:
        given: the classes of the data set.
        names: the network's names of its outputs; None if it knows none.
        outputs: number of outputs; None if it is not known.
        network: name of the network, for messages.
        others: other names of outputs, such as WordNet ids.

    Returns:
        class -> output, in alphabetical order of the classes; and ``BY_NAME``, ``BY_NUMBER`` or ``BY_ORDER``.

    Raises:
        ItinfError: no rule applies, or two readings are possible.
    """
    given = sorted(given)
    found = _found(given, names or (), others or {})
    if given and all(len(places) == 1 for places in found) and len({place for (place,) in found}) == len(given):
        return {name: places[0] for name, places in zip(given, found, strict=True)}, BY_NAME
    numbers = [int(name) for name in given if name.isascii() and name.isdigit()]
    if len(set(numbers)) == len(given):
        return _numbered(given, numbers, names, outputs, network)
    if not names and outputs in (None, len(given)) and not _wordnet(given):
        return {name: place for place, name in enumerate(given)}, BY_ORDER
    raise ItinfError(_misfit(given, found, names, outputs, network))


def require_meaning(items: Any, names: Sequence[str] | None, network: str) -> None:
    """Requires that a data set which names its classes numbers them as the network numbers its outputs.

    Args:
        items: the data set. torchvision's have ``classes``, those of Hugging Face ``features``.
        names: the network's names of its outputs; without them, nothing can be compared.
        network: name of the network, for messages.

    Raises:
        ItinfError: a name has another number in the network, or the network knows none of the names.
    """
    given = _names_in(items)
    if not given or not names or (len(given) == len(names) == 1000 and _wordnet(given) and given == sorted(given)):
        return
    known = {plain(name): place for place, name in reversed(list(enumerate(names)))}
    agreeing = [place < len(names) and plain(name) == plain(names[place]) for place, name in enumerate(given)]
    moved = [name for name, agrees in zip(given, agreeing, strict=True) if not agrees and plain(name) in known]
    if any(agreeing) and not moved:
        return
    if moved:
        first = given.index(moved[0])
        what = f"class {moved[0]!r} is {first} in the data, but output {known[plain(moved[0])]} of {network}"
    else:
        what = f"{network} knows none of the classes, first {given[0]!r}; its own begin with {names[0]!r}"
    raise ItinfError(
        f"{type(items).__name__} numbers its {len(given)} classes in another way than {network} its outputs: {what}. "
        "Give the data a target_transform to the network's numbers, or images:FOLDER, which goes by name. If the numbers "
        "are right, say so: itinf.items(data, inputs=…, targets=…)."
    )


def plain(name: str) -> str:
    """A name without case, spaces, underscores and hyphens."""
    return re.sub(r"[\s_-]", "", name.casefold())


def _found(given: Sequence[str], names: Sequence[str], others: Mapping[str, int]) -> list[list[int]]:
    """The outputs that have each name, by the first of three tables in which it is."""
    exact: dict[str, list[int]] = {}
    loose: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        exact.setdefault(name, []).append(place)
        loose.setdefault(plain(name), []).append(place)
    further: dict[str, list[int]] = {}
    for name, place in others.items():
        further.setdefault(plain(name), []).append(place)
    return [exact.get(name) or loose.get(plain(name)) or sorted(set(further.get(plain(name), []))) for name in given]


def _numbered(
    given: list[str], numbers: list[int], names: Sequence[str] | None, outputs: int | None, network: str
) -> tuple[dict[str, int], str]:
    total = len(given)
    by_order = not names and outputs in (None, total)  # as ImageFolder would have numbered them for the training
    if by_order and numbers != sorted(numbers):
        raise ItinfError(
            f"Class names {given[0]} … {given[-1]} are numbers whose alphabetical order ({', '.join(given[:3])} …) differs "
            "from their numerical order. Expected names with only one order: pad them with zeros, such as 02."
        )
    if (outputs is None or max(numbers) < outputs) and (0 in numbers or 1 not in numbers):
        return dict(zip(given, numbers, strict=True)), BY_NUMBER
    if by_order and numbers == list(range(1, total + 1)):
        return {name: place for place, name in enumerate(given)}, BY_ORDER
    raise ItinfError(
        f"The {total} classes are the numbers {', '.join(given[:3])}{' …' if total > 3 else ''} {given[-1]}, and "
        f"{network} has {outputs or 'an unknown number of'} outputs. Expected numbers of outputs, counted from 0: from 1 "
        "on, one output may be missing or the count may begin at 1, and itinf does not guess. Rename the classes to "
        f"0 … {(outputs or total) - 1}, or to the network's own class names; names for the outputs of a network "
        "are given by its option classes=FILE, one name per line."
    )


def _misfit(
    given: Sequence[str],
    found: Sequence[Sequence[int]],
    names: Sequence[str] | None,
    outputs: int | None,
    network: str,
) -> str:
    """The message about classes that no rule assigns."""
    how = (
        "Rename the classes to the network's own class names or to numbers of outputs, "
        f"0 … {outputs - 1 if outputs else '…'}; or name the outputs of the network by its option classes=FILE, one "
        "name per line in order of the outputs (in Python, Network(classes=[…]))."
    )
    if not names:
        return (
            f"{len(given)} classes were given ({', '.join(given[:3])} …), but {network} has {outputs} outputs and knows "
            "no class names. Classes are taken in alphabetical order only where they are as many as the outputs, and "
            f"WordNet ids only for 1,000 outputs. {how}"
        )
    unknown = [_close(name, names) for name, places in zip(given, found, strict=True) if not places]
    double = [f"{name!r} (outputs {places})" for name, places in zip(given, found, strict=True) if len(places) > 1]
    faults = [f"it does not know {', '.join(unknown[:5])}{' …' if len(unknown) > 5 else ''}"] if unknown else []
    faults += [f"two outputs have the name {', '.join(double[:3])}"] if double else []
    faults = faults or ["two classes have the same output"]
    return (
        f"{len(given)} classes were given, and {network} knows the names of its {len(names)} outputs, but "
        f"{'; '.join(faults)}. Classes go by name, never by alphabetical order, where names are known. {how}"
    )


def _close(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(plain(name), [plain(known) for known in names], n=1, cutoff=0.5)
    place = next((known for known in names if near and plain(known) == near[0]), None)
    return repr(name) + (f" (nearest {place!r})" if place else "")


def _wordnet(names: Sequence[str]) -> bool:
    return all(WORDNET.fullmatch(name) for name in names)


def _names_in(items: Any) -> list[str]:
    """The class names that a data set gives to its numbers; [] if it names none."""
    while isinstance(items, Subset):
        items = items.dataset
    names = getattr(items, "classes", None)
    features = getattr(items, "features", None)
    if names is None and isinstance(features, Mapping):
        names = next((getattr(features[key], "names", None) for key in ("label", "labels") if key in features), None)
    if not isinstance(names, list | tuple):
        return []
    first = [name[0] if isinstance(name, list | tuple) and name else name for name in names]  # ImageNet has synonyms
    return first if all(isinstance(name, str) for name in first) else []
