"""The plan of a simulated study: who is recorded when with what, as tables and a study.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nwbswitch.converters.simulate_files import PIXEL_SIZE_UM, SIMULATED, write_rows
from nwbswitch.converters.simulate_traces import INJECTION_S, RATE_HZ
from nwbswitch.schemas.files import replaced
from nwbswitch.schemas.worlds import MEANING, World

TRUTH = "SIMULATED_truth.csv"
"""In each session folder: the true rates and counts of events."""
WASHOUT_DAYS = 7
TREADMILL_LEAD_S = 4.25
"""The treadmill's clock starts this long before the session clock, s."""
DOSE_MG_PER_KG = 10.0
CONCENTRATION_MG_PER_ML = 1.0
MOVIE_STREAM: dict[str, object] = {
    "format": "tiff_movie",
    "path": "raw/{subject_id}/{session_id}/movie.tif",
    "rate_hz": RATE_HZ,
}
"""Columns of sessions.csv in the rows of sessions whose movie was kept."""
WINDOWS: tuple[tuple[str, float, float, str], ...] = (
    ("pseudo_baseline", 0.0, 600.0, "session"),
    ("pseudo_drug", 720.0, 1320.0, "session"),
    ("baseline", -660.0, -60.0, "administration"),
    ("drug", 60.0, 660.0, "administration"),
)
"""Window, start and stop in s, and what they count from."""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """All that decides the content of one session folder; the order of work does not."""

    seed: int
    world: str
    animal: int
    neurons: int | None
    day: int
    """1 or 2: the rank of the session in the crossover."""
    movie: bool
    """Whether the raw movie is kept."""

    @property
    def subject_id(self) -> str:
        """Identifier of the animal."""
        return f"SIM{self.animal:02d}"

    @property
    def session_id(self) -> str:
        """Identifier of the session; it does not tell the arm."""
        return f"day{1 + (self.day - 1) * WASHOUT_DAYS}"

    @property
    def substance(self) -> str:
        """What is injected: odd animals begin with saline, even ones with ketamine."""
        return "saline" if self.day % 2 == self.animal % 2 else "ketamine"

    @property
    def start_time(self) -> datetime:
        """Start of the session."""
        first = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
        return first + timedelta(days=self.animal - 1 + (self.day - 1) * WASHOUT_DAYS)

    @property
    def weight_g(self) -> float:
        """Body weight on the day, g."""
        return 22.0 + (self.animal * 7 % 11) * 0.6 + (self.day - 1) * 0.3


def write_tables(raw: Path, plans: Sequence[SessionPlan]) -> None:
    """Write subjects.csv, sessions.csv, drug_log.csv and README.txt into ``raw``."""
    sessions = [_session_row(plan) for plan in plans]
    tables = {
        "subjects.csv": [_subject_row(plan) for plan in plans if plan.day == 1],
        "sessions.csv": sessions,
        "drug_log.csv": [_drug_row(plan) for plan in plans],
    }
    for name, rows in tables.items():
        with replaced(raw / name) as partial:
            write_rows(partial, rows)
    with replaced(raw / "README.txt") as partial:
        partial.write_text(_README, encoding="utf-8")


def _subject_row(plan: SessionPlan) -> dict[str, object]:
    return {
        "subject_id": plan.subject_id,
        "species": "Mus musculus",
        "sex": "FM"[plan.animal % 2],
        "date_of_birth": "2025-10-06T00:00:00+00:00",
        "weight_g": plan.weight_g,
        "strain": "C57BL/6J",
        "genotype": "wild type",
        "description": "SIMULATED animal: no mouse was used.",
    }


def _session_row(plan: SessionPlan) -> dict[str, object]:
    return {
        "subject_id": plan.subject_id,
        "session_id": plan.session_id,
        "start_time": plan.start_time.isoformat(),
        "description": "SIMULATED two-photon recording with one injection after 23 min.",
    } | {f"streams.movie.{name}": value if plan.movie else None for name, value in MOVIE_STREAM.items()}


