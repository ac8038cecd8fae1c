"""Words around a substance that tell whether, why and as what it was given."""

from __future__ import annotations

import re


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# The gap between a cue and the substance it belongs to: a few words without punctuation.
_FEW = r"(?:[\w.%/()+-]{1,16}[ _]){0,3}?"
_HERE = r"[\"'(\[]{0,2}$"

NEGATED_BEFORE = _compiled(
    r"(?:\b(?:no|not|without|w/o|never|non|absence of|lack of|instead of|rather than|free of|neither|nor"
    r"|omitting"
    rf"|did not receive|not given|not injected with|excluding|off|un)[ _-](?!-)){_FEW}{_HERE}"
)
NEGATED_AFTER = _compiled(
    r"^[ _]?(?:-free\b|free\b(?! (?:base|acid))|-?na(?:i|ï)ve\b|was not|were not|wasn't|not (?:given"
    r"|injected|administered)"
    r"|off\b(?! ?state)|[ _]?\(?-\)|omitted|withheld)"
)
LABELLED_NO = _compiled(
    r"^(?:[ _]?(?:injections?|infusions?|treatment|given|administered|applied|exposure))?\s?[:=]\s?"
    r"(?:neg(?:ative)?|no|none|false|off|0|n/?a|not given)\b(?![.%][0-9])"
)
OF_OTHERS = _compiled(
    r"^[^;]{0,40}?\bin (?:(?:an)?other|a (?:separate|different|second)|separate|different) (?:cohorts?"
    r"|groups?|animals?|mice|rats|sessions?"
    r"|experiments?|recordings?)\b"
)
NOT_YET_BEFORE = _compiled(
    rf"\b(?:before|prior to|pre|preceding|until|awaiting|baseline (?:for|of)|previous to)[ _-]{_FEW}{_HERE}"
)
NOT_YET_AFTER = _compiled(r"^[ _-](?:pre\b|baseline\b|(?:will be|to be) (?:given|injected|administered))")
WASHED_OUT = _compiled(
    r"\bwash(?:ed)?[ -]?out\b|\b(?:discontinued|(?:switched|turned) off|withdrawn|was stopped|weaned"
    r"|terminated)\b"
)
AFTER_BEFORE = _compiled(
    rf"\b(?:after|following|post|since|under|on|during|with|in the presence of|plus)[ _-]{_FEW}{_HERE}"
)

TOPIC_BEFORE = _compiled(
    r"\b(?:effects?|actions?|influence|roles?|impact|consequences?|mechanisms?|study|studies"
    r"|investigat\w{1,8}"
    r"|models?|responses?|sensitivity|exposure|addict\w{1,6}|dependence|resistance|tolerance|history)"
    rf" (?:of|to|on|by)[ ](?:(?:acute|chronic|systemic|subanesthetic|low-dose|repeated"
    rf"|local)[ ])?{_FEW}{_HERE}"
)
TOPIC_AFTER = _compiled(
    r"^[ -](?:bodipy|conjugate[ds]?|fluorescent|receptors?|transporters?|sensitive|like|binding"
    r"|resistant|abuse|addiction|use disorder|models?|seeking"
    r"|craving|memor(?:y|ies)|cues?|reinstatement|intake|context|precipitated|evoked|elicited|mediated"
    r"|associated|conditioned|na(?:i|ï)ve|withdrawal"
    r"|dependen\w{1,4}|preference|paired|odou?r|reward|tolerance|self-administ\w{1,8}(?= (?:task|model))"
    r"|antagonis\w{1,3}|agonis\w{1,3}|neurons?|release|levels?|signal(?:l?ing)?|depletion|sensors?"
    r"|concentration in"
    r"|hypothesis|synthesis|uptake|producing|synapses?|effects?\b(?! of)|induced (?!by))"
)
GIVEN_NEAR = _compiled(
    r"\b(?:inject\w{0,8}|inj\b|administ\w{1,10}|infus\w{1,6}|received?|receiving|given|gave|treated"
    r"|treatment|dosed?|dosing"
    r"|gavaged?|applied|application|delivered|delivery|inhal\w{1,8}|applicat\w{1,4}|challenge[ds]?|bolus"
    r"|i\.?p\.?|s\.?c\."
    r"|perfus\w{1,4}|superfus\w{1,4}|bath|exposed to|drug|condition|session|day|group|trial|dose"
    r"|ingest\w{1,4})\b"
)
STRICT_BEFORE = _compiled(
    r"\b(?:inject(?:ed|ion|ions|ing)?|infus(?:ed|ion|ions|ing)|administ\w{1,10}|microinject\w{0,4}|gavaged?"
    r"|bath[- ]appl\w{1,8}|puff(?:ed|s|ing)? (?:of )?|iontophor\w{1,8}|applied|application)"
    rf"(?: (?:i\.?p\.?|s\.?c\.?|i\.?v\.?|intraperitoneally|subcutaneously))?(?: (?:of|with"
    rf"|by))?[ ]{_FEW}{_HERE}"
)
STRICT_AFTER = _compiled(
    r"^[ _-](?:inject(?:ed|ions?)|inj\b|infus(?:ed|ions?)|administ\w{1,10}|(?:bath[- ])?application"
    r"|microinfus\w{1,4}|i\.?p\.?\b)"
)

