"""A results folder with everything a report can show, made of a simulated study."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd

from nwbswitch.analysis.runs.results_folder import estimate_switch
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, cells_table, simulate_study
from nwbswitch.analysis.table_file import read_table, write_csv
from nwbswitch.schemas.result_tables import COURSE_FEATURES, SESSIONS, SPECIFICATIONS, TIME_COURSES
from nwbswitch.schemas.tables import ESTIMATES

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>\"'&$\\frac{_"
"""A name that tries to leave every place it is put into."""


def results_folder(
    folder: Path, *, animals: int = 6, neurons: int = 24, name: str = "", seed: int = 8
) -> Path:
    """Write cells, estimates and result into ``folder`` and return it.

    Parameters
    ----------
    folder
        Where to.
    animals, neurons
        How many, and neurons of each; a third of them are of type PV.
    name
        Put before the name of every animal, arm, session and of the data set.
    seed
        Of the simulation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    study = simulate_study(SCENARIOS["switch"], n_animals=animals, n_neurons=neurons, rng=rng)
    cells = cells_table(study)
    cells["cell_type"] = np.where(cells["neuron"] % 3 == 0, "PV", "excitatory")
    for column in ("animal", "session", "dataset", "arm") if name else ():
        cells[column] = name + cells[column].astype(str)
    cells.to_parquet(folder / "cells.parquet")
    estimate_switch(folder / "cells.parquet", folder / "estimates.csv", reference=f"{name}saline", seed=seed)
    return folder


def add_tables(folder: Path) -> Path:
    """Add sessions, time courses and their features, and specifications to a results folder."""
    cells = pd.read_parquet(folder / "cells.parquet")
    result = json.loads((folder / "result.json").read_text())
    reference = result["reference"]
    (drug,) = (arm for arm in result["arms"] if arm != reference)
    write_csv(_sessions(cells), folder / "sessions.csv")
    courses, features = _courses(cells, result, drug, reference)
    write_csv(courses, folder / "time_courses.csv")
    write_csv(features, folder / "course_features.csv")
    estimates = read_table(folder / "estimates.csv", text=ESTIMATES.text_names)
    write_csv(_specifications(estimates, result, drug, reference), folder / "specifications.csv")
    return folder


