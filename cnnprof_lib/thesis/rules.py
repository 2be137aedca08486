"""The rules of claims.yaml on time, memory and shapes, computed; those on weights are in `training_rules`.

Each takes a claim and the evidence, of one runtime unless it is asked once for all, and returns a finding. What the
records cannot answer raises `NotTestable`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from ..analysis.estimates import Estimate, is_below, latency, lies_in, profiled_over_plain
from ..analysis.trust.numbers import overhead
from ..base import units
from ..params.layers import Conv
from ..params.windows import sides
from . import BASELINE, PUBLISHED, STRIDES, published_table
from .claims import Claim
from .evidence import Evidence, Finding, NotTestable, Verdict, ratio_text, share_text

Rule = Callable[[Claim, Evidence], Finding]

_UNIT_BYTES = {"KB": 1e3, "MB": 1e6}


class Part(NamedTuple):
    """One part of a claim: its name, empty where it is the whole, and its rule, asked in each runtime or once."""

    name: str
    rule: Rule
    once: bool


PARTS: dict[int, list[Part]] = defaultdict(list)
"""The parts of each claim, by its number."""


def rule(number: int, part: str = "", *, once: bool = False) -> Callable[[Rule], Rule]:
    """Makes a function the rule of a claim, or of a part of it, asked in each runtime or once for all."""

    def register(function: Rule) -> Rule:
        PARTS[number].append(Part(part, function, once))
        return function

    return register


@rule(1)
def _conv2d_first(claim: Claim, evidence: Evidence) -> Finding:
    return _rank_in_time(evidence, "Conv2D", 1)


@rule(2)
def _lrn_second(claim: Claim, evidence: Evidence) -> Finding:
    return _rank_in_time(evidence, "LRN", 2)


def _rank_in_time(evidence: Evidence, op: str, rank: int) -> Finding:
    """Whether ``op`` has that rank among the baseline's ops by time, told apart from those beside it."""
    own = evidence.own_share(BASELINE, op)
    names = list(evidence.ops(BASELINE).index)
    place = names.index(op) + 1
    rivals = [*names[max(rank - 2, 0) : rank - 1], *names[rank : rank + 1]] if place == rank else [names[rank - 1]]
    shares = {name: evidence.own_share(BASELINE, name) for name in rivals}
    ours = f"{op} {share_text(own)}, " + ", ".join(f"{name} {share_text(share)}" for name, share in shares.items())
    if alike := [name for name, share in shares.items() if is_below(own, share) is None]:
        return Finding(ours, Verdict.NOT_TESTABLE, f"{op} and {' and '.join(alike)} cannot be told apart")
    return Finding(ours, Verdict.of(place == rank), f"{op} has place {place} by time")


@rule(3)
def _queue_then_conv2d(claim: Claim, evidence: Evidence) -> Finding:
    sizes = evidence.ops(BASELINE)["requested_bytes"].sort_values(ascending=False)
    shares = (sizes / sizes.sum())[:2]
    ours = ", ".join(f"{op} {units.percent(share, 1)}" for op, share in shares.items())
    if not sizes.get("FIFOQueueV2"):
        raise NotTestable("this runtime has no input queue", ours)
    first = list(shares.index)
    return Finding(ours, Verdict.of(first == ["FIFOQueueV2", "Conv2D"]), f"most bytes: {', then '.join(first)}")


@rule(4)
def _time_falls_with_stride(claim: Claim, evidence: Evidence) -> Finding:
    ratios = {name: evidence.ratio(name) for name in STRIDES.values()}
    latencies = [latency(evidence.run(name)).value for name in ratios]
    ours = ", ".join(map(units.seconds, latencies)) + "; ratios " + ", ".join(map(ratio_text, ratios.values()))
    return _falls(ratios, ours, "latency")


@rule(5)
def _share_falls_with_stride(claim: Claim, evidence: Evidence) -> Finding:
    shares = {name: evidence.own_share(name, "Conv2D") for name in STRIDES.values()}
    return _falls(shares, ", ".join(map(share_text, shares.values())), "Conv2D's share")


