"""The answer of a comparison in two sentences, plus two on the trials of a search."""

from __future__ import annotations

import math
from collections.abc import Sequence

from genloss.comparison.numbers import Numbers
from genloss.comparison.statistics import LEVEL, Difference, least_p, least_seeds
from genloss.comparison.trials import best, chosen_by, trials, values
from genloss.record.events import Status
from genloss.text import count_of, joined, needed, number, p_value, spread

MOST = 3
"""The largest number of objectives named in a list."""


def answer(comparison: Numbers) -> tuple[str, ...]:
    """Which objectives are better or worse than the baseline by the comparison's metric; which comparisons
    are inconclusive, and how many seeds they would take. Of a search: the best trials, which fresh seeds must
    test.
    """
    if not any(run.status == Status.FINISHED for run in comparison.runs):
        runs = count_of(len(comparison.runs), "run")
        return (f"None of {runs} finished, so there is nothing to compare.",)
    metric, baseline = comparison.metric, comparison.baseline
    if not metric:
        return (
            "No metric was computed, so there is nothing to say about which objective is better: "
            "values of different losses cannot be compared.",
            "Metrics are named under `evaluation:` of the experiment.",
        )
    summaries = comparison.summaries[metric]
    if not any(summary.count for summary in summaries.values()):
        return (f"No run has a finite {metric}, so there is nothing to compare by it.",)
    if comparison.is_search:
        return _searched(comparison)
    if not summaries[baseline].count:
        return (
            f"The baseline `{baseline}` has no finite {metric}, so nothing can be compared with it.",
            "`genloss compare --baseline OBJECTIVE` compares with another.",
        )
    differences = [d for d in comparison.differences if d.metric == metric]
    if not differences:
        only = len(comparison.objectives) == 1
        which = "the only objective" if only else "the only objective that is not a trial of a search"
        return (
            f"`{baseline}` has {_by(comparison)} {_value(comparison, baseline)}.",
            f"It is {which}, so there is nothing to compare it with{_lost(comparison)}.",
            *_searched(comparison),
        )
    return (
        _conclusive(comparison, differences),
        _inconclusive(comparison, differences),
        *_searched(comparison),
    )


def _searched(comparison: Numbers) -> tuple[str, ...]:
    """The best trial of each objective that was searched, and what that is worth; nothing if none was."""
    searched = trials(comparison)
    if not searched:
        return ()
    found = {each.objective: each for each in best(comparison)}
    parts = []
    for each in searched:
        lost = f" ({each.lost()})" if each.lost() else ""
        of = f"{count_of(len(each.names), 'trial')}{lost} of `{each.objective}`"
        chosen = found.get(each.objective)
        if chosen is None:
            parts.append(f"none of {of} has a value")
            continue
        summary = comparison.summaries[comparison.metric][chosen.name]
        value = spread(summary.mean, summary.half_width)
        parts.append(f"the best of {of} is trial {chosen.trial} with {value} ({values(chosen.point)})")
    reference = comparison.references.get(comparison.metric, math.nan)
    perfect = "" if math.isnan(reference) else f"; real data has {number(reference)}"
    first = f"By {_by(comparison)}, {joined(parts, MOST)}{perfect}."
    if not found:
        return (first,)
    seeds = chosen_by(list(found.values()))
    return first, (
        f"That is optimistic: the trial was chosen by the numbers of {seeds}, and was lucky, too; fresh "
        "seeds decide what it is worth."
        if len(found) == 1
        else f"That is optimistic: the trials were chosen by the numbers of {seeds}, and were lucky, too; "
        "fresh seeds decide which objective is better."
    )


def _conclusive(comparison: Numbers, differences: Sequence[Difference]) -> str:
    """The first sentence: what is better than the baseline, and what is worse."""
    baseline = comparison.baseline
    better, worse = ([d for d in differences if d.significant and d.better is side] for side in (True, False))
    by = f"By {_by(comparison)}"
    if not better and not worse:
        who = f"`{differences[0].objective}` cannot" if len(differences) == 1 else "no objective can"
        return (
            f"{by}, {who} be told from the baseline `{baseline}`, which has {_value(comparison, baseline)}."
        )
    counts = {d.seeds for d in [*better, *worse]}
    parts: list[str] = []
    for side, word in ((better, "better"), (worse, "worse")):
        if side:
            than = "" if parts else f" than the baseline `{baseline}`"
            ordered = sorted(side, key=lambda d: (d.p_holm, -abs(d.effect_size)))
            names = joined([_gain(d, tell_seeds=len(counts) > 1) for d in ordered], MOST)
            parts.append(f"{names} {'is' if len(side) == 1 else 'are'} {word}{than}")
    seeds = "the common seeds" if len(counts) > 1 else f"{counts.pop()} common seeds"
    tests = sum(d.seeds > 1 for d in _family(comparison))
    corrected = f", p corrected for {tests} comparisons" if tests > 1 else ""
    what = f"mean paired differences over {seeds} ± half-width of the 95% CI"
    return f"{by}, {' and '.join(parts)}: {what}{corrected}."


