"""A row of a results table in which every column does not apply, to be filled by tests."""

from itinf.results.schema import DTYPES, SCHEMA

BLANK = {
    name: {"str": "", "int64": 0, "Int64": None, "float64": float("nan"), "boolean": None}[dtype]
    for name, dtype in DTYPES.items()
}
BLANK |= {"schema": SCHEMA, "statistic": "mean", "target": "label", "subset": "all", "null": "observed", "n_missing": 0}
