"""Truths to simulate: what the drug does, and everything that can be mistaken for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Literal

from nwbswitch.schemas.worlds import World

Where = Literal["drug", "both"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A truth with everything that can be mistaken for it.

    Parameters
    ----------
    world
        What the drug does.
    reference_world
        What happens in the reference sessions at the time of the injection.
    pseudo_world
        What happens before the drug, between the two windows of the pseudo-injection, in drug sessions.
    fluctuation_log_sd, fluctuation_tau_s
        Slow fluctuation of every neuron's log rate in every session, an Ornstein-Uhlenbeck process.
    drive_log_sd, drive_tau_s, drive_coupling_sd
        One more such process that is common to all neurons of a session, times the coupling of each neuron,
        which is normal with mean 1: correlated noise.
    false_events_per_min
        Rate of events that are noise, added in every window; in the drug window of the drug only when
        ``false_events_in_drug_only``.
    min_events
        ROIs of a session are kept when they have at least this many events over baseline and drug window:
        detection that depends on activity. 0 keeps all and marks the ROIs as anatomical.
    soft_detection
        Keep a ROI with probability logistic((events - min_events) / (min_events / 5)) instead.
    shifted_share, lost_share, gained_share
        A shift of the focal plane at the injection: the first share of ROIs holds another neuron in the drug
        window, the second none; the third holds none in the windows before, as ROIs do that were found in
        both planes together. ``shift`` says whether with the drug only or with both injections.
    mixed_share, mixed_from_neighbour
        This share of ROIs has, in all windows, that part of another neuron's events beside its own.
    signal_to_noise, signal_to_noise_log_sd
        Median over neurons of a transient's mean peak, in standard deviations of the noise, and the spread
        of its log; 0 counts every event. Else an event counts when its own peak, a gamma variable of CV 0.35
        around the mean, is above 3.
    peak_after_drug
        Factor on all peaks in the drug window of the drug: calcium per spike.
    bleaching_per_lag
        Share of all peaks that is lost from each window to the next, in every session.
    drug_window_factor
        The drug window is so many times as long as the others, in both arms.
    censored_before_drug
        Mean share of the time that is lost to movement in all windows but the drug window of the drug, where
        the animal is still.
    """

    world: World = World.NULL
    reference_world: World = World.NULL
    fluctuation_log_sd: float = 0.0
    fluctuation_tau_s: float = 600.0
    false_events_per_min: float = 0.0
    false_events_in_drug_only: bool = False
    min_events: int = 0
    soft_detection: bool = False
    pseudo_world: World = World.NULL
    drive_log_sd: float = 0.0
    drive_tau_s: float = 120.0
    drive_coupling_sd: float = 1.0
    shifted_share: float = 0.0
    lost_share: float = 0.0
    gained_share: float = 0.0
    shift: Where = "drug"
    mixed_share: float = 0.0
    mixed_from_neighbour: float = 0.5
    signal_to_noise: float = 0.0
    signal_to_noise_log_sd: float = 0.4
    peak_after_drug: float = 1.0
    bleaching_per_lag: float = 0.0
    drug_window_factor: float = 1.0
    censored_before_drug: float = 0.0

    def __post_init__(self) -> None:
        shift = ("shifted_share", "lost_share", "gained_share")
        for name in (*shift, "mixed_share", "mixed_from_neighbour", "bleaching_per_lag"):
            _require(name, getattr(self, name), 0.0, 1.0)
        _require(" + ".join(shift), sum(getattr(self, name) for name in shift), 0.0, 1.0)
        _require("censored_before_drug", self.censored_before_drug, 0.0, 0.5)
        for name in ("fluctuation_tau_s", "drive_tau_s", "peak_after_drug", "drug_window_factor"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)!r}")

    def of_reference(self) -> Scenario:
        """Return what holds in the reference sessions: their own world, and nothing that the drug does."""
        truth = replace(self, world=self.reference_world, pseudo_world=World.NULL, peak_after_drug=1.0)
        if self.false_events_in_drug_only:
            truth = replace(truth, false_events_per_min=0.0)
        if self.shift == "drug":
            truth = replace(truth, shifted_share=0.0, lost_share=0.0, gained_share=0.0)
        return truth

    def changed(self) -> dict[str, object]:
        """Return the fields that are not at their default."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }


def _require(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}, not {value!r}")


BROKEN: dict[str, Scenario] = {
    "false events": Scenario(false_events_per_min=1.0),
    "false events with the drug": Scenario(false_events_per_min=1.0, false_events_in_drug_only=True),
    "z-shift, 20 % other neurons": Scenario(shifted_share=0.2),
    "z-shift, 20 % lost": Scenario(lost_share=0.2),
    "z-shift, all other neurons": Scenario(shifted_share=1.0),
    "z-shift in both arms": Scenario(shifted_share=0.2, shift="both"),
    "z-shift, 20 % of ROIs in each plane only": Scenario(lost_share=0.2, gained_share=0.2, min_events=20),
    "z-shift, 50 % of ROIs in each plane only": Scenario(lost_share=0.5, gained_share=0.5, min_events=20),
    "correlated noise": Scenario(drive_log_sd=0.5),
    "unequal durations": Scenario(drug_window_factor=3.0),
    "unequal exposure": Scenario(censored_before_drug=0.3),
    "contaminated ROIs": Scenario(mixed_share=0.1),
    "slow fluctuation": Scenario(fluctuation_log_sd=1.0),
    "neurons differ in signal to noise": Scenario(signal_to_noise=4.0),
    "bleaching": Scenario(signal_to_noise=6.0, bleaching_per_lag=0.3),
    "less calcium per spike": Scenario(signal_to_noise=6.0, peak_after_drug=0.5),
    "more calcium per spike": Scenario(signal_to_noise=4.0, peak_after_drug=2.0),
}
"""Each assumption broken once, under no effect of the drug; `broken` puts it into another world."""


def broken(name: str, world: World) -> Scenario:
    """Return a broken assumption in a world.

    Raises
    ------
    ValueError
        When there is no such assumption.
    """
    if name not in BROKEN:
        raise ValueError(f"no assumption {name!r}; there are {', '.join(map(repr, BROKEN))}")
    return replace(BROKEN[name], world=world)


def kept(name: str, world: World) -> Scenario:
    """Return the same world with the assumption kept: peaks that stay the same, but no fewer to be seen.

    Detection that depends on activity stays too, since it is no part of what is broken.
    """
    scenario = broken(name, world)
    steady = scenario.bleaching_per_lag == 0 and scenario.peak_after_drug == 1
    signal = 0.0 if steady else scenario.signal_to_noise
    return Scenario(world, signal_to_noise=signal, min_events=scenario.min_events)


def _in_worlds(names: Iterable[str]) -> dict[str, Scenario]:
    worlds = {"no effect": World.NULL, "reshuffle": World.RESHUFFLE, "switch": World.SWITCH}
    return {f"{words}, {name}": broken(name, world) for name in names for words, world in worlds.items()}


SCENARIOS: dict[str, Scenario] = {
    "no effect": Scenario(),
    "drift": Scenario(World.DRIFT),
    "drift, detected": Scenario(World.DRIFT, min_events=20),
    "gain": Scenario(World.GAIN),
    "gain, detected": Scenario(World.GAIN, min_events=20),
    "gain, false events": Scenario(World.GAIN, false_events_per_min=1.0, false_events_in_drug_only=True),
    "slow fluctuation": Scenario(fluctuation_log_sd=1.0),
    "reshuffle": Scenario(World.RESHUFFLE),
    "reshuffle, detected": Scenario(World.RESHUFFLE, min_events=20),
    "reshuffle, soft detection": Scenario(World.RESHUFFLE, min_events=20, soft_detection=True),
    "reshuffle, fluctuation": Scenario(World.RESHUFFLE, fluctuation_log_sd=1.0),
    "swap": Scenario(World.SWAP),
    "swap, detected": Scenario(World.SWAP, min_events=20),
    "switch": Scenario(World.SWITCH),
    "switch, detected": Scenario(World.SWITCH, min_events=20),
    "switch, soft detection": Scenario(World.SWITCH, min_events=20, soft_detection=True),
    "switch, fluctuation": Scenario(World.SWITCH, fluctuation_log_sd=1.0),
    "drift in both arms": Scenario(World.DRIFT, reference_world=World.DRIFT),
    "drift before the drug": Scenario(pseudo_world=World.DRIFT),
    "reshuffle before the drug": Scenario(World.SWITCH, pseudo_world=World.RESHUFFLE),
    "reshuffle in both arms": Scenario(World.RESHUFFLE, reference_world=World.RESHUFFLE),
    **_in_worlds(BROKEN),
}
"""What the verdict must tell apart, what the negative controls must notice or pass, and every broken
assumption under no effect, under a reshuffle and under a switch."""