SURGERY = _compiled(
    r"\b(?:surg\w{2,8}|craniotom\w{1,3}|implant\w{0,6}|head-?(?:plate|bar|post|ring|cap)s?"
    r"|stereota\w{2,8}|cranial windows?"
    r"|post-?operat\w{2,6}|pre-?operat\w{2,6}|peri-?operat\w{2,6}|scalp|skull|incision|dental (?:cement"
    r"|acrylic)|sutured?"
    r"|eye ointment|window implantation|anim?als? recovered|for recovery|electrode placement"
    r"|trepan\w{1,6}|burr ?hole)\b"
)
SURGICAL_ACT = _compiled(
    r"\b(?:before|prior to|during|for|after|following) (?:the |each |every "
    r"|an? )?(?:\w{1,16} )?(?:surg\w{2,8}|craniotom\w{1,3}"
    r"|implantation|operation|window)"
)
OPERATED_UNDER = _compiled(
    r"\b(?:surg\w{2,8}|craniotom\w{1,3}|implant\w{0,6}|window)\b[^.;,]{0,30}\bunder\b[^.;,]{0,12}$"
)
AWAKE = _compiled(
    r"\b(?:record\w{2,6}|imag\w{2,3}|behaving|tested)\b[^.;]{0,16}\bawake\b"
    r"|\bawake\b[^.;]{0,16}\b(?:record|imag)"
)
BOTH_SIDES = _compiled(r"\b(?:before|pre)[ -](?:and|to|&|/)[ -](?:\w{1,8} ){0,2}(?:after|post)[ -]")
RECORDING = _compiled(
    r"\b(?:record(?:ed|ings?)|imag(?:ed|ing)|acquired|experiments?|sessions?|measure(?:d|ments?)"
    r"|data were|scan(?:ned|ning)"
    r"|EEG|LFP|throughout|stimulation|wakefulness|awake)\b"
)
PERFUSION = _compiled(
    r"\b(?:transcardial\w{0,3}|perfus(?:ed|ion)|sacrific\w{1,4}|euthan\w{1,6}|decapitat\w{1,4}"
    r"|histolog\w{1,5}|fixed|paraformaldehyde"
    r"|PFA|rinsed?|flush\w{0,4}|cleaned|immers\w{1,4}|irrigat\w{1,4}|filled|refill\w{0,4}|moist\w{0,6}"
    r"|gauze|soaked|sponge|gel ?foam|hydrat(?:ed|ion|ing)|dehydrat\w{1,4}"
    r"|covered|chamber|swabs?|lick\w{0,4}|reward\w{0,4}|drop(?:let)?s?|washed with|bathed|bathing"
    r"|water[- ](?:restrict|depriv)\w{1,5})\b"
)
ANAESTHESIA = _compiled(
    r"\b(?:(?<!sub-)(?<!sub)an(?:a)?esth\w{2,10}|sedat\w{1,4}|induction|maintenance|maintained|KX"
    r"|narcosis|euthan\w{1,6})\b"
)
SUBANAESTHETIC = _compiled(r"\bsub-?an(?:a)?esthetic\w{0,4}\b")
HANDLING = _compiled(
    r"\b(?:brief(?:ly)?|short(?:ly)?|light(?:ly)? for)\b|\bfor (?:head[- ]?fix\w{1,5}|mounting|handling"
    r"|transfer|attach\w{1,4}|fixation"
    r"|the injection|injection|placing|connecting)|\brecover\w{0,3} from\b|\b(?:until|after) (?:waking"
    r"|awakening|recovery|it woke|they woke)"
)
ANALGESIA = _compiled(r"\b(?:analges\w{1,4}|pain(?:killers?)?|anti-?inflammator\w{1,3})\b")
LESION = _compiled(
    r"\b(?:lesion\w{0,4}|neurotox\w{1,4}|parkinson\w{0,4}|denervat\w{1,4}|ablat\w{1,4}|excitotoxic)\b"
)
SOLUTION = _compiled(
    r"\b(?:in mM|(?:in|containing) \(?mM|mM\)|a?CSF|artificial cerebro|ringer|krebs|(?:internal|external"
    r"|pipette|intracellular"
    r"|extracellular|cutting|bath|recording|slicing|dissection|holding|incubation) solutions?"
    r"|osmol\w{2,6}|mOsm|oxygenated|95 ?%)\b"
)
SOLVENT_BEFORE = _compiled(
    r"(?:\b(?:dissolved|diluted|suspended|prepared|made(?: up)?|mixed|dilution|solution"
    r"|made fresh) (?:in|with|into|using)"
    r"|(?<=[0-9a-z%)(]) ?\b(?:in|into)\b|\bvehicle ?[:=]|\bvehicle (?:was|is|of|solution)|\bsolvent ?[:=])"
    r"\s{0,2}(?:(?:a|sterile|normal|physiological|isotonic|warm|the|[0-9.,]{1,5} ?%|ascorbate"
    r"|bacteriostatic)[ -])*[\"'(\[]{0,2}$"
)
SOLVENT_MORE = _compiled(r"^\s?(?:,|and|\+|/|in|with|-)?\s?(?:[0-9.,]{1,5} ?%\s?)?(?:of |in |sterile )*$")
GROUP_AFTER = _compiled(
    r"^[ _-](?:group|condition|session|day|arm|cohort|block|epoch|period|trial|mice|rats|animals)"
)
PRETREATED = _compiled(
    r"\b(?:pre-?treat\w{0,6}|pre-?inject\w{0,4}|pre-?incubat\w{0,4}|pre-?administ\w{0,6}|to block"
    r"|blocked (?:by|with)"
    r"|in the (?:continuous )?presence of|antagoni[sz]ed? (?:by|with))\b"
)
CHRONIC = _compiled(
    r"\b(?:chronic(?:ally)?|daily|every (?:other )?day|twice (?:a|per) day|once (?:a|per) day"
    r"|b\.?i\.?d\b|each day|per day"
    r"|for [0-9]{1,3}(?:-[0-9]{1,3})? (?:consecutive )?(?:days|weeks|months)|for (?:several|two|three"
    r"|four) (?:days|weeks)"
    r"|repeated(?:ly)?|priming|osmotic (?:mini-?)?pumps?|mini-?pumps?|weekly|sub-?chronic(?:ally)?"
    r"|over (?:[0-9]{1,2}|several) (?:days|weeks)|days? of treatment|injections every"
    r"|x ?[0-9]{1,3} ?(?:d|days)"
    r"|(?<=mg/kg)/ ?d(?:ay)?)\b"
)
ACUTE = _compiled(r"\b(?:acute(?:ly)?|single (?:dose|injection)|today|this session|day [0-9]{1,3} of)\b")

