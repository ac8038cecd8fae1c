"""Short codes of session ids, file names and labels, and what they may stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nwbswitch.schemas.drug_reading.kinds import Kind, Known
from nwbswitch.schemas.drug_reading.names import known_spellings


@dataclass(frozen=True, slots=True)
class Code:
    """What a code may stand for; ``sure`` where it has no second meaning in a session id."""

    candidates: tuple[Known, ...]
    sure: bool


SURE: dict[str, str] = {
    "KET": "ketamine",
    "KETA": "ketamine",
    "KETAM": "ketamine",
    "SKET": "S-ketamine",
    "RKET": "R-ketamine",
    "SAL": "saline",
    "VEH": "vehicle",
    "CNO": "clozapine N-oxide",
    "DCZ": "deschloroclozapine",
    "LDOPA": "levodopa",
    "MK801": "MK-801",
    "TTX": "tetrodotoxin",
    "LSD": "LSD",
    "PSILO": "psilocybin",
    "MDMA": "MDMA",
    "DMSO": "dimethyl sulfoxide",
    "AMPH": "amphetamine",
    "MUSC": "muscimol",
    "ISOFL": "isoflurane",
    "ISOFLU": "isoflurane",
    "HALO": "haloperidol",
    "DZP": "diazepam",
    "MDZ": "midazolam",
    "SCOP": "scopolamine",
    "FLX": "fluoxetine",
}
"""Codes with one meaning."""

MIXTURES: dict[str, tuple[str, ...]] = {
    "KX": ("ketamine", "xylazine"),
    "MMF": ("medetomidine", "midazolam", "fentanyl"),
}
"""Anaesthetic mixtures."""

UNSURE: dict[str, tuple[str, ...]] = {
    "RSK": ("ketamine",),
    "K": ("ketamine",),
    "ESK": ("S-ketamine",),
    "PSI": ("psilocybin", "psilocin"),
    "PSY": ("psilocybin", "psilocin"),
    "PSIL": ("psilocybin", "psilocin"),
    "DEX": ("dexmedetomidine", "dexamethasone", "dextroamphetamine"),
    "AMP": ("amphetamine", "dextroamphetamine", "ampicillin"),
    "MPH": ("methylphenidate",),
    "HAL": ("haloperidol", "halothane"),
    "CLZ": ("clozapine", "clonazepam"),
    "CLO": ("clozapine", "clonidine", "clonazepam"),
    "COC": ("cocaine",),
    "MOR": ("morphine",),
    "NIC": ("nicotine",),
    "CAF": ("caffeine",),
    "MOD": ("modafinil",),
    "MUS": ("muscimol",),
    "BIC": ("bicuculline",),
    "LID": ("lidocaine",),
    "LD": ("levodopa",),
    "DA": ("dopamine",),
    "MEM": ("memantine",),
    "MED": ("medetomidine",),
    "ISO": ("isoflurane", "isoproterenol"),
    "SEVO": ("sevoflurane",),
    "PROP": ("propofol", "propranolol"),
    "URE": ("urethane",),
    "XYL": ("xylazine",),
    "PCP": ("phencyclidine",),
    "DOI": ("DOI",),
    "NAL": ("naloxone", "naltrexone"),
    "FEN": ("fentanyl", "fenfluramine"),
    "BUP": ("buprenorphine", "bupropion"),
    "QUIN": ("quinpirole", "quinine"),
    "SUL": ("sulpiride",),
    "SCH": ("SCH-23390",),
    "MDL": ("volinanserin",),
    "C21": ("compound 21",),
    "CTRL": ("saline", "vehicle"),
}
"""Codes with several meanings, or with another meaning than a drug."""


NO_CODES: Mapping[str, Known] = MappingProxyType({})
"""No codes of a lab's own."""


def own_codes(codes: Mapping[str, str]) -> dict[str, Known]:
    """Return a lab's own codes in lower case with the substances they stand for."""
    spoken = {word.casefold(): known for word, known in known_spellings().items()}
    return {
        code.casefold(): spoken.get(word.casefold(), Known(word, Kind.DRUG)) for code, word in codes.items()
    }


def find_code(word: str) -> Code | None:
    """Return what a word of an identifier may stand for, in any case, or None."""
    folded = word.upper()
    if folded in SURE:
        return Code((known_spellings()[SURE[folded]],), sure=True)
    if folded in UNSURE:
        return Code(tuple(known_spellings()[each] for each in UNSURE[folded]), sure=False)
    return None
