"""Sweeps as they are written: which networks they make, and what is said of a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnprof_lib.base.errors import VariantError
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.params.sweep import load_cluster, load_sweep, networks_of

PARAMS = Path(__file__).parents[2] / "params"
GRID = "title: t\nextends: smoke\nruntimes: [stock]\ngrid:\n"


@pytest.fixture
def params(tmp_path: Path) -> Path:
    (tmp_path / "params/sweeps").mkdir(parents=True)
    for name in ("baseline", "smoke", "filters32"):
        (tmp_path / f"params/{name}.yaml").write_text((PARAMS / f"{name}.yaml").read_text())
    return tmp_path / "params"


def made(params: Path, text: str) -> list[str]:
    (params / "sweeps/mine.yaml").write_text(text)
    return list(networks_of(load_sweep("mine", params), params, params.parent))


def test_strides_by_filters_are_the_future_work_of_the_thesis() -> None:
    networks = networks_of(load_sweep("strides", PARAMS), PARAMS, PARAMS.parent)
    assert len(networks) == 20
    unchanged, baseline = networks["baseline-stride1-filters64"], load_variant("baseline", PARAMS)
    assert unchanged is not None and unchanged.layers == baseline.layers
    changed = networks["baseline-stride3-filters32"]
    assert changed is not None
    assert changed.title == "baseline with stride 3, filters 32 in conv1, conv2"
    assert [(layer.stride, layer.filters) for layer in changed.layers if layer.type == "conv"] == [(3, 32)] * 2


def test_names_are_those_a_variant_may_have(params: Path) -> None:
    grid = "  size: {layers: [conv1], key: kernel, values: [3, [1, 5]]}\n  l2: {layers: [conv1], values: [0.5]}\n"
    assert made(params, GRID + grid) == ["smoke-size3-l20-5", "smoke-size1x5-l20-5"]


def test_a_list_of_changes_and_files_of_params_and_models(params: Path) -> None:
    text = (
        "title: t\nextends: smoke\nchanges:\n  wide: {conv1: {filters: 99}}\n"
        "variants: [baseline, keras.applications.ResNet50]\nruntimes: [stock]\n"
    )
    assert made(params, text) == ["smoke-wide", "baseline", "keras.applications.ResNet50"]


@pytest.mark.parametrize(
    ("text", "message"),
    {
        "title: t\nruntimes: [stock]\n": "`grid` must have factors, or `changes` or `variants` must name networks. "
        "Received: 0.",
        "title: t\nruntimes: [stock]\nchanges: {a: {}}\n": "`extends` must name a variant where there is a `grid` or "
        "`changes`. Received: None.",
        f"{GRID}  stride: {{layers: [conv1], values: [{', '.join(map(str, range(1, 10002)))}]}}\n": "`grid` must make "
        "at most 10,000 runs, with all conditions. Received: 10001.",
        f"{GRID}  stride: {{layers: [conv9], values: [1]}}\n": "smoke-stride1: `change.conv9` names no layer. "
        "Received: {'stride': 1}. Layers: conv1, pool1, logits.",
        f"{GRID}  stride: {{layers: [conv1], values: [0]}}\n": "smoke-stride0: `conv1.stride` must be greater than 0. "
        "Received: 0.",
        f"{GRID}  stride: {{layers: [conv1], values: [2, 2]}}\n": "two networks would be called `smoke-stride2`. "
        "Rename one, or leave one out.",
        f"{GRID}  stride: {{layers: [conv1], values: !!python/name:os.system ''}}\n": "line 5 is not valid: tags are "
        "not read. Received: 'tag:yaml.org,2002:python/name:os.system'. Leave it out; quotes make text.",
    }.items(),
)
def test_a_mistake_is_one_line(params: Path, text: str, message: str) -> None:
    with pytest.raises(VariantError) as caught:
        made(params, text)
    assert str(caught.value) == f"{params}/sweeps/mine.yaml: {message}"


def test_a_cluster_is_a_kind_of_batch_system_with_its_options(tmp_path: Path) -> None:
    file = tmp_path / "slurm.yaml"
    file.write_text("kind: slurm\njobs: 4\noptions: {queue: cpu, cores: 8, memory: 16GB}\n")
    assert load_cluster(file).options == {"queue": "cpu", "cores": 8, "memory": "16GB"}
    file.write_text("kind: abacus\njobs: 4\n")
    with pytest.raises(VariantError) as caught:
        load_cluster(file)
    assert str(caught.value) == (
        f"{file}: `kind` must be 'slurm', 'pbs', 'sge', 'lsf', 'oar', 'htcondor', 'moab' or 'local'. "
        "Received: 'abacus'."
    )
    with pytest.raises(VariantError) as caught:
        load_cluster(tmp_path / "none.yaml")
    assert str(caught.value) == f"{tmp_path}/none.yaml: no such file. Name one with `kind`, `jobs` and `options`."
