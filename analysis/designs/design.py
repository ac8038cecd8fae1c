"""The design of a study: what is compared with what, in words and tables, read off its recording sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from nwbswitch.analysis.designs.arms_table import arms_table, table_text
from nwbswitch.analysis.designs.design_doubts import design_doubts
from nwbswitch.analysis.designs.design_words import order_words, sentence_of
from nwbswitch.analysis.designs.dose_sessions import cut_into_doses
from nwbswitch.analysis.designs.held_sessions import Comparison, Held, comparisons_of, held_sessions
from nwbswitch.analysis.designs.treatments import by_number
from nwbswitch.analysis.estimands.counts import SessionCounts, by_animal
from nwbswitch.analysis.plain_values import plain
from nwbswitch.analysis.session_tables import require_sessions
from nwbswitch.analysis.verdicts.arm_analysis import NO_DRUG, arm_key
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.result_tables import SESSIONS

Kind = Literal["no drug", "one arm", "crossover", "parallel groups", "mixed"]


@dataclass(frozen=True, slots=True, repr=False)
class Design:
    """What is compared with what in one study.

    Attributes
    ----------
    held
        What was held in each arm: one entry per session and arm, a session with several doses in several.
    left_out
        Rows of ``SESSIONS`` that are not in the cells table.
    comparisons
        What each arm is compared with, ordered by arm.
    doubts
        What the comparisons may owe to something else than what was given.
    """

    dataset: str
    held: tuple[Held, ...]
    left_out: tuple[Held, ...]
    comparisons: tuple[Comparison, ...]
    doubts: tuple[Issue, ...]

    def __repr__(self) -> str:
        return (
            f"<Design of {self.dataset!r}: {self.kind}, {len(self.animals)} animals, {len(self.arms)} arms>"
        )

    @property
    def animals(self) -> tuple[str, ...]:
        """Animals with a session that is included, sorted."""
        return tuple(sorted({each.animal for each in self.held}))

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms with a session that is included, sorted, doses by size."""
        return tuple(sorted({each.arm for each in self.held}, key=by_number))

    @property
    def references(self) -> dict[str, str]:
        """Arm to reference arm, as `nwbswitch.analysis.verdicts.arm_analysis.analyse_arms` takes them."""
        return {each.arm: each.reference for each in self.comparisons if each.kind != "pseudo"}

    @property
    def kind(self) -> Kind:
        """What kind of design it is: whether animals were given one arm, all arms, or some."""
        sets = {frozenset(each.arm for each in self.held if each.animal == name) for name in self.animals}
        if self.arms in ((), (NO_DRUG,)):
            return "no drug"
        if len(self.arms) == 1:
            return "one arm"
        if len(sets) == 1:
            return "crossover"
        return "parallel groups" if all(len(each) == 1 for each in sets) else "mixed"

    def sentence(self) -> str:
        """Return who was given what in which order, and what is compared with what."""
        return sentence_of(self.held, self.comparisons)

    def arms_table(self) -> pd.DataFrame:
        """Return animals by arm: doses, sex, age, time of day, batch, and exclusions with reasons."""
        return arms_table(self.held, self.left_out, self.comparisons)

    def text(self) -> str:
        """Return the sentence, the table of arms and the doubts."""
        parts = [self.sentence(), table_text(self.arms_table())]
        parts += [f"{each.severity}: {each.message} {each.remedy}".strip() for each in self.doubts]
        return "\n\n".join([*parts[:2], "\n".join(parts[2:])]).strip()

    def summary(self) -> str:
        """Return the sentence, and how many doubts there are."""
        n = len(self.doubts)
        return self.sentence() + (f" {n} doubt{'s' * (n != 1)} about the design." if n else "")

    def table(self) -> pd.DataFrame:
        """Return the comparisons as a table."""
        return pd.DataFrame([each.as_dict() for each in self.comparisons])

    def as_dict(self) -> dict[str, Any]:
        """Return the design as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "dataset": self.dataset,
                "kind": self.kind,
                "sentence": self.sentence(),
                "n_animals": len(self.animals),
                "n_sessions": len({(each.animal, each.session) for each in self.held}),
                "n_left_out": len(self.left_out),
                "comparisons": [each.as_dict() for each in self.comparisons],
                "arms": self.arms_table().to_dict("records"),
                "doubts": [each.as_dict() for each in self.doubts],
            }
        )
        return found


def read_design(
    sessions: pd.DataFrame,
    counts: Sequence[SessionCounts] | None = None,
    *,
    references: str | Mapping[str, str] | None = None,
) -> Design:
    """Return the design of a study as its recording sessions tell it.

    Parameters
    ----------
    sessions
        Columns of ``SESSIONS``: from ``sessions.csv``, or, without one, from the cells by
        `nwbswitch.analysis.session_tables.sessions_of_cells`; not changed.
    counts
        Counts of the same sessions, as `nwbswitch.analysis.estimands.counts.read_sessions` gives them. With
        them a session with several doses has an arm for each dose that blocks follow; without them it has
        the arm of the dose that decides.

    references
        What the analysis was told to compare with: one arm for all others, or one for each. By default the
        control that fits each arm best.

    Raises
    ------
    TableError
        When the table does not fit its specification, holds several data sets, or names a session twice.
    ValueError
        For counts that are cut into doses already.
    """
    sessions = SESSIONS.checked(sessions)
    require_sessions(sessions)
    dataset = _one_dataset(sessions)
    held, left_out = held_sessions(sessions)
    found: tuple[Issue, ...] = ()
    chosen: Mapping[str, str] | None = None
    if counts is not None:
        dosed = cut_into_doses(counts, sessions)
        chosen, found = dosed.references, dosed.issues
        by_name = {key[1:]: arms for key, arms in dosed.given.items()}
        held = tuple(
            each.in_arm(arm or NO_DRUG, rows)
            for each in held
            for arm, rows in by_name.get((each.animal, each.session), {each.arm: ()}).items()
        )
    if isinstance(references, str):
        chosen = {each.arm: references for each in held if each.arm != references}
    elif references is not None:
        chosen = references
    comparisons = comparisons_of(held, chosen)
    doubts = design_doubts(held, left_out, comparisons)
    return Design(dataset, held, left_out, comparisons, (*found, *doubts))


def _one_dataset(sessions: pd.DataFrame) -> str:
    names = sorted(set(sessions["dataset"]) - {""})
    if len(names) <= 1:
        return names[0] if names else ""
    owners = sessions[sessions["dataset"] != ""].groupby("animal")["dataset"].nunique()
    shared = sorted(map(str, owners[owners > 1].index))
    more = ""
    if shared:
        more = f" Animals of one name in both, such as {shared[0]!r}, may be the same or not."
    raise TableError(
        [
            issue(
                "bad-cell",
                f"The table of sessions holds {len(names)} data sets ({', '.join(names)}); "
                f"a design is of one.{more}",
                place=Place(item="sessions.dataset"),
                remedy="Read the design of each on its own rows.",
            )
        ]
    )


def design_sentence(sessions: Sequence[SessionCounts]) -> str:
    """Return who received what and in which order, from counts alone, e.g. for the head of a report."""
    animals = by_animal(sessions)
    orders = {
        name: tuple(dict.fromkeys(arm_key(each) for each in sorted(own, key=lambda one: one.order)))
        for name, own in animals.items()
    }
    return order_words(orders)
