"""What a search has to do: which networks it tries, which of them are tried already, what the rest will take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..analysis.searches import numbers
from ..base.errors import TrainingError, VariantError
from ..base.stamps import utc_now
from ..base.units import counted
from ..params import reading
from ..params.runtimes import REFERENCE_RUNTIME
from ..params.search import SearchSpec, SpaceNetwork, networks_in, search_file
from ..params.settings import RecipeSpec
from ..params.variant import VariantSpec
from ..records.project import Project
from ..records.search import CandidateRecord, ForecastRecord, SearchRecord
from ..records.store import Store
from .study import Study

_MOST_TOLD = 3
"""Networks that a line names. Own choice."""


@dataclass(frozen=True)
class SearchPlan:
    """A search, costed.

    Attributes:
        record: What is to be stored of it.
        candidates: The networks to try, those that a person picked last, each with its trial if it was tried.
        earlier: Names of those tried before, of another file, proxy or calibration, which are not among them.
        proxy: What they are tried by.
        expected_s: How long what is missing will take; None where nothing tells.
        untrained: How many finalists are not trained yet.
    """

    record: SearchRecord
    candidates: tuple[CandidateRecord, ...]
    earlier: tuple[str, ...]
    proxy: RecipeSpec
    expected_s: float | None
    untrained: int

    @property
    def untried(self) -> list[CandidateRecord]:
        """Those that were not tried yet."""
        return [candidate for candidate in self.candidates if candidate.trial is None]

    def describe(self) -> Iterator[str]:
        """What was found and what it costs, a line each."""
        record, spec = self.record, self.record.spec
        least = f"{spec.least_ratio:g} to " if spec.least_ratio else "at most "
        yield (
            f"{spec.name}: {counted(record.networks, 'network')}, {record.within:,} predicted to take {least}"
            f"{spec.target_ratio:g} of the latency of {spec.baseline} in {REFERENCE_RUNTIME}, in {spec.runtime} with "
            f"batches of {spec.batch_size}. By their 95% intervals {record.maybe_slower:,} of these may be slower, and "
            f"{record.maybe_within:,} others as fast."
        )
        if doubtful := sum(bool(candidate.predicted.outside) for candidate in self.candidates):
            yield f"{spec.name}: some layers of {counted(doubtful, 'network')} to try were not calibrated for."
        if self.earlier:
            more = f" ({len(self.earlier) - _MOST_TOLD} more)" if len(self.earlier) > _MOST_TOLD else ""
            yield (
                f"{spec.name}: kept of an earlier file, proxy or calibration, and not counted now: "
                f"{', '.join(self.earlier[:_MOST_TOLD])}{more}."
            )
        yield f"{spec.name}: {self._costs()}"

    def _costs(self) -> str:
        spec, untried = self.record.spec, len(self.untried)
        picked = sum(candidate.picked for candidate in self.candidates)
        tried = f"{counted(len(self.candidates) - picked, 'candidate')} and {picked} picked"
        if not untried and not self.untrained:
            return f"{tried}, all tried, and the finalists trained."
        most = "up to " if untried else ""
        to_do = (
            f"{untried} to try by {spec.proxy} ({counted(self.proxy.steps, 'step')}), "
            f"{most}{self.untrained} to train by {spec.recipe} ({counted(self.record.recipe.steps, 'step')})"
        )
        if self.expected_s is None:
            return f"{tried}: {to_do}; no stored training tells how long that takes."
        return f"{tried}: {to_do}, about {self.expected_s / 60:.0f} min by the stored trainings that are most alike."


def plan_search(spec: SearchSpec, project: Project) -> SearchPlan:
    """Predicts all networks of a search, chooses which to try, and finds out what of that is stored.

    Args:
        spec: The search.
        project: Where parameters and results are.

    Raises:
        VariantError: a network or recipe cannot be made or does not suit, or no network is predicted to be wanted.
        StoreError: a runtime is not calibrated.
        MeasureError: scikit-learn is not installed.
        TrainingError: the teacher of a recipe has no weights.
    """
    params, store = project.params, project.store
    proxy, recipe = _recipes(spec, project)
    picked = [reading.load_variant(name, params) for name in spec.compare]
    networks = networks_in(spec, params)
    oracle = _Oracle(spec, project)
    forecasts = [oracle.forecast(network.variant) for network in networks]
    of_picked = [oracle.forecast(variant) for variant in picked]
    places = _wanted(spec, networks, forecasts, project)
    stored = store.candidates(spec.name)
    teacher = _teacher_sha256(proxy, store)
    candidates = []
    for variant, predicted, by_person in (
        *((networks[place].variant, forecasts[place], False) for place in places),
        *((variant, predicted, True) for variant, predicted in zip(picked, of_picked, strict=True)),
    ):
        candidate = CandidateRecord(
            variant=variant, picked=by_person, predicted=predicted, recipe=proxy, teacher_sha256=teacher
        )
        before = stored.get(candidate.key)
        candidates.append(candidate.model_copy(update={"trial": before.trial}) if before else candidate)
    keys = tuple(each.key for each in candidates)
    ratios = [(predicted.ratio, predicted.ratio_low, predicted.ratio_high) for predicted in forecasts]
    within = [ends for ends in ratios if spec.least_ratio <= ends[0] <= spec.target_ratio]
    record = SearchRecord(
        created=utc_now(),
        spec=spec,
        recipe=recipe,
        networks=len(networks),
        within=len(within),
        maybe_slower=sum(high > spec.target_ratio for _, _, high in within),
        maybe_within=sum(low <= spec.target_ratio < ratio for ratio, low, _ in ratios),
        calibrations=oracle.calibrations,
        candidates=keys,
    )
    earlier = tuple(each.variant.name for key, each in stored.items() if key not in keys and each.trial)
    return costed(SearchPlan(record, tuple(candidates), earlier, proxy, None, spec.finalists), store)


def costed(plan: SearchPlan, store: Store) -> SearchPlan:
    """The plan with its finalists, once all were tried, and with what the rest will take."""
    record, macs = plan.record, [candidate.variant.network.macs_per_image for candidate in plan.candidates]
    to_train: Sequence[float] = [sum(macs) / len(macs)] * record.spec.finalists
    if not plan.untried:
        chosen = numbers.best(plan.candidates, record.spec.finalists)
        record = record.model_copy(update={"finalists": tuple(candidate.key for candidate in chosen)})
        missing = [each for each in chosen if store.training_by(each.variant, record.recipe) is None]
        to_train = [each.variant.network.macs_per_image for each in missing]
    known = _known(plan, store)
    times = [numbers.expected_s(each.variant.network.macs_per_image, plan.proxy, known) for each in plan.untried]
    times += [numbers.expected_s(macs_per_image, record.recipe, known) for macs_per_image in to_train]
    told = [time for time in times if time is not None]
    expected_s = sum(told) if len(told) == len(times) else None
    return replace(plan, record=record, expected_s=expected_s, untrained=len(to_train))


def _known(plan: SearchPlan, store: Store) -> list[tuple[str, float, float]]:
    """Recipe, multiply-adds and seconds an image of all that was trained or tried."""
    trials = [
        (each.recipe.name, each.variant.network.macs_per_image, each.trial.step_s / each.recipe.batch_size)
        for each in store.candidates(plan.record.spec.name).values()
        if each.trial
    ]
    trainings = [
        (each.recipe, each.variant.network.macs_per_image, each.step_s / each.batch_size)
        for each in store.trainings()
        if each.step_s
    ]
    return [*trials, *trainings]


def _recipes(spec: SearchSpec, project: Project) -> tuple[RecipeSpec, RecipeSpec]:
    """The proxy and the recipe of the finalists, which must hold the same images out to choose by."""
    path = search_file(spec.name, project.params)
    proxy, recipe = (reading.load_recipe(name, project.params) for name in (spec.proxy, spec.recipe))
    if not proxy.held_out:
        raise VariantError(
            f"{path}: `proxy` must name a recipe that holds images out, for they choose. "
            f"Received: {proxy.name}, which holds none. Name another."
        )
    if proxy.held_out != recipe.held_out:
        raise VariantError(
            f"{path}: `recipe` must name one that holds out the images that {proxy.name} does, {proxy.held_out:,}, for "
            f"they choose. Received: {recipe.name}, which holds out {recipe.held_out:,}. Name another."
        )
    for each in (proxy, recipe):
        if each.teacher and _teacher_sha256(each, project.store) is None:
            raise TrainingError(
                f"recipe {each.name}, `teacher.name`: must be a network with reference weights. Received: "
                f"{each.teacher.name}, which has none. Train it first: cnnprof train {each.teacher.name}"
            )
    return proxy, recipe


def _teacher_sha256(recipe: RecipeSpec, store: Store) -> str | None:
    training = store.read_training(recipe.teacher.name) if recipe.teacher else None
    return training.weights_sha256 if training else None


class _Oracle:
    """Predicts networks in the search's runtime beside its baseline in the reference runtime."""

    def __init__(self, spec: SearchSpec, project: Project) -> None:
        study, runtimes = Study(project.store), (spec.runtime, REFERENCE_RUNTIME)
        predictors = {runtime: study.predictor(runtime) for runtime in dict.fromkeys(runtimes)}
        baseline = reading.load_variant(spec.baseline, project.params)
        self._predictor, self._batch_size = predictors[spec.runtime], spec.batch_size
        self._baseline = predictors[REFERENCE_RUNTIME].predict(baseline.network, spec.batch_size)
        records = {runtime: project.store.read_probes(runtime) for runtime in predictors}
        self.calibrations = {runtime: record.created for runtime, record in records.items() if record}

    def forecast(self, variant: VariantSpec) -> ForecastRecord:
        return numbers.forecast(self._predictor, self._baseline, variant.network, self._batch_size)


def _wanted(
    spec: SearchSpec, networks: Sequence[SpaceNetwork], forecasts: Sequence[ForecastRecord], project: Project
) -> list[int]:
    """Places of the networks to try.

    Raises:
        VariantError: none is predicted to be as fast as is asked for, or all are faster.
    """
    ratios = [predicted.ratio for predicted in forecasts]
    within = [place for place, ratio in enumerate(ratios) if spec.least_ratio <= ratio <= spec.target_ratio]
    if not within:
        ends = f"{min(ratios):.4f} to {max(ratios):.4f}"
        raise VariantError(
            f"{search_file(spec.name, project.params)}: `target_ratio` and `least_ratio` must let some network of the "
            f"space pass. Received: {spec.target_ratio:g} and {spec.least_ratio:g}, where {len(networks):,} are "
            f"predicted at {ends}. Change them, or the choices in `space`."
        )
    macs = [networks[place].variant.network.macs_per_image for place in within]
    choices = [networks[place].choices for place in within]
    chosen = numbers.most_unlike(macs, [ratios[place] for place in within], choices, spec.candidates)
    return [within[place] for place in chosen]
