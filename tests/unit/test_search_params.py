"""Spaces of networks as they are written: what they hold, what each network is called, what is said of a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnprof_lib.base.errors import VariantError
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.params.search import load_search, networks_in
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.params.writing import variant_yaml
from tests.builders import PARAMS

HEAD = "title: t\nruntime: stock\nbatch_size: 8\nbaseline: baseline\ncandidates: 4\nfinalists: 2\nproxy: p\nrecipe: r\n"
SPACE = "space:\n  input: {height: 24, width: 24, channels: 3}\n  classes: 10\n  stem: {filters: [8], stride: [2]}\n"
TARGET = "target_ratio: 0.5\n"
STAGES = "  stages:\n    - {blocks: [1], filters: [8]}\n"


@pytest.fixture
def params(tmp_path: Path) -> Path:
    (tmp_path / "params/searches").mkdir(parents=True)
    return tmp_path / "params"


def made(params: Path, text: str, name: str = "mine") -> dict[str, VariantSpec]:
    (params / f"searches/{name}.yaml").write_text(text)
    networks = networks_in(load_search(name, params), params)
    assert len({len(network.choices) for network in networks}) == 1
    return {network.variant.name: network.variant for network in networks}


def test_the_space_holds_what_a_person_picked_layer_by_layer() -> None:
    search = load_search("residual", PARAMS)
    networks = {network.variant.name: network.variant for network in networks_in(search, PARAMS)}
    assert search.compare == ("residual-3", "residual-4")
    for name, person in (("s16d2-32x1d2-64x2d2", "residual-3"), ("s16k2d2-32x1d2-64x3d2", "residual-4")):
        found = networks[f"residual-{name}"]
        assert found.layers == load_variant(person, PARAMS).layers
    assert found.title == (
        "Stem of 16 filters 2x2, stride 2; 1 residual block of 32, stride 2; 3 residual blocks of 64, stride 2"
    )


def test_a_stage_may_be_missing_and_is_then_one_network(params: Path) -> None:
    stages = "  stages:\n    - {blocks: [1], filters: [8]}\n    - {blocks: [0, 2], filters: [8, 16], stride: [1, 2]}\n"
    assert list(made(params, HEAD + TARGET + SPACE + stages)) == [
        "mine-s8d2-8x1", "mine-s8d2-8x3", "mine-s8d2-8x1-8x2d2", "mine-s8d2-8x1-16x2", "mine-s8d2-8x1-16x2d2",
    ]  # fmt: skip


def test_blocks_are_residual_plain_or_separable(params: Path) -> None:
    stages = "  stages:\n    - {blocks: [1], kind: [residual, plain, separable], filters: [16], stride: [2]}\n"
    space = SPACE.replace("filters: [8]", "filters: [8], kernel: [3, 5]")
    networks = made(params, HEAD + TARGET + space + stages)
    assert list(networks)[:3] == ["mine-s8d2-16x1d2", "mine-s8d2-p16x1d2", "mine-s8d2-s16x1d2"]
    assert list(networks)[3] == "mine-s8k5d2-16x1d2"
    residual, plain, separable = ([layer.name for layer in each.layers] for each in list(networks.values())[:3])
    head, tail = ["conv", "conv_bn", "conv_relu"], ["mean", "logits"]
    assert residual == [
        *head, "block1_conv1", "block1_bn1", "block1_relu1", "block1_conv2", "block1_bn2",
        "block1_shortcut", "block1_shortcut_bn", "block1_add", "block1_relu2", *tail,
    ]  # fmt: skip
    assert plain == [*head, "block1_conv", "block1_bn", "block1_relu", *tail]
    assert separable == [
        *head, "block1_depthwise", "block1_bn1", "block1_relu1", "block1_pointwise", "block1_bn2", "block1_relu2",
        *tail,
    ]  # fmt: skip
    shapes = {row.name: row.output_shape for row in networks["mine-s8d2-s16x1d2"].network.layers}
    assert (shapes["block1_depthwise"], shapes["block1_pointwise"]) == ((6, 6, 8), (6, 6, 16))


def test_a_written_variant_is_read_as_the_same(params: Path) -> None:
    for variant in (
        *made(params, HEAD + TARGET + SPACE + STAGES).values(),
        *(load_variant(name, PARAMS) for name in ("baseline", "resnet8", "smoke")),
    ):
        (params / f"{variant.name}.yaml").write_text(variant_yaml(variant, "For a test."))
        assert load_variant(variant.name, params) == variant
    assert (params / "mine-s8d2-8x1.yaml").read_text().splitlines()[:6] == [
        "# For a test.",
        "title: Stem of 8 filters, stride 2; 1 residual block of 8",
        "input: {height: 24, width: 24, channels: 3}",
        "classes: 10",
        "layers:",
        "  - {name: conv, type: conv, stride: 2, use_bias: false, filters: 8, kernel: 3}",
    ]


MANY = f"[{', '.join(map(str, range(1, 102)))}]"


@pytest.mark.parametrize(
    ("text", "message"),
    {
        f"{HEAD}{SPACE}{STAGES}": "`target_ratio` is required.",
        f"{HEAD}target_ratio: 0\n{SPACE}{STAGES}": "`target_ratio` must be greater than 0. Received: 0.",
        f"{HEAD}{TARGET}least_ratio: 0.5\n{SPACE}{STAGES}": "`least_ratio` must be less than `target_ratio`. "
        "Received: 0.5.",
        f"{HEAD.replace('finalists: 2', 'finalists: 5')}{TARGET}{SPACE}{STAGES}": "`finalists` must be at most "
        "`candidates`. Received: 5.",
        f"{HEAD}{TARGET}compare: [a, a]\n{SPACE}{STAGES}": "`compare` must name each network once. "
        "Received: ['a', 'a'].",
        f"{HEAD}{TARGET}{SPACE}  stages: []\n": "`space.stages` must have at least 1 item, not 0. Received: [].",
        f"{HEAD}{TARGET}{SPACE}  stages:\n    - {{blocks: [1], kind: [round], filters: [8]}}\n": "`space.stages"
        ".0.kind.0` must be 'residual', 'plain' or 'separable'. Received: 'round'. (2 more)",
        f"{HEAD}{TARGET}{SPACE}  stages:\n    - {{blocks: [65], filters: [8]}}\n": "`space.stages"
        ".0.blocks.0` must be less than or equal to 64. Received: 65. (2 more)",
        f"{HEAD}{TARGET}{SPACE}  stages:\n    - {{blocks: [1], filters: {MANY}, stride: {MANY}}}\n": "`space` "
        "must hold at most 10,000 networks. Received: 10201.",
        f"{HEAD}{TARGET}{SPACE}{STAGES}".replace("stock", "abacus"): "`runtime` must be of ",
    }.items(),
)
def test_a_mistake_is_one_line(params: Path, text: str, message: str) -> None:
    with pytest.raises(VariantError) as caught:
        made(params, text)
    line = str(caught.value)
    assert line.startswith(f"{params}/searches/mine.yaml: ")
    found = line.removeprefix(f"{params}/searches/mine.yaml: ")
    if message.endswith("of "):
        assert found.startswith(message.replace("runtime", "runtimes")) and found.endswith("Received: 'abacus'.")
    else:
        assert found == message


def test_a_name_too_long_for_a_file_is_refused(params: Path) -> None:
    name = "a" * 49
    with pytest.raises(VariantError) as caught:
        made(params, HEAD + TARGET + SPACE + STAGES.replace("[8]", "[1024]"), name)
    assert str(caught.value) == (
        f"{params}/searches/{name}.yaml: names of networks must have at most 60 letters, for each may become a file. "
        f"Received: {name}-s8d2-1024x1. Give the search a shorter name, or fewer stages."
    )