def _falls(values: dict[str, Estimate], ours: str, what: str) -> Finding:
    """Whether each value lies below the one before it."""
    open_pairs = []
    for (wider, above), (narrower, below) in pairwise(values.items()):
        falls = is_below(below, above)
        if falls is False:
            return Finding(ours, Verdict.CONTRADICTED, f"{what} of {narrower} is larger than that of {wider}")
        if falls is None:
            open_pairs.append(f"{wider} and {narrower}")
    if open_pairs:
        return Finding(ours, Verdict.NOT_TESTABLE, f"{what} of {', of '.join(open_pairs)} cannot be told apart")
    return Finding(ours, Verdict.REPRODUCED, f"{what} falls at every stride")


@rule(6)
def _conv2d_bytes(claim: Claim, evidence: Evidence) -> Finding:
    texts, fits = [], True
    for stride in (1, 5):
        printed = claim.published[f"stride {stride}"]
        requested = float(evidence.ops(STRIDES[stride])["requested_bytes"]["Conv2D"])
        texts.append(units.num_bytes(requested))
        fits &= requested <= printed.value * _UNIT_BYTES[printed.unit] < 2 * requested
    why = "both sizes are within what the allocator rounds up" if fits else "the printed sizes are not those requested"
    return Finding(", ".join(texts), Verdict.of(fits), why)


def sized(ratio: Estimate, span: tuple[float, float], ours: str, *, there: bool) -> Finding:
    """Holds where the ratio lies in the printed span; else it is another size of the effect, or it is not there."""
    inside, printed = lies_in(ratio, span), f"the printed {span[0]:.3g} to {span[1]:.3g}"
    if inside:
        return Finding(ours, Verdict.REPRODUCED, f"within {printed}")
    if inside is None:
        return Finding(ours, Verdict.NOT_TESTABLE, f"cannot be told from {printed}")
    if there:
        return Finding(ours, Verdict.DEPENDS, f"the effect is there, but outside {printed}")
    return Finding(ours, Verdict.CONTRADICTED, "there is no such effect")


@rule(9, "time")
def _half_time(claim: Claim, evidence: Evidence) -> Finding:
    ratio = evidence.ratio("filters32")
    return sized(ratio, claim.published["time"].range, ratio_text(ratio), there=ratio.high < 1)


@rule(9, "memory")
def _half_memory(claim: Claim, evidence: Evidence) -> Finding:
    """Bytes follow from shapes, so another ratio contradicts."""
    base, half = (evidence.requested_bytes(name) for name in (BASELINE, "filters32"))
    low, high = claim.published["memory"].range
    ours = f"{units.num_bytes(base)} and {units.num_bytes(half)}, ratio {half / base:.3f}"
    holds = low <= half / base <= high
    return Finding(ours, Verdict.of(holds), "" if holds else "requested bytes are not halved")


@rule(10)
def _half_filters_share(claim: Claim, evidence: Evidence) -> Finding:
    base, half = (evidence.own_share(name, "Conv2D") for name in (BASELINE, "filters32"))
    lower = is_below(half, base)
    ours = f"{share_text(base)}, with half the filters {share_text(half)}"
    return Finding(ours, Verdict.of(not lower), "Conv2D's share is lower" if lower else "")


@rule(11, "time")
def _pooling_time(claim: Claim, evidence: Evidence) -> Finding:
    ratio, little = evidence.ratio("pool-large"), claim.criteria["little"]
    ours, change = ratio_text(ratio), f"a change of {little.plus_minus:.0%}"
    inside = lies_in(ratio, little.range)
    if inside is None:
        return Finding(ours, Verdict.NOT_TESTABLE, f"cannot be told from {change}")
    if inside:
        return Finding(ours, Verdict.REPRODUCED, f"less than {change}")
    printed = [published_table(PUBLISHED[name].table)["time_s"].sum() for name in ("pool-large", BASELINE)]
    why = f"more than {change}, as in the printed tables, whose sums have the ratio {printed[0] / printed[1]:.3f}"
    return Finding(ours, Verdict.CONTRADICTED, why)


