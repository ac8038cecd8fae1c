"""Answers of a mixed model to the questions of one run, each a call of the method of the same name."""

from __future__ import annotations

from collections.abc import Iterator

from nwbswitch.analysis.fit_questions import FitQuestions, names_in
from nwbswitch.analysis.fit_report import Answer
from nwbswitch.analysis.mixed.result import MixedFit


def answers(fit: MixedFit, questions: FitQuestions) -> tuple[Answer, ...]:
    """Return the answers in the order of the command's help.

    Raises
    ------
    ValueError
        If a question names a term, variable or level that the model does not have.
    FitError
        If the data cannot answer, as a robust test without independent groups.
    """
    return tuple(_answers(fit, questions))


def _answers(fit: MixedFit, questions: FitQuestions) -> Iterator[Answer]:
    if questions.robust is not None:
        found = fit.robust(type=questions.robust)
        title = f"Fixed effects, {found.kind} robust, {found.n_clusters} clusters of {found.group}"
        yield Answer("robust", title, found.table(), found.as_dict(), tuple(found.undetermined()))
    if questions.permutation is not None:
        permuted = fit.permutation(questions.permutation, seed=questions.seed)
        title = f"Permutation test over {permuted.group}"
        yield Answer("permutation", title, permuted.table(), permuted.as_dict(), permuted.notes)
    if questions.equivalence is not None and questions.margin is not None:
        equal = fit.equivalence(questions.equivalence, margin=questions.margin)
        title = f"Equivalence within {questions.margin:g}: two one-sided tests at {equal.alpha:g}"
        table = equal.table().drop(columns=["t_low", "t_high"])
        note = "The interval has coverage 1 - 2 alpha. 'not shown' is no evidence of a difference."
        yield Answer("equivalence", title, table, equal.as_dict(), (note,), 1.0 - 2.0 * equal.alpha)
    if questions.marginal_means is not None:
        yield from _means(fit, questions)
    if questions.profile:
        profiled = fit.profile()
        title = f"{100.0 * profiled.level:g} % profile likelihood intervals (maximum likelihood)"
        yield Answer("profile", title, profiled.table(), profiled.as_dict())
    if questions.bootstrap is not None:
        drawn = fit.bootstrap(n=questions.bootstrap, seed=questions.seed, workers=questions.workers)
        counts = drawn.counts()
        note = (
            f"{counts['n']} draws, seed {drawn.seed}: {counts['singular']} singular, "
            f"{counts['not_converged']} not converged, {counts['failed']} failed."
        )
        yield Answer(
            "bootstrap", "Parametric bootstrap", drawn.table(), drawn.as_dict(), (note, *drawn.notes())
        )


def _means(fit: MixedFit, questions: FitQuestions) -> Iterator[Answer]:
    assert questions.marginal_means is not None
    specs = names_in(questions.marginal_means)
    by = names_in(questions.by) if questions.by is not None else ()
    means = fit.marginal_means(specs, by=by)
    yield Answer("marginal_means", "Marginal means", means.table(), means.as_dict(), means.notes())
    if questions.contrast is not None:
        compared = fit.contrasts(specs, by=by, method=questions.contrast, adjust=questions.adjust)
        title = f"Contrasts of marginal means ({questions.contrast}; P adjusted: {compared.adjust})"
        yield Answer("contrasts", title, compared.table(), compared.as_dict(), compared.notes)
