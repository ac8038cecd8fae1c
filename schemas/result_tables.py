"""The tables of a folder of results beside cells and estimates: sessions, time courses, specifications."""

from __future__ import annotations

from nwbswitch.schemas.tables import Column, TableSpec

SESSIONS_FILE = "sessions.csv"

_DATASET = Column("dataset", "str", "Name of the study or dandiset.")
_ARM = Column("arm", "str", "Treatment arm; none when nothing was given.")
_CELL_TYPE = Column("cell_type", "str", "Cell type the sums run over.")
_ANIMAL = Column("animal", "str", "Subject identifier; empty where animals are pooled.")
_SIMULATED = Column("simulated", "bool", "Whether any source says that it is simulated.")
_LOW = Column("ci_low", "float", "Lower bound of the 95 % interval.", nullable=True)
_HIGH = Column("ci_high", "float", "Upper bound of the 95 % interval.", nullable=True)
_BAND_LOW = Column(
    "band_low", "float", "Lower bound of the 95 % band over all times.", required=False, nullable=True
)
_BAND_HIGH = Column(
    "band_high", "float", "Upper bound of the 95 % band over all times.", required=False, nullable=True
)
_SE = Column("se", "float", "Standard error.", nullable=True)
_N_ANIMALS = Column("n_animals", "int", "Animals that contribute.")
_STATUS = Column("status", "str", "ok, or why there is no number.")

SESSIONS = TableSpec(
    "sessions",
    "one recording session, with what the design of the study rests on",
    (
        _DATASET,
        Column("animal", "str", "Subject identifier, unique within the dataset."),
        Column("session", "str", "Recording session identifier, unique within the animal."),
        Column("arm", "str", "Treatment arm as in the cells table; empty without a drug."),
        Column("order", "int", "Rank of the session within its animal by start time, from 1."),
        Column("start_time", "str", "Start of the session, ISO 8601 with its offset."),
        Column(
            "time_of_day_h",
            "float",
            "Hour of the administration, or of the start, by the clock of start_time; empty without one.",
            "h",
            nullable=True,
        ),
        Column("sex", "str", "M, F, O or U."),
        Column("age_days", "float", "Age at the session.", "d", nullable=True),
        Column("weight_g", "float", "Weight, where stated.", "g", nullable=True),
        Column("genotype", "str", "Genotype; empty when not stated."),
        Column("batch", "str", "Cohort, rig or experimenter group the file states; empty when not stated."),
        Column("anaesthesia", "str", "awake, or the anaesthetic; empty when not stated."),
        Column("administrations", "str", "The drug log of the session as JSON, one object per row."),
        Column(
            "administration_s",
            "float",
            "Time of the administration that decides the arm, on the session clock.",
            "s",
            nullable=True,
        ),
        Column("windows", "str", "Analysis windows that were measured, separated by spaces."),
        Column("n_neurons", "int", "Neurons measured."),
        Column("included", "bool", "Whether the session is in the cells table."),
        Column("exclusion", "str", "Why it is not; empty when it is."),
        Column("source", "str", "File path, URL or asset the session was measured from."),
        Column("source_digest", "str", "SHA-256 or asset digest of the source."),
        Column("asset_id", "str", "Identifier of the source in its archive; empty for a file."),
        Column("source_version", "str", "Version of the dandiset; empty for a file."),
        _SIMULATED,
        Column("species", "str", "Latin name; empty when not stated.", required=False),
    ),
)

TIME_COURSES = TableSpec(
    "time_courses",
    "one estimand in one sliding window of time against the baseline",
    (
        _DATASET,
        _ARM,
        _CELL_TYPE,
        Column("contrast", "str", "drug (window against baseline) or vs_<arm>."),
        Column("level", "str", "animal or arm."),
        _ANIMAL,
        Column("estimand", "str", "G, SW or rho_star."),
        Column("time_s", "float", "Centre of the sliding window, from the administration.", "s"),
        Column("width_s", "float", "Width of the sliding window.", "s"),
        Column("estimate", "float", "Point estimate.", nullable=True),
        _SE,
        _LOW,
        _HIGH,
        _BAND_LOW,
        _BAND_HIGH,
        _N_ANIMALS,
        _STATUS,
        _SIMULATED,
    ),
)

COURSE_FEATURES = TableSpec(
    "course_features",
    "one feature of one time course",
    (
        _DATASET,
        _ARM,
        _CELL_TYPE,
        Column("contrast", "str", "As in the time courses."),
        Column("level", "str", "animal or arm."),
        _ANIMAL,
        Column("estimand", "str", "G, SW or rho_star."),
        Column("feature", "str", "onset_s, peak_s, peak or half_recovery_s."),
        Column(
            "estimate",
            "float",
            "Its value: s from the administration, or units of the estimand.",
            nullable=True,
        ),
        _LOW,
        _HIGH,
        _N_ANIMALS,
        _STATUS,
        _SIMULATED,
    ),
)

SPECIFICATIONS = TableSpec(
    "specifications",
    "one estimand of one arm under one specification of the analysis",
    (
        _DATASET,
        Column("specification", "int", "Number of the specification; 0 is the one of the plan."),
        Column("threshold_sd", "float", "Level of an event, SD of the baseline noise."),
        Column("neuropil_coefficient", "str", "Share of the neuropil that is subtracted, or fit."),
        Column("window_s", "float", "Length of both windows that is used.", "s"),
        Column("roi_set", "str", "all, anatomical, detected_k, tracked: which ROIs count."),
        Column("frames", "str", "all, still or matched: which frames count."),
        Column("k", "int", "Detection limit of tau_c; 0 where the sweep of the plan is used."),
        _CELL_TYPE,
        _ARM,
        Column("reference", "str", "What the arm is compared with."),
        Column("verdict", "str", "The word of the verdict under this specification."),
        Column("estimand", "str", "G, R_act, R_sil, SW, rho_star, tau_c or M."),
        Column("contrast", "str", "drug or vs_<arm>."),
        Column("estimate", "float", "Point estimate.", nullable=True),
        _SE,
        _LOW,
        _HIGH,
        Column("p", "float", "Two-sided P; empty where there can be none.", nullable=True),
        _N_ANIMALS,
        Column("n_neurons", "int", "Neurons that contribute."),
        _STATUS,
        _SIMULATED,
    ),
)

RESULT_TABLES: dict[str, TableSpec] = {
    spec.name: spec for spec in (SESSIONS, TIME_COURSES, COURSE_FEATURES, SPECIFICATIONS)
}