def add_replication(folder: Path, *, n_eligible: int = 4, name: str = "") -> Path:
    """Add the answer of several data sets to a folder, which need not be that of one."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    datasets = [
        {
            "dataset": f"{name}lab {place}",
            "eligible": place < n_eligible,
            "reasons": [] if place < n_eligible else ["no saline in the same study", "4 animals, 6 needed"],
            "analysed": True,
            "arm": "ketamine",
            "n_animals": 6 + place,
            "verdict": "switch" if place < n_eligible else "not_enough_animals",
            "estimate": 1.4 + rng.normal(0, 0.1),
            "ci_low": 1.1,
            "ci_high": 1.8,
        }
        for place in range(n_eligible + 1)
    ]
    pooled = {"estimate": 1.42, "ci_low": 1.2, "ci_high": 1.6, "tau2": 0.01, "i2": 20.0, "k": n_eligible}
    text = {
        "sentence": f"The same verdict in all {n_eligible} data sets: switch{name}.",
        "datasets": datasets,
        "pooled": {"M": pooled},
        "prediction": {"low": 1.0, "high": 1.9},
        "left_out": [{"without": "lab 0", **pooled}],
        "published": [{"label": "A paper", "sentence": "A paper: 40 % down and 40 % up is compatible."}],
    }
    (folder / "replication.json").write_text(json.dumps(text))
    return folder


def _sessions(cells: pd.DataFrame) -> pd.DataFrame:
    keys = ["dataset", "animal", "session", "arm", "order", "source", "source_digest", "simulated"]
    found = cells.groupby(keys, sort=True)["neuron"].nunique().rename("n_neurons").reset_index()
    n = len(found)
    place = np.arange(n)
    found = found.assign(
        start_time=[f"2024-03-{1 + day % 28:02d}T10:00:00+01:00" for day in place],
        time_of_day_h=10 + place % 5 * 0.5,
        sex=np.where(place % 4 < 2, "F", "M"),
        age_days=80.0 + place,
        weight_g=22.0 + place % 3,
        genotype="Thy1-GCaMP6s",
        batch=np.where(place % 2 == 0, "rig 1", ""),
        anaesthesia="awake",
        administrations="[]",
        administration_s=1200.0,
        windows="baseline drug",
        included=True,
        exclusion="",
        asset_id="",
        source_version="",
    )
    out = found.head(3).assign(
        session=["x1", "x2", "x3"],
        included=False,
        exclusion=["motion in more than half of the frames", "no drug log", "no drug log"],
        n_neurons=0,
    )
    return SESSIONS.checked(pd.concat([found, out], ignore_index=True))


def _courses(
    cells: pd.DataFrame, result: dict, drug: str, reference: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(4)
    times = np.arange(-600.0, 2400.0, 150.0)
    rise = np.clip(times / 600, 0, 1) * np.exp(-np.clip(times - 900, 0, None) / 1500)
    size = {"G": 0.1, "SW": 4.0, "rho_star": -1.5}
    rows, features = [], []
    animals = sorted(cells["animal"].unique())
    for arm, estimand in itertools.product((reference, drug), size):
        base = {
            "dataset": result["dataset"],
            "arm": arm,
            "cell_type": result["cell_type"],
            "contrast": "drug",
            "estimand": estimand,
            "status": "ok",
            "simulated": True,
        }
        start = 1.0 if estimand == "rho_star" else 0.0
        shape = start + size[estimand] * rise * (arm == drug)
        for level, animal in (("arm", ""), *(("animal", each) for each in animals)):
            noise = 0.0 if level == "arm" else rng.normal(0, 0.1 * abs(size[estimand]), len(times))
            values = shape + noise
            half = 0.15 * abs(size[estimand])
            n = len(animals) if level == "arm" else 1
            rows.append(
                pd.DataFrame(
                    {
                        **base,
                        "level": level,
                        "animal": animal,
                        "time_s": times,
                        "width_s": 300.0,
                        "estimate": values,
                        "se": half / 2,
                        "ci_low": values - half,
                        "ci_high": values + half,
                        "band_low": values - 1.5 * half,
                        "band_high": values + 1.5 * half,
                        "n_animals": n,
                    }
                )
            )
        for feature, value in (("onset_s", 150.0), ("peak_s", 900.0), ("half_recovery_s", 1900.0)):
            known = value if arm == drug else np.nan
            features.append(
                {
                    **base,
                    "level": "arm",
                    "animal": "",
                    "feature": feature,
                    "estimate": known,
                    "ci_low": known - 60,
                    "ci_high": known + 60,
                    "n_animals": len(animals),
                    "status": "ok" if arm == drug else "no onset",
                }
            )
    courses = TIME_COURSES.checked(pd.concat(rows, ignore_index=True))
    return courses, COURSE_FEATURES.checked(pd.DataFrame(features))


def _specifications(estimates: pd.DataFrame, result: dict, drug: str, reference: str) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    plan = (3.0, "0.7", 600.0)
    choices = [
        plan,
        *(
            each
            for each in itertools.product((2.5, 3.0, 3.5, 4.0), ("0.0", "0.3", "0.7"), (300.0, 600.0))
            if each != plan
        ),
    ]
    own = estimates[(estimates["level"] == "arm") & (estimates["cell_type"] == result["cell_type"])]
    against = f"vs_{reference}"
    rows = []
    for number, (threshold, neuropil, window) in enumerate(choices):
        shift = 0.0 if number == 0 else rng.normal(0, 0.15)
        for estimand, contrast in (("M", against), ("SW", against), ("rho_star", "drug")):
            chosen = own[(own["estimand"] == estimand) & (own["arm"] == drug) & (own["contrast"] == contrast)]
            first = chosen.iloc[0]
            lost = number == 7
            rows.append(
                {
                    "dataset": result["dataset"],
                    "specification": number,
                    "threshold_sd": threshold,
                    "neuropil_coefficient": neuropil,
                    "window_s": window,
                    "roi_set": "all",
                    "frames": "all",
                    "k": 0,
                    "cell_type": result["cell_type"],
                    "arm": drug,
                    "reference": reference,
                    "verdict": "undecided" if lost else "switch",
                    "estimand": estimand,
                    "contrast": contrast,
                    "estimate": np.nan if lost else first["estimate"] + shift,
                    "se": first["se"],
                    "ci_low": np.nan if lost else first["ci_low"] + shift,
                    "ci_high": np.nan if lost else first["ci_high"] + shift,
                    "p": np.nan,
                    "n_animals": first["n_animals"],
                    "n_neurons": first["n_neurons"],
                    "status": "not estimable" if lost else "ok",
                    "simulated": True,
                }
            )
    return SPECIFICATIONS.checked(pd.DataFrame(rows))