@rule(12)
def _profiling_slows(claim: Claim, evidence: Evidence) -> Finding:
    """Of a step that is traced and handed to the profiler's ``add_step``, as slow for a short step."""
    traced = profiled_over_plain(evidence.run(BASELINE))
    factors = overhead(evidence.runs).set_index("variant")["with_add_step_over_plain"]
    if BASELINE not in factors.dropna():
        raise NotTestable("the runtime does not tell what profiling costs")
    most, base = str(factors.idxmax()), float(factors[BASELINE])
    ours = f"{base:.2f} in the baseline (traced only: {ratio_text(traced)})"
    if most != BASELINE:
        ours += f", {factors.max():.2f} in {most}"
    low, high = claim.published["slowdown"].range
    printed = f"the printed {low:g} to {high:g} times"
    if low <= base <= high:
        return Finding(ours, Verdict.REPRODUCED, f"within {printed}")
    if base < low <= factors.max():
        return Finding(ours, Verdict.DEPENDS, f"as much as {printed} only in variants with shorter steps")
    why = f"more than {printed}" if base > high else f"less than {printed} in every variant"
    return Finding(ours, Verdict.CONTRADICTED, why)


@rule(13, "parameters", once=True)
def _parameters(claim: Claim, evidence: Evidence) -> Finding:
    count = evidence.run(BASELINE).network.parameters
    holds = count == claim.published["parameters"].value
    return Finding(f"{count:,}", Verdict.of(holds), "" if holds else "another number")


@rule(13, "multiply-adds", once=True)
def _multiply_adds(claim: Claim, evidence: Evidence) -> Finding:
    run = evidence.run(BASELINE)
    low, high = claim.published["multiply-adds"].range
    if low <= run.network.macs_per_image / 1e6 <= high:
        return Finding(f"{run.network.macs_per_image:,}", Verdict.REPRODUCED)
    both = (run.network.macs_per_image + run.network.parameters) / 1e6
    why = "convolutions and dense layers need another number"
    if low <= both <= high:
        why += f"; it is the sum with the parameters, {both:.2f} million, that rounds to the printed one"
    return Finding(f"{run.network.macs_per_image:,}", Verdict.CONTRADICTED, why)


@rule(14)
def _combination(claim: Claim, evidence: Evidence) -> Finding:
    both = evidence.ratio("stride2-filters32")
    single = {name: evidence.ratio(name) for name in ("stride2", "filters32")}
    ours = f"{ratio_text(both)}; " + ", ".join(f"{name} {ratio_text(ratio)}" for name, ratio in single.items())
    below = {name: is_below(both, ratio) for name, ratio in single.items()}
    if faster := [name for name, is_lower in below.items() if is_lower is False]:
        return Finding(ours, Verdict.CONTRADICTED, f"{' and '.join(faster)} alone is faster")
    if alike := [name for name, is_lower in below.items() if is_lower is None]:
        return Finding(ours, Verdict.NOT_TESTABLE, f"it cannot be told apart from {' and '.join(alike)}")
    return Finding(ours, Verdict.REPRODUCED, "faster than either change alone")


@rule(15, once=True)
def _whole_output(claim: Claim, evidence: Evidence) -> Finding:
    """The P that the formula needs for the output side TensorFlow gave, of each strided convolution."""
    needed: dict[tuple[str, float], None] = {}  # once where height and width need the same
    for run in evidence.runs:
        if run.variant is None:
            continue
        shapes = {each.name: each.shape for each in run.network.inputs}
        shapes |= {each.name: each.output_shape for each in run.network.layers}
        for layer, cost in zip(run.variant.layers, run.network.layers, strict=True):
            if isinstance(layer, Conv):
                befores, afters = shapes[cost.inputs[0]][:2], cost.output_shape[:2]
                windows = zip(befores, afters, sides(layer.kernel), sides(layer.stride), strict=True)
                for before, after, kernel, stride in windows:
                    if stride > 1:
                        needed[f"{run.name} {layer.name}", ((after - 1) * stride + kernel - before) / 2] = None
    if not needed:
        raise NotTestable("no convolution with a stride above 1 ran")
    ours = "P = " + ", ".join(f"{padding:g} in {name}" for name, padding in needed)
    if broken := [name for name, padding in needed if padding < 0 or padding % 1]:
        return Finding(ours, Verdict.CONTRADICTED, f"no whole P for {', '.join(broken)}, which ran")
    return Finding(ours, Verdict.REPRODUCED, "all convolutions that ran have a whole P")