def _drug_row(plan: SessionPlan) -> dict[str, object]:
    is_ketamine = plan.substance == "ketamine"
    volume_ml = round(DOSE_MG_PER_KG / CONCENTRATION_MG_PER_ML * plan.weight_g / 1000, 4)
    other = "saline" if is_ketamine else f"ketamine {DOSE_MG_PER_KG:g} mg/kg i.p."
    return {
        "subject_id": plan.subject_id,
        "session_id": plan.session_id,
        "timestamp_s": INJECTION_S,
        "duration_s": 0.0,
        "time_uncertainty_s": 5.0,
        "substance": plan.substance,
        "role": "test" if is_ketamine else "vehicle",
        "control_kind": "none" if is_ketamine else "saline",
        "stereochemistry": "racemic" if is_ketamine else "achiral",
        "salt": "hydrochloride" if is_ketamine else "",
        "dose_basis": "salt" if is_ketamine else "",
        "dose": DOSE_MG_PER_KG if is_ketamine else None,
        "dose_unit": "mg/kg" if is_ketamine else "",
        "vehicle": "saline",
        "route": "i.p.",
        "body_weight_g": plan.weight_g,
        "concentration": CONCENTRATION_MG_PER_ML if is_ketamine else None,
        "concentration_unit": "mg/mL" if is_ketamine else "",
        "volume_ml": volume_ml,
        "lot": "SIMULATED",
        "washout_days": float(WASHOUT_DAYS) if plan.day == 2 else None,
        "prior_exposure": f"{other}, {WASHOUT_DAYS} days before" if plan.day == 2 else "none",
        "crossover_order": plan.day,
        "blinding": "none: simulated",
        "notes": "SIMULATED",
    }


_README = f"""{SIMULATED}

Raw files of a made-up study, laid out as a lab has them, so that every step can be tried and checked against
a known truth. No animal and no microscope were involved.

SIMXX/dayN/suite2p/plane0   traces and masks in the form of Suite2p
SIMXX/dayN/movie.tif        the movie, where it was kept: as in many labs, not everywhere
SIMXX/dayN/treadmill.csv    speed on the treadmill's own clock, which starts {TREADMILL_LEAD_S} s early
SIMXX/dayN/{TRUTH}  the true event rates and counts
subjects.csv, sessions.csv, drug_log.csv
"""


def study_yaml(world: World, *, seed: int) -> str:
    """Return the text of study.yaml for a study with ``world`` in its ketamine sessions."""
    import yaml

    study = {
        "study": {
            "name": "simulated-ketamine",
            "title": "SIMULATED crossover of saline and ketamine",
            "description": (
                f"SIMULATED with seed {seed}, not measured. World {world.value!r}: after ketamine "
                f"{MEANING[world]}; after saline every neuron keeps its rate."
            ),
            "keywords": ["SIMULATED", "two-photon", "calcium imaging"],
            "simulated": True,
        },
        "timezone": "UTC",
        "subjects": "raw/subjects.csv",
        "sessions": "raw/sessions.csv",
        "drug_log": "raw/drug_log.csv",
        "defaults": {
            "imaging": {
                "device": "two-photon microscope (SIMULATED)",
                "device_description": "A random number generator.",
                "indicator": "GCaMP6s",
                "excitation_lambda_nm": 920.0,
                "emission_lambda_nm": 510.0,
                "region": "SSp",
                "depth_um": 250.0,
                "pixel_size_um": [PIXEL_SIZE_UM, PIXEL_SIZE_UM],
                "cell_type": "excitatory",
                "description": "SIMULATED field of view.",
            },
            "clocks": {"treadmill": {"offset_s": -TREADMILL_LEAD_S}},
            "streams": {
                "traces": {
                    "format": "suite2p",
                    "path": "raw/{subject_id}/{session_id}/suite2p",
                    "roi_basis": "anatomical",
                },
                "treadmill": {
                    "format": "wheel_csv",
                    "path": "raw/{subject_id}/{session_id}/treadmill.csv",
                    "clock": "treadmill",
                    "time_column": "time_s",
                    "signals": [
                        {
                            "column": "speed_cm_s",
                            "quantity": "speed",
                            "unit": "cm/s",
                            "description": "Speed of the treadmill.",
                        }
                    ],
                },
            },
            "epochs": [
                {"window": window, "start_s": start_s, "stop_s": stop_s, "relative_to": zero}
                for window, start_s, stop_s, zero in WINDOWS
            ],
        },
    }
    return _HEADER + yaml.safe_dump(study, sort_keys=False, allow_unicode=True, width=100)


_HEADER = f"""# {SIMULATED}
#
# roi_basis is anatomical because the masks were placed without regard to activity, so that silent neurons
# are there too. With ROIs found by their activity (roi_basis: activity), cells that are silent in both
# windows are missing, which makes before and after anticorrelated: a reshuffle then looks like a switch, and
# only tau_c can tell them apart.
"""
