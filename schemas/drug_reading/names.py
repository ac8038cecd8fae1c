"""Names of substances beyond the vocabulary, and further spellings of those in it.

The vocabulary (`nwbswitch.schemas.substances`) holds what a drug log may name, with formulas and
identifiers. Other people's files name far more. These are known by name only: enough to say that a file
speaks of a substance, and of which kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from nwbswitch.schemas.drug_reading.kinds import Kind, Known
from nwbswitch.schemas.substances import substances

KIND_OF_CLASS: dict[str, Kind] = {
    "vehicle or control": Kind.CONTROL,
    "volatile anaesthetic": Kind.ANAESTHETIC,
    "anaesthetic": Kind.ANAESTHETIC,
    "barbiturate anaesthetic": Kind.ANAESTHETIC,
    "local anaesthetic": Kind.ANALGESIC,
    "non-steroidal anti-inflammatory drug": Kind.ANALGESIC,
    "chemogenetic actuator ligand": Kind.LIGAND,
    "serotonin receptor antagonist": Kind.BLOCKER,
    "benzodiazepine antagonist": Kind.BLOCKER,
    "opioid antagonist": Kind.BLOCKER,
    "alpha-2 adrenoceptor antagonist": Kind.BLOCKER,
    "decarboxylase inhibitor": Kind.BLOCKER,
}
"""Drug class of the vocabulary to kind; every other class is a drug."""

KIND_OF_NAME: dict[str, Kind] = {
    "xylazine": Kind.ANAESTHETIC,
    "buprenorphine": Kind.ANALGESIC,
    "dopamine": Kind.ENDOGENOUS,
    "water": Kind.SOLUTE,
}

SPELLINGS: dict[str, tuple[str, ...]] = {
    "ketamine": ("ketamin", "ketamine HCl", "R,S-ketamine", "(±)-ketamine"),
    "S-ketamine": ("S ketamine HCl", "(+)-ketamine"),
    "R-ketamine": ("(-)-ketamine",),
    "MK-801": ("dizocilpine maleate",),
    "levodopa": ("l-dopa", "ldopa", "levo-dopa", "L-3,4-dihydroxyphenylalanine"),
    "clozapine N-oxide": ("clozapine-noxide", "clozapine N oxide"),
    "deschloroclozapine": ("descholoroclozapine",),
    "compound 21": ("compound-21", "C21 dihydrochloride"),
    "psilocybin": ("psylocybin", "psilocibin"),
    "isoflurane": ("isofluorane", "isoflourane", "forane"),
    "sevoflurane": ("sevofluorane",),
    "amphetamine": ("D,L-amphetamine",),
    "dextroamphetamine": ("d-AMPH",),
    "tetrodotoxin": ("tetradotoxin",),
    "saline": ("salin",),
    "vehicle": ("vehicles",),
    "DOI": ("(±)-DOI",),
    "volinanserin": ("MDL 100,907",),
    "LSD": ("d-LSD",),
    "medetomidine": ("medetomidin",),
    "urethane": ("urethan",),
    "pentobarbital": ("Pentobarb", "sodium pentobarbital", "Euthasol"),
    "buprenorphine": ("Vetergesic", "buprenorphin", "Ethiqa"),
    "lidocaine": ("xylocaine",),
    "water": ("dH2O", "ddH2O"),
}

_DRUGS = """
methamphetamine=METH; quinpirole; sumanirole; SKF-81297; SKF-38393; SKF-82958; ropinirole; pramipexole;
rotigotine; amantadine; reserpine; tetrabenazine; alpha-methyl-p-tyrosine; cabergoline; bromocriptine;
5-MeO-MiPT; N,N-dimethyltryptamine=DMT; mescaline; ibogaine; noribogaine; tabernanthalog=TBG; 25CN-NBOH;
25I-NBOMe; TCB-2; lisuride; salvinorin A; salvinorin B=SalB; harmaline; harmine; 8-OH-DPAT; buspirone;
sertraline; citalopram; escitalopram; paroxetine; venlafaxine; desipramine; imipramine; bupropion;
reboxetine; atomoxetine; guanfacine; yohimbine; rapastinel; ifenprodil; Ro 25-6981; traxoprodil=CP-101606;
NVP-AAM077; D-serine; D-cycloserine; tetrahydrocannabinol=delta-9-tetrahydrocannabinol=THC;
cannabidiol=CBD; WIN 55,212-2=WIN55212-2; anandamide; CP 55,940=CP55940; URB597; oxycodone; heroin;
methadone; hydromorphone; remifentanil; sufentanil; DAMGO; U-50488; tramadol; zolpidem; lorazepam;
clonazepam; alprazolam; triazolam; gaboxadol=THIP; phenobarbital; suvorexant; sodium oxybate;
gamma-hydroxybutyrate=GHB; valproate=valproic acid; levetiracetam; carbamazepine; oxcarbazepine;
phenytoin; lamotrigine; ethosuximide; topiramate; gabapentin; pregabalin; lithium chloride=LiCl;
olanzapine; aripiprazole; quetiapine; chlorpromazine; xanomeline; oxotremorine-M=oxoM; oxotremorine;
carbachol; galantamine; rivastigmine; varenicline; isoproterenol=isoprenaline; phenylephrine; cirazoline;
solriamfetol; pitolisant; bumetanide; acetazolamide; glibenclamide; nifedipine; flupirtine; retigabine;
XE991; linopirdine; blebbistatin; 4-aminopyridine=4-AP; tetraethylammonium; apamin; iberiotoxin;
mibefradil; pentylenetetrazol=pentylenetetrazole=PTZ; pilocarpine; flurothyl; picrotoxin=PTX;
gabazine=SR-95531; CNQX; DNQX; NBQX; MCPG; MPEP; MTEP; LY341495; LY379268; LY354740; thioperamide;
theophylline; rapamycin; anisomycin; cycloheximide; metformin; semaglutide; liraglutide; exendin-4;
fenfluramine; dexfenfluramine; romidepsin; trichostatin A; vorinostat; mifepristone; estradiol;
progesterone; allopregnanolone; brexanolone; ganaxolone; pregnenolone; CGS 21680; lipopolysaccharide=LPS;
capsaicin; icilin; menthol; 5-iodotubercidin; nomifensine; GBR-12909; VU0467154; emraclidine; basmisanil;
L-655,708; CX-516; kynurenic acid=kynurenate; nitrous oxide; domperidone; finasteride; methylscopolamine;
dexmethylphenidate
"""
_LIGANDS = """
JHU37160=JHU-37160=J60; JHU37152; perlapine; uPSEM; uPSEM792; uPSEM817; PSEM89S; PSEM308;
coelenterazine=CTZ; hCTZ; ivermectin; DREADD ligand=DREADD agonist=DREADD actuator
"""
_BLOCKERS = """
SCH-23390; SCH-39166; raclopride; eticlopride; sulpiride; amisulpride; mecamylamine;
methyllycaconitine=MLA; trihexyphenidyl; VU 0255035; pirenzepine; biperiden; AF-DX 384; propranolol;
prazosin; idazoxan; CGP 55845; CGP 52432; SCH-50911; WAY-100635; GR 127935; SB-242084; RS 102221;
pimavanserin; altanserin; ritanserin; mianserin; ondansetron; granisetron; naltrexone; CTAP; CTOP;
norbinaltorphimine; rimonabant=SR141716A; AM251; AM630; istradefylline; DPCPX; ZM241385; MSX-3;
aprepitant; SB-334867; almorexant; carbidopa; SB-269970; BD-1047
"""
_ANAESTHETICS = """
halothane; desflurane; enflurane; methoxyflurane; etomidate; thiopental=thiopentone; methohexital; chloral
hydrate; alpha-chloralose=chloralose; acepromazine; tiletamine; zolazepam; Telazol; Zoletil;
tribromoethanol=Avertin; alfaxalone=alphaxalone; tricaine=MS-222=MS222; Equithesin; Hypnorm; fluanisone;
amobarbital
"""
_ANALGESICS = """
ketoprofen; flunixin; ibuprofen; paracetamol=acetaminophen; metamizole=metamizol; tolfenamic acid;
ketorolac; butorphanol; ropivacaine; mepivacaine; EMLA; proparacaine; procaine
"""
_SURGICAL = """
enrofloxacin=Baytril; ampicillin; amoxicillin; penicillin; cefazolin; ceftriaxone; cefovecin; cephalexin;
gentamicin; trimethoprim; sulfamethoxazole; chloramphenicol; neomycin; bacitracin; glycopyrrolate;
mannitol; heparin; furosemide; lactated Ringer's=Ringer's lactate; dextrose; betadine; povidone-iodine;
chlorhexidine; prednisolone; cyclosporine; methylprednisolone; pancuronium; vecuronium; rocuronium;
gallamine; doxapram
"""
_LESIONS = """
6-OHDA=6-hydroxydopamine; MPTP=1-methyl-4-phenyl-1,2,3,6-tetrahydropyridine; rotenone; paraquat; kainic
acid=kainate; ibotenic acid=ibotenate; quinolinic acid; streptozotocin; cuprizone; DSP-4; saporin;
diphtheria toxin; endothelin-1; Rose Bengal; colchicine; botulinum toxin; domoic acid; tetanus toxin=TeLC;
5,7-DHT=5,7-dihydroxytryptamine; 3-nitropropionic acid
"""
_INDUCERS = """
tamoxifen=4-hydroxytamoxifen=4-OHT; doxycycline=dox; tetracycline; BrdU; EdU
"""
_ENDOGENOUS = """
glutamate; GABA; glycine; serotonin; 5-HT; acetylcholine; norepinephrine; noradrenaline; epinephrine;
adrenaline; oxytocin; vasopressin; somatostatin; orexin; hypocretin; melatonin; adenosine; ATP; glucose;
insulin; leptin; ghrelin; neuropeptide Y; substance P; CCK; cholecystokinin; dynorphin; enkephalin;
cortisol; corticosterone; testosterone; estrogen; BDNF; angiotensin II; prolactin; GLP-1; CRF; octopamine;
tyramine; aspartate; taurine; choline; lactate; pyruvate; histamine; bradykinin; sucrose; quinine;
fructose; saccharin; oxygen; carbon dioxide; carbogen; urea; calcium; potassium; magnesium; lithium; NMDA;
AMPA; ethanol; alcohol; formalin; KCl
"""
_SOLUTES = """
artificial cerebrospinal fluid=ACSF=aCSF=artificial CSF; Ringer's solution=Ringer solution; CaCl2; MgCl2;
MgSO4; NaHCO3; NaH2PO4; KH2PO4; HEPES; EGTA; EDTA; ascorbate; ascorbic acid; bicarbonate; cyclodextrin;
Tween 80; Cremophor; polyethylene glycol=PEG 400; corn oil; sesame oil; peanut oil; sunflower oil; mineral
oil; acetic acid; methylcellulose; agarose
"""
_CONTROLS = """
sham injection=sham injections=sham-injected=mock injection; placebo
"""
_LABELS = """
Texas Red; fluorescein; FITC; sulforhodamine 101=SR101=sulforhodamine; Evans blue; methylene blue;
FluoroGold=Fluoro-Gold; cholera toxin subunit B=CTB=cholera toxin; biocytin; neurobiotin; retrobeads;
dextran; Alexa Fluor; Oregon Green; Cal-520; Fluo-4; Fura-2; furimazine=fluorofurimazine; luciferin;
Lucifer yellow; microspheres
"""

_LISTS: tuple[tuple[Kind, str], ...] = (
    (Kind.DRUG, _DRUGS),
    (Kind.LIGAND, _LIGANDS),
    (Kind.BLOCKER, _BLOCKERS),
    (Kind.ANAESTHETIC, _ANAESTHETICS),
    (Kind.ANALGESIC, _ANALGESICS),
    (Kind.SURGICAL, _SURGICAL),
    (Kind.LESION, _LESIONS),
    (Kind.INDUCER, _INDUCERS),
    (Kind.ENDOGENOUS, _ENDOGENOUS),
    (Kind.SOLUTE, _SOLUTES),
    (Kind.CONTROL, _CONTROLS),
    (Kind.LABEL, _LABELS),
)


@lru_cache(maxsize=1)
def known_spellings() -> dict[str, Known]:
    """Return every accepted spelling of every known substance, the vocabulary's words first."""
    found: dict[str, Known] = {}
    for substance in substances().values():
        kind = KIND_OF_NAME.get(substance.name) or KIND_OF_CLASS.get(substance.drug_class, Kind.DRUG)
        known = Known(substance.name, kind)
        for word in (*substance.spellings, *SPELLINGS.get(substance.name, ())):
            found[word] = known
    taken = {word.casefold() for word in found}
    for kind, words in _entries():
        known = Known(words[0], kind)
        found |= {word: known for word in words if word.casefold() not in taken}
    return found


def _entries() -> Iterator[tuple[Kind, tuple[str, ...]]]:
    for kind, text in _LISTS:
        for entry in text.split(";"):
            words = tuple(" ".join(word.split()) for word in entry.split("="))
            if words[0]:
                yield kind, words
