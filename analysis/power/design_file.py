"""The design that power is asked for: one YAML file, or the same values in Python."""

from __future__ import annotations

from itertools import product
from math import log, log2
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from nwbswitch.analysis.power.components import Components, Pilot, components_of_fit, overridden
from nwbswitch.analysis.power.simulation import ANIMAL, NEURON, SESSION, Layout, NeuronCounts
from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.issues import Place, has_errors, issue
from nwbswitch.schemas.study_findings import findings
from nwbswitch.schemas.study_positions import read_yaml

MAX_DESIGNS: Final = 500
MAX_SESSIONS: Final = 100_000
MAX_ROWS: Final = 1e15
# Neurons per session more uneven than this are not meant: the SD in units of the mean.
MAX_SPREAD: Final = 3.0
FORMULAS: Final = {
    "between": "y ~ drug * epoch + (1 + epoch | animal) + (1 | session) + (1 | neuron)",
    "crossover": (
        "y ~ drug * epoch + (1 + epoch + drug:epoch | animal) + (1 + epoch | session) + (1 | neuron)"
    ),
}
Sd = Annotated[float, Field(ge=0, le=1e12)]
Correlation = Annotated[float, Field(ge=-1, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _counted(value: Any) -> Any:
    return value if isinstance(value, dict | BaseModel) else {"mean": value}


class Neurons(_Part):
    """Neurons per session: a number, or a distribution over sessions."""

    mean: float = Field(ge=2, le=1e9, description="Mean number of neurons of a session, at least 2.")
    sd: float = Field(0.0, ge=0, le=1e9, description="SD between sessions; 0 for always the mean.")
    minimum: int = Field(
        2, ge=2, le=1_000_000_000, description="Sessions with fewer neurons are not made; at least 2."
    )

    @model_validator(mode="after")
    def _not_too_uneven(self) -> Neurons:
        if self.sd > MAX_SPREAD * self.mean:
            raise ValueError(f"the sd {self.sd:g} is more than {MAX_SPREAD:g} times the mean {self.mean:g}")
        return self

    @property
    def counts(self) -> NeuronCounts:
        """The distribution to draw from."""
        return NeuronCounts(self.mean, self.sd, self.minimum)

    def __str__(self) -> str:
        return f"{self.mean:g}" + (f" (SD {self.sd:g})" if self.sd else "")


class StatedComponents(_Part):
    """Standard deviations on the outcome's scale; with ``from_fit`` those not stated come from a pilot."""

    from_fit: Path | None = Field(None, description="JSON of a pilot, written by nwbswitch fit -o.")
    animal_group: str = Field(ANIMAL, min_length=1, description="Name of the animals' group in the pilot.")
    session_group: str = Field(SESSION, min_length=1, description="Name of the sessions' group in the pilot.")
    neuron_group: str = Field(NEURON, min_length=1, description="Name of the neurons' group in the pilot.")
    animal_intercept_sd: Sd | None = Field(None, description="SD of animals' baselines.")
    animal_slope_sd: Sd | None = Field(
        None, description="SD of animals' changes from baseline, whatever the arm."
    )
    animal_correlation: Correlation | None = Field(None, description="Of baseline and change of an animal.")
    animal_response_sd: Sd | None = Field(
        None, description="SD of what the drug does to animals, beyond what their arms share."
    )
    session_intercept_sd: Sd | None = Field(None, description="SD of sessions' baselines within an animal.")
    session_slope_sd: Sd | None = Field(None, description="SD of sessions' changes within an animal.")
    session_correlation: Correlation | None = Field(None, description="Of baseline and change of a session.")
    neuron_sd: Sd | None = Field(None, description="SD of neurons within a session.")
    neuron_slope_sd: Sd | None = Field(None, description="SD of neurons' changes within a session.")
    neuron_correlation: Correlation | None = Field(None, description="Of level and change of a neuron.")
    residual_sd: Annotated[float, Field(gt=0, le=1e12)] | None = Field(
        None, description="SD of one measurement of one neuron, above 0."
    )

    @model_validator(mode="after")
    def _residual_is_known(self) -> StatedComponents:
        if self.from_fit is None and self.residual_sd is None:
            raise ValueError("residual_sd is not given; state it, or give a pilot as from_fit")
        return self

    def resolved(self) -> Pilot:
        """Return the components, those of the pilot where nothing else is stated.

        Raises
        ------
        InputFileError
            If the pilot cannot be read.
        """
        names = Components.__dataclass_fields__
        stated = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.from_fit is None:
            return Pilot(Components(**stated), {}, ())
        pilot = components_of_fit(
            self.from_fit, animal=self.animal_group, session=self.session_group, neuron=self.neuron_group
        )
        groups = {
            kind: pilot.groups[name]
            for kind, name in (
                (ANIMAL, self.animal_group),
                (SESSION, self.session_group),
                (NEURON, self.neuron_group),
            )
            if name in pilot.groups
        }
        return Pilot(overridden(pilot.components, stated), groups, pilot.notes)


class PowerDesign(_Part):
    """An experiment to plan: what may vary is given as a list, and power is told for every combination."""

    kind: Literal["between", "crossover"] = Field(
        description="between: each animal gets one arm; crossover: each animal gets both, by session."
    )
    animals_per_arm: Annotated[
        tuple[Annotated[int, Field(ge=2, le=10_000)], ...], BeforeValidator(_listed), Field(min_length=1)
    ] = Field(description="Numbers of animals to try: of each arm; in a crossover of both, being the same.")
    sessions_per_animal: Annotated[
        tuple[Annotated[int, Field(ge=1, le=1000)], ...], BeforeValidator(_listed), Field(min_length=1)
    ] = Field((2,), description="Numbers of sessions to try; a crossover needs at least 2.")
    neurons_per_session: Annotated[
        tuple[Annotated[Neurons, BeforeValidator(_counted)], ...],
        BeforeValidator(_listed),
        Field(min_length=1),
    ] = Field(description="Numbers of neurons to try, or distributions {mean, sd, minimum}.")
    windows: int = Field(2, ge=2, le=50, description="Windows of a session; the first is the baseline.")
    rows_per_window: int = Field(
        1, ge=1, le=100_000, description="Measurements of each neuron in each window."
    )
    effect: float | None = Field(None, description="Drug by epoch, on the outcome's scale.")
    effect_ratio: float | None = Field(
        None, gt=0, description="The effect as a ratio, for an outcome that is a logarithm."
    )
    outcome: Literal["plain", "log", "log2"] = Field(
        "plain", description="Whether the outcome is a natural logarithm (log) or one to base 2."
    )
    components: StatedComponents = Field(description="How much animals, sessions, neurons and rows scatter.")
    formula: str = Field("", description="Model of y by drug, epoch, animal, session and neuron.")
    ddf: Literal["kenward-roger", "satterthwaite", "none"] = Field(
        "kenward-roger", description="Degrees of freedom of the test."
    )
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Level of the two-sided test.")
    target_power: float = Field(0.8, gt=0, lt=1, description="Power that is wanted.")
    simulations: int = Field(1000, ge=20, le=1_000_000, description="Simulated experiments per design.")
    seed: int = Field(1, ge=0, description="Seed of the random numbers.")

    @model_validator(mode="after")
    def _one_effect(self) -> PowerDesign:
        if (self.effect is None) == (self.effect_ratio is None):
            raise ValueError("give effect or effect_ratio, and not both")
        if self.effect_ratio is not None and self.outcome == "plain":
            raise ValueError("effect_ratio needs an outcome that is log or log2")
        return self

    @model_validator(mode="after")
    def _both_arms(self) -> PowerDesign:
        if self.kind == "crossover" and min(self.sessions_per_animal) < 2:
            raise ValueError("a crossover needs at least 2 sessions_per_animal")
        return self

    @model_validator(mode="after")
    def _not_too_many(self) -> PowerDesign:
        many = len(self.animals_per_arm) * len(self.sessions_per_animal) * len(self.neurons_per_session)
        if many > MAX_DESIGNS:
            raise ValueError(f"these are {many} designs; at most {MAX_DESIGNS} are tried in one go")
        largest = 2 * max(self.animals_per_arm) * max(self.sessions_per_animal)
        if largest > MAX_SESSIONS:
            raise ValueError(
                f"the largest design has {largest} sessions; at most {MAX_SESSIONS} are simulated"
            )
        neurons = max(max(each.mean, each.minimum) for each in self.neurons_per_session)
        rows = largest * neurons * self.windows * self.rows_per_window
        if rows > MAX_ROWS:
            raise ValueError(f"the largest design has {rows:.1g} rows; at most {MAX_ROWS:g} are simulated")
        return self

    @property
    def delta(self) -> float:
        """The effect on the outcome's scale."""
        if self.effect is not None:
            return self.effect
        assert self.effect_ratio is not None
        return log(self.effect_ratio) if self.outcome == "log" else log2(self.effect_ratio)

    @property
    def model(self) -> str:
        """The formula of the analysis: the one stated, or the one that this kind of design needs."""
        return self.formula.strip() or FORMULAS[self.kind]

    def layouts(self) -> list[Layout]:
        """Return every design to try, animals varying slowest."""
        return [
            Layout(self.kind, animals, sessions, neurons.counts, self.windows, self.rows_per_window)
            for animals, sessions, neurons in product(
                self.animals_per_arm, self.sessions_per_animal, self.neurons_per_session
            )
        ]


def load_design(path: Path | str) -> PowerDesign:
    """Return the design in a YAML file; a pilot's path is taken from the file's own folder.

    Raises
    ------
    StudyError
        With all mistakes at once, each with its line and key.
    """
    file = Path(path)
    document = read_yaml(file)
    found = list(document.issues)
    if not isinstance(document.value, dict):
        message = "The file does not hold a mapping of keys and values."
        remedy = "nwbswitch power --example prints one."
        raise StudyError([*found, issue("wrong-value", message, place=Place(file, 1), remedy=remedy)])
    try:
        design = PowerDesign.model_validate(document.value)
    except ValidationError as error:
        found += findings(error, document.places, root=PowerDesign)
    if has_errors(found):
        raise StudyError(sorted(found, key=lambda each: each.place.line or 0))
    pilot = design.components.from_fit
    if pilot is None:
        return design
    components = design.components.model_copy(update={"from_fit": file.parent / pilot.expanduser()})
    return design.model_copy(update={"components": components})


EXAMPLE: Final = """\
# What is planned. Everything given as a list is tried in every combination.
kind: between                    # each animal gets one arm; crossover: each gets both, by session
animals_per_arm: [4, 6, 8, 12]   # in a crossover: animals in all
sessions_per_animal: [1, 2]
neurons_per_session: [20, 200]   # or {mean: 200, sd: 80, minimum: 20}
windows: 2                       # per session; the first is the baseline
rows_per_window: 1               # measurements of each neuron in each window

# How much more the outcome changes from baseline with the drug than without.
effect: 0.4
# For an outcome on a log scale a ratio may be given instead:
# effect_ratio: 1.5
# outcome: log                   # or log2

# Standard deviations on the outcome's scale, from the literature or from your own pilot.
components:
  # from_fit: pilot.json         # written by: nwbswitch fit pilot.csv --formula ... -o pilot.json
  animal_intercept_sd: 0.4
  animal_slope_sd: 0.25          # how much animals differ in their change from baseline
  animal_correlation: 0.3
  # animal_response_sd: 0.25     # crossover: how much animals differ in what the drug does
  session_intercept_sd: 0.2
  session_slope_sd: 0.15         # how much sessions of one animal differ in their change
  neuron_sd: 0.8
  residual_sd: 0.6               # one measurement of one neuron

# How the data will be analysed, and what is wanted.
ddf: kenward-roger
alpha: 0.05
target_power: 0.8
simulations: 1000
seed: 1
"""
