"""Write the pickles of this folder: run once with pandas 1.5.3 and once with 2.2.3, both with numpy 1.26."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd

columns = pd.MultiIndex.from_product(
    [["scorer"], ["nose", "tail"], ["x", "y", "likelihood"]], names=["scorer", "bodyparts", "coords"]
)
tables = {
    "poses": pd.DataFrame(np.arange(12.0).reshape(2, 6), columns=columns, index=["a/1.png", "a/2.png"]),
    "mixed": pd.DataFrame(
        {
            "count": [1, 2, 3],
            "dose": [1.5, np.nan, 2],
            "drug": ["saline", "ketamine", None],
            "time": pd.to_datetime(["2020-01-01", "2020-01-02", None]),
            "kept": [True, False, True],
        },
        index=pd.RangeIndex(3, name="trial"),
    ),
    "series": pd.Series([1.0, 2.0], name="rate", index=pd.Index([4, 7])),
}
for name, table in tables.items():
    Path(__file__).with_name(f"{name}_{pd.__version__}.pkl").write_bytes(pickle.dumps(table, protocol=4))