ASSIGNED = _compiled(
    r"\b(?:groups?|condition|treatment|treated|injected|cohort|arm|session|today|assigned"
    r"|before (?:recording|imaging|testing))\b"
)
OR_BETWEEN = _compiled(
    r"\b(?:or|vs|versus|either|compared (?:to|with)|in contrast to|while controls?|whereas|and/or)\b"
)
OR_BEFORE = _compiled(r"\b(?:or|vs\.?|versus|and/or)\s(?:[\w.%]{1,16}\s)?$")
GROUPS = _compiled(
    r"\b(?:groups?|cohorts?|counter-?balanced|cross-?over|(?:alternat\w{1,5}|separate|different"
    r"|subsequent|other) (?:days|sessions"
    r"|recordings)|randomi[sz]ed|randomly|pseudo-?random\w{0,2}|half of|others|respectively|sessions"
    r"|control (?:mice|rats|animals)"
    r"|between-subjects?|within-subjects?|either|(?:per|each) (?:condition|treatment)|arms|days apart)\b"
)
DAY_NUMBER = _compiled(r"\bday ?([0-9]{1,2})\b")
SEQUENCE = _compiled(
    r"\b(?:then|followed by|after which|afterwards?|subsequent(?:ly)?|first|second|later|next|before"
    r"|prior to|again|preceded by"
    r"|finally|initially|both|consecutive(?:ly)?|sequential(?:ly)?|combin\w{1,6}|together"
    r"|co-?administ\w{1,8}|plus|and then|control injection)\b"
)
PLURAL = _compiled(
    r"\b(?:mice|rats|animals|subjects|monkeys|macaques|cohorts|volunteers|patients|participants"
    r"|neurons were|cells were)\b"
)
NOTHING_GIVEN = _compiled(
    r"\b(?:no (?:further |other |additional |test )?(?:drugs?|injections?|treatments?|pharmacolog\w{1,9}"
    r"|compounds?|substances?|medications?)"
    r"(?: (?:was|were))?|drug[- ]free|drug[- ]na(?:i|ï)ve|un-?drugged|without (?:any )?(?:drugs?"
    r"|injections?|treatment)"
    r"|not (?:been )?(?:injected|drugged|treated with)|untreated|off drug|no[_ ]?drug)\b"
)
EMPTY = _compiled(
    r"^\W*(?:n/?a|none|nan|null|nil|no|not applicable|not defined|unknown|not recorded|tbd|todo|-+|\.+"
    r"|0)?\W*$"
)
UNNAMED = _compiled(
    r"\b(?:inject(?:ion|ions|ed|ing)?|inj|infusions?|infused|administrations?|administered|dos(?:e|ed|es"
    r"|ing)|drugs?|bolus"
    r"|treatment|compound|challenge)(?:s|[0-9]{1,2})?\b"
)
EVENT = _compiled(r"\b(?:inject|inj\b|infus|administ|dos(?:e|ing)|bolus|gavage|deliver|puff|wash[ -]?in)")
OTHER_GIVING = _compiled(
    r"virus|cisterna|viral|\bAAV|vector|current|tracer|\bdye|bead|microspher|rabies|lentivir|retrovir"
    r"|cholera|dextran|fluoro|indicator"
    r"|gcamp|reward|juice|sucrose|\bair\b|pulse|\bstep|needle|pump|\bSCI\b|light|laser|contrast|plasmid"
    r"|electroporat|antibod"
    r"|radiat|\bcells?\b|\bpA\b|\bnA\b|cre\b|trypsin|syringe|error|gene|water|\bfood|capacit|noise|spike"
    r"|charge|ramp|chirp|motor"
    r"|stem|lick|odou?r|sound|shock|heat|thermal|electric|ultraso|magnet|blood|glue|oil|foot|marker"
    r"|ringer|photo|opto|helium|fluid"
)
RACEMIC = _compiled(r"\b(?:racemic|R,S|RS|\xb1)\b|\(\xb1\)|\(R,S\)")
LIST_WORD = _compiled(r"\bdoses?\b|\bdosages?\b|mpk|mg/kg|\broute\b")
START_WORD = _compiled(r"\b(?:start|starts|started|begin|onset|on|time|times|timestamps?|timepoints?)\b")
END_WORD = _compiled(r"\b(?:end|ends|ended|stop|stops|stopped|offset|finish|finished)\b")
ONGOING = _compiled(
    r"\b(?:infus\w{1,6}|inhal\w{1,8}|an(?:a)?esth\w{2,10}|wash[ -]?in|perfus\w{1,4}|superfus\w{1,4}|bath"
    r"|drip)\b"
)
LATER = _compiled(r"\b(?:post|after|following|recovery|late)\b")
