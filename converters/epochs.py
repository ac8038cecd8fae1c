"""The epochs interface: analysis windows into the TimeIntervals analysis_epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuroconv.basedatainterface import BaseDataInterface
from pynwb import NWBFile
from pynwb.epoch import TimeIntervals

from nwbswitch.schemas.drug_log import EPOCHS_NAME
from nwbswitch.schemas.epochs import Epoch, TimeZero
from nwbswitch.schemas.epochs import Window as Windows
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Place, issue

DESCRIPTION = (
    "Analysis windows of the drug challenge, in seconds on the session clock. The pseudo windows lie inside "
    "the baseline and are the negative control."
)
MEANINGS: dict[Windows, str] = {
    Windows.BASELINE: "Before the administration that is studied.",
    Windows.DRUG: "Under the influence of the substance or of its control.",
    Windows.WASHOUT: "While the substance is eliminated.",
    Windows.RECOVERY: "After the substance is eliminated.",
    Windows.PSEUDO_BASELINE: "Negative control: first part of the baseline, standing in for baseline.",
    Windows.PSEUDO_DRUG: "Negative control: later part of the baseline, standing in for drug.",
}


def absolute(epochs: Sequence[Epoch], administration_s: float | None) -> list[tuple[float, float, Windows]]:
    """Return (start, stop, window) of every epoch in session seconds, in the order of their starts.

    Raises
    ------
    IssuesError
        When an epoch counts from an administration and there is none.
    """
    found = []
    for epoch in epochs:
        zero = 0.0
        if epoch.relative_to is TimeZero.ADMINISTRATION:
            if administration_s is None:
                problem = (
                    f"The window {epoch.window} counts from an administration, but the drug log has none."
                )
                remedy = "Add the test or control administration, or set relative_to: session."
                raise IssuesError([issue("wrong-value", problem, place=Place(item="epochs"), remedy=remedy)])
            zero = administration_s
        found.append((zero + epoch.start_s, zero + epoch.stop_s, epoch.window))
    return sorted(found)


class EpochsInterface(BaseDataInterface):  # type: ignore[misc]
    """Analysis windows of a session.

    Parameters
    ----------
    epochs : list of dict
        One per window: window, start_s, stop_s, relative_to (session or administration).
    administration_s : float, optional
        Session time of the administration that windows may count from, s.
    """

    display_name = "Analysis epochs"
    keywords = ("intervals", "drug")
    info = "Writes named analysis windows."

    def __init__(self, *, epochs: list[dict[str, Any]], administration_s: float | None = None) -> None:
        """Resolve the windows to the session clock."""
        super().__init__(epochs=epochs, administration_s=administration_s)
        self.rows = absolute([Epoch.model_validate(each) for each in epochs], administration_s)

    def add_to_nwbfile(self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None) -> None:
        """Add the table of windows; a session without any gets none.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the table.
        metadata : dict
            Not used: all there is to say comes with the windows.
        """
        if not self.rows:
            return
        present = dict.fromkeys(window for _, _, window in self.rows)
        meanings = " ".join(f"{window}: {MEANINGS[window]}" for window in present)
        table = TimeIntervals(name=EPOCHS_NAME, description=DESCRIPTION)
        table.add_column("window", f"Name of the window. {meanings}")
        for start_s, stop_s, window in self.rows:
            table.add_interval(start_time=start_s, stop_time=stop_s, window=window.value)
        nwbfile.add_time_intervals(table)