def _gain(difference: Difference, *, tell_seeds: bool) -> str:
    """By how much one is better or worse."""
    by = spread(abs(difference.mean), (difference.high - difference.low) / 2)
    seeds = f", {difference.seeds} seeds" if tell_seeds else ""
    return f"`{difference.objective}` (by {by}, p = {p_value(difference.p_holm)}{seeds})"


def _family(comparison: Numbers) -> list[Difference]:
    """The comparisons that are corrected together."""
    return [d for d in comparison.pairs or comparison.differences if d.metric == comparison.metric]


def _inconclusive(comparison: Numbers, differences: Sequence[Difference]) -> str:
    """The second sentence: what cannot be said, and how many seeds would say it."""
    left = [d for d in differences if not d.significant]
    if not left:
        whole = "The comparison is" if len(differences) == 1 else f"All {len(differences)} comparisons are"
        return f"{whole} conclusive{_lost(comparison)}."
    family = _family(comparison)
    tested = [d for d in left if d.seeds > 1]
    same = [d for d in tested if not any(d.by_seed.values())]
    others = sorted((d for d in tested if d not in same), key=lambda d: (d.needed_seeds, d.p_holm))
    few_seeds = too_few(family)
    clauses = [few_seeds] if few_seeds else []
    if others and not few_seeds:
        clauses.append(f"inconclusive: {joined([_with_p(d) for d in others], MOST)}")
    if known := [d for d in others if not math.isnan(d.needed_seeds)]:
        one = len(known) == 1
        seen = (
            "a difference as large as the one observed" if one else "differences as large as those observed"
        )
        clauses.append(f"{seen} would take {_seeds(known)}")
    if same:
        clauses.append(f"{_named(same)} gave the baseline's numbers, seed by seed")
    for count, what in ((1, "only one seed"), (0, "no seed")):
        few = [d for d in left if d.seeds == count]
        if few and max(d.seeds for d in family) > count:
            share = "shares" if len(few) == 1 else "share"
            clauses.append(f"{_named(few)} {share} {what} with the baseline that gave a number")
    sentence = "; ".join(clauses)
    return f"{sentence[0].upper()}{sentence[1:]}{_lost(comparison)}."


def too_few(family: Sequence[Difference]) -> str:
    """A clause if not even the clearest numbers of so many seeds could make one comparison significant."""
    most = max(d.seeds for d in family)
    tests = sum(d.seeds > 1 for d in family)
    if tests and tests * least_p(most) <= LEVEL:
        return ""
    needs = "1 comparison needs" if len(family) == 1 else f"{len(family):,} comparisons need"
    needs = f"{needs} at least {least_seeds(len(family))} seeds"
    if most == 0:
        return f"with no seed in common no comparison can be significant: {needs}"
    if most == 1:
        return f"with a single seed no comparison can be significant: {needs}"
    return (
        f"with {most} seeds no comparison can be significant, whatever the numbers: p cannot be below "
        f"{p_value(least_p(most))}, and {needs}"
    )


def _seeds(differences: Sequence[Difference]) -> str:
    """`about 12 seeds (`a`) and more than 1,000 (`b`)`, the fewest first, as they come."""
    shown = differences[:MOST] if len(differences) > MOST + 1 else differences
    if all(math.isinf(d.needed_seeds) for d in differences):
        return "more than 1,000 seeds"
    if len(differences) == 1:
        return f"about {needed(differences[0].needed_seeds)} seeds"
    words = [f"{needed(d.needed_seeds)} (`{d.objective}`)" for d in shown]
    words[0] = f"about {words[0].replace(' (', ' seeds (', 1)}"
    rest = len(differences) - len(shown)
    return joined([*words, *([f"as many or more for the other {rest}"] if rest else [])], MOST + 1)


def _with_p(difference: Difference) -> str:
    return f"`{difference.objective}` (p = {p_value(difference.p_holm)})"


def _named(differences: Sequence[Difference]) -> str:
    return joined([f"`{d.objective}`" for d in differences], MOST)


def _by(comparison: Numbers) -> str:
    """`frechet_distance (lower is better)`."""
    direction = comparison.metrics[comparison.metric]
    unit = "" if direction.unit == "1" else f"{direction.unit}, "
    return f"{comparison.metric} ({unit}{'higher' if direction.higher_is_better else 'lower'} is better)"


def _value(comparison: Numbers, objective: str) -> str:
    """`3.05 ± 0.41 (8 seeds; reference 0.31)`."""
    summary = comparison.summaries[comparison.metric][objective]
    reference = comparison.references.get(comparison.metric, math.nan)
    said = "" if math.isnan(reference) else f"; real data has {number(reference)}"
    return f"{spread(summary.mean, summary.half_width)} ({count_of(summary.count, 'seed')}{said})"


def _lost(comparison: Numbers) -> str:
    """What is in no mean, to end a sentence."""
    summaries = comparison.summaries[comparison.metric].values()
    counts = {
        "did not finish": len(comparison.unfinished()),
        "a search pruned": sum(run.status == Status.PRUNED for run in comparison.runs),
        f"finished without a finite {comparison.metric}": sum(summary.not_finite for summary in summaries),
    }
    parts = [f"{count} that {why}" for why, count in counts.items() if count]
    if not parts:
        return ""
    return f"; of {count_of(len(comparison.runs), 'run')}, the means leave out {joined(parts)}"
