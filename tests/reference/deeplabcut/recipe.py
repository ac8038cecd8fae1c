"""How the files beside this script were made, with pandas 3.1.1 and PyTables 3.11.1: python recipe.py."""

from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
NAMES = ["scorer", "individuals", "bodyparts", "coords"]
COORDS = ("x", "y", "likelihood")
POINTS = [(animal, part) for animal in ("mouse1", "mouse2") for part in ("nose", "täil")] + [
    ("single", "lever")
]


def main() -> None:
    """Write one table of two animals and a lever in both formats of pandas, and a table of labels."""
    columns = [("DLC_net", *point, coord) for point in POINTS for coord in COORDS]
    values = np.arange(4 * len(columns)).reshape(4, -1) + 0.1
    frame = pd.DataFrame(values, columns=pd.MultiIndex.from_tuples(columns, names=NAMES))
    frame.to_hdf(HERE / "fixed.h5", key="df_with_missing", format="fixed", mode="w")
    frame.to_hdf(HERE / "table.h5", key="df_with_missing", format="table", mode="w", index=False)
    labels = frame.xs("mouse1", axis=1, level="individuals").drop(columns="likelihood", level="coords")
    labels.index = [f"labeled-data/video/img{number}.png" for number in range(4)]
    labels.to_hdf(HERE / "labels.h5", key="df_with_missing", format="table", mode="w", index=False)


if __name__ == "__main__":
    main()
