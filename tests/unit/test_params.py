"""Parameter files: what they become, and one whole line for every mistake."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import pytest
from pydantic_core._pydantic_core import list_all_errors

from cnnprof_lib.base.errors import VariantError
from cnnprof_lib.params.reading import in_words, load_preset, load_recipe, load_spec, load_variant, load_variants

PARAMS = Path(__file__).parents[2] / "params"
PUBLISHED = {
    # variant: sides of conv1, pool1, conv2, pool2; parameters; MACs (the thesis's shapes, READING table)
    "baseline": ((24, 12, 12, 6), 1_068_298, 18_470_784),
    "stride2": ((12, 6, 3, 2), 281_866, 1_786_752),
    "stride3": ((8, 4, 2, 1), 208_138, 817_024),
    "stride5": ((5, 3, 1, 1), 208_138, 322_624),
    "filters32": ((24, 12, 12, 6), 546_666, 5_586_816),
    "pool-large": ((24, 11, 11, 6), 1_068_298, 16_115_584),
}

SMALL = """
title: Small
input: {height: 8, width: 8, channels: 3}
classes: 10
layers:
  - {name: conv1, type: conv, filters: 4, kernel: 3}
  - {name: pool1, type: max_pool, window: 2, stride: 2}
  - {name: logits, type: dense, units: 10}
"""


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder ``params`` with one variant ``small``, named relatively as a user sees it."""
    (tmp_path / "params").mkdir()
    (tmp_path / "params/small.yaml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    return Path("params")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_variants_have_the_thesis_shapes(name: str) -> None:
    sides, parameters, macs = PUBLISHED[name]
    variant = load_variant(name, PARAMS)
    by_name = {row.name: row for row in variant.network.layers}
    assert tuple(by_name[layer].output_shape[0] for layer in ("conv1", "pool1", "conv2", "pool2")) == sides
    assert variant.network.parameters == parameters
    assert variant.network.macs_per_image == macs


def test_every_parameter_file_of_the_project_loads() -> None:
    variants, models, refused = load_variants(PARAMS)
    assert (models, refused) == ([], [])
    assert [variant.name for variant in variants][:3] == ["residual-large", "baseline", "pool-large"]
    assert {"stride2-filters32", "smoke"} <= {variant.name for variant in variants}
    for path in (PARAMS / "presets").glob("*.yaml"):
        preset = load_preset(path.stem, PARAMS)
        assert set(preset.variants) <= {variant.name for variant in variants}
    for path in (PARAMS / "recipes").glob("*.yaml"):
        assert load_recipe(path.stem, PARAMS).name == path.stem


def test_quick_measures_a_hundred_steps_of_each_kind() -> None:
    preset = load_preset("quick", PARAMS)
    assert (preset.steps, preset.batch_size, len(preset.variants)) == (100, 128, 8)


def test_extends_goes_through_several_files() -> None:
    variant = load_variant("stride2-filters32", PARAMS)
    conv1 = variant.layer("conv1")
    assert (conv1.stride, conv1.filters) == (2, 32)  # type: ignore[attr-defined]


def test_a_new_network_needs_no_code(params: Path) -> None:
    (params / "every.yaml").write_text(
        """
title: Every kind of layer
input: {height: 16, width: 16, channels: 3}
classes: 10
layers:
  - {name: conv1, type: conv, filters: 8, kernel: 3, padding: valid, use_bias: false}
  - {name: bn1, type: batch_norm}
  - {name: relu1, type: relu}
  - {name: depth, type: depthwise_conv, kernel: 3, depth_multiplier: 2, activation: relu}
  - {name: sep, type: separable_conv, filters: 12, kernel: 3, stride: 2}
  - {name: norm, type: lrn, depth_radius: 2, bias: 1.0, alpha: 0.1, beta: 0.75}
  - {name: mean1, type: avg_pool, window: 2, stride: 2}
  - {name: drop, type: dropout, rate: 0.5}
  - {name: mean2, type: global_avg_pool}
  - {name: flat, type: flatten}
  - {name: logits, type: dense, units: 10}
"""
    )
    rows = {row.name: row for row in load_variant("every", params).network.layers}
    assert rows["conv1"].output_shape == (14, 14, 8)
    assert rows["conv1"].parameters == 3 * 3 * 3 * 8
    assert rows["conv1"].macs == 14 * 14 * 8 * 27
    assert rows["bn1"].parameters == 32
    assert (rows["depth"].output_shape, rows["depth"].parameters) == ((14, 14, 16), 9 * 16 + 16)
    assert rows["depth"].macs == 14 * 14 * 16 * 9
    assert (rows["sep"].output_shape, rows["sep"].parameters) == ((7, 7, 12), 9 * 16 + 16 * 12 + 12)
    assert rows["sep"].macs == 7 * 7 * (16 * 9 + 16 * 12)
    assert rows["mean1"].output_shape == (4, 4, 12)
    assert rows["mean2"].output_shape == (12,)
    assert rows["logits"].macs == 120


CHANGES = {
    "{conv1: {stride: -2}}": "`conv1.stride` must be greater than 0. Received: -2.",
    "{conv1: {stride: '2'}}": "`conv1.stride` must be a valid integer. Received: '2'.",
    "{conv1: {stride: 2.5}}": "`conv1.stride` must be a valid integer. Received: 2.5.",
    "{conv1: {strid: 2}}": "`conv1.strid` is not a known key. Received: 2.",
    "{conv1: {padding: sam}}": "`conv1.padding` must be 'same' or 'valid'. Received: 'sam'.",
    "{conv1: {use_bias: 1}}": "`conv1.use_bias` must be a valid boolean. Received: 1.",
    "{conv1: {filters: 2147483648}}": (
        "`conv1.filters` must be less than or equal to 2147483647. Received: 2147483648."
    ),
    "{conv1: {filters: 2147483647, kernel: 65535}}": (
        "`conv1` must have values, parameters and MACs that 64 bits can count. "
        f"Received: {8 * 8 * 3 * (2**31 - 1) * (2**16 - 1) ** 2}."  # its MACs
    ),
    "{pool1: {window: 65536}}": "`pool1.window` must be less than or equal to 65535. Received: 65536.",
    "{conv1: {kernel: [3, 0]}}": "`conv1.kernel.1` must be greater than 0. Received: 0.",
    "{conv1: {kernel: [3, 5, 3]}}": "`conv1.kernel` must have at most 2 items, not 3. Received: [3, 5, 3].",
    "{conv1: {kernel: {height: 3}}}": "`conv1.kernel` must be a valid integer. Received: {'height': 3}.",
    "{conv1: {kernel: null}}": "`conv1.kernel` must be a valid integer. Received: None.",
    "{pool1: {window: [2, 9], padding: valid}}": (
        "`pool1.window` must not exceed its input of 8x8 under `padding: valid`. Received: (2, 9)."
    ),
    "{conv1: {groups: 2}}": "`conv1.groups` must divide the 3 channels that it reads. Received: 2.",
    "{conv1: {groups: 3}}": "`conv1.groups` must divide the 4 `filters`. Received: 3.",
    "{conv1: {groups: 0}}": "`conv1.groups` must be greater than 0. Received: 0.",
    "{conv1: {activation: tanh}}": (
        "`conv1.activation` must be 'none', 'relu', 'relu6', 'gelu' or 'swish'. Received: 'tanh'."
    ),
    "{logits: {inputs: pool1}}": "`logits.inputs` must be a list. Received: 'pool1'.",
    "{logits: {inputs: []}}": "`logits.inputs` must have at least 1 item, not 0. Received: [].",
    "{logits: {inputs: [conv1, pool1]}}": (
        "`logits.inputs` must have at most 1 item, not 2. Received: ['conv1', 'pool1']."
    ),
    "{logits: {inputs: [conv2]}}": (
        "`logits.inputs` must name earlier layers or (images), but conv2 is none of (images), conv1, pool1. "
        "Received: ['conv2']."
    ),
    "{conv1: {inputs: [pool1]}}": (
        "`conv1.inputs` must name earlier layers or (images), but pool1 does not come before it. Received: ['pool1']."
    ),
    "{conv1: {inputs: [conv1]}}": (
        "`conv1.inputs` must name earlier layers or (images), but conv1 does not come before it. Received: ['conv1']."
    ),
    "{logits: {inputs: [conv1]}}": (
        "`pool1` must be read by a later layer: name it in the `inputs` of one, or leave it out. Received: 'pool1'."
    ),
    "{conv1: {use_bias: no}}": "`conv1.use_bias` must be a valid boolean. Received: 'no'.",
    "{conv1: {name: Conv1}}": "`Conv1.name` must match pattern '^[a-z][a-z0-9_]*$'. Received: 'Conv1'.",
    "{conv1: {l2: .nan}}": "`conv1.l2` must be a finite number. Received: nan.",
    "{pool1: {window: 9, padding: valid}}": (
        "`pool1.window` must not exceed its input of 8x8 under `padding: valid`. Received: 9."
    ),
    "{conv1: {kernel: 9, padding: valid}}": (
        "`conv1.kernel` must not exceed its input of 8x8 under `padding: valid`. Received: 9."
    ),
    "{pool1: {name: conv1}}": "`layers` must have unique names. Received: 'conv1'.",
    "{logits: {units: 9}}": (
        "`layers` must end in one value per class (10), but its output has shape (9,). Received: 'logits'."
    ),
    "{conv2: {stride: 2}}": "`change.conv2` names no layer. Received: {'stride': 2}. Layers: conv1, pool1, logits.",
    "[conv1]": "`change` must map layers to the keys they change. Received: ['conv1'].",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_change_is_one_line(params: Path, change: str) -> None:
    (params / "wide.yaml").write_text(f"title: Wide\nextends: small\nchange: {change}\n")
    with pytest.raises(VariantError) as caught:
        load_variant("wide", params)
    assert str(caught.value) == f"params/wide.yaml: {CHANGES[change]}"


def block(join: str) -> str:
    """A file with a branch of one convolution, and a layer that joins the two."""
    layers = "{name: a, type: conv, filters: 4, kernel: 3}, {name: b, type: conv, filters: 4, kernel: 3, stride: 2}"
    last = "{name: logits, type: dense, units: 10}"
    return f"title: Block\nextends: small\nlayers: [{layers}, {{name: join, {join}}}, {last}]"


FILES = {
    block("type: add"): "`join.inputs` is required.",
    block("type: add, inputs: [a]"): "`join.inputs` must have at least 2 items, not 1. Received: ['a'].",
    block("type: add, inputs: [a, a]"): "`join.inputs` must name each layer once. Received: ['a', 'a'].",
    block("type: add, inputs: [b, 3]"): "`join.inputs.1` must be a valid string. Received: 3. (1 more)",
    block("type: add, inputs: [a, b]"): (
        "`join.inputs` must name layers of one shape, but theirs are 8x8x4, 4x4x4. Received: ['a', 'b']."
    ),
    block("type: add, inputs: [b, (images)]"): (
        "`join.inputs` must name layers of one shape, but theirs are 4x4x4, 8x8x3. Received: ['b', '(images)']."
    ),
    block("type: concat, inputs: [a, b]"): (
        "`join.inputs` must name layers of one height and width, but theirs are 8x8x4, 4x4x4. Received: ['a', 'b']."
    ),
    block("type: relu, inputs: [logits]"): (
        "`join.inputs` must name earlier layers or (images), but logits does not come before it. Received: ['logits']."
    ),
    block("type: depthwise_conv, kernel: 3, stride: [1, 2]"): (
        "`join.stride` must be a valid integer. Received: [1, 2]."
    ),
    "titel: Wide\nextends: small": "`titel` is not a known key. Received: 'Wide'.",
    "title: Wide": "`input` is required. (2 more)",
    "title: Wide\nextends: smal": "`extends` must name a file of params. Received: 'smal'.",
    "title: Wide\nextends: wide": "`extends` must not lead back to itself. Received: wide -> wide.",
    "title: Wide\nextends: 3": "`extends` must name a variant. Received: 3.",
    "title: Wide\nchange: {conv1: {stride: 2}}": "`change` needs `extends`. Received: {'conv1': {'stride': 2}}.",
    "title: Wide\ntitle: Wider": "line 2 is not valid: `title` stands twice.",
    "title: [": (
        "line 1 is not valid: while parsing a flow node, expected the node content, but found '<stream end>'."
    ),
    "- title": "must hold keys and values. Received: ['title'].",
    "": "must hold keys and values. Received: None.",
    "title: Wide\nextends: small\nlayers: []": "`layers` must hold at least one layer. Received: [].",
    "title: Wide\nextends: small\nlayers: [3]": "`layers.0` must hold keys and values. Received: 3.",
    "title: Wide\nextends: small\ninput: 3": "`input` must hold keys and values. Received: 3.",
    "title: ''\nextends: small": "`title` must have at least 1 character. Received: ''.",
    "title: Wide\nextends: ../small": "`extends` must name a file of params. Received: '../small'.",
    "title: Wide\nextends: small\nname: other": (
        "`name` must be the file's. Received: 'other'. Leave it out, or rename the file."
    ),
    'title: Wide\nextends: small\n"a\\nb": 1': "`a b` is not a known key. Received: 1.",
    "title: Wide\nextends: small\nlayers: 3": "`layers` must be a list. Received: 3.",
    "title: Wide\nextends: small\nlayers: [{name: a}]": "`a.type` is required.",
    "title: Wide\nextends: small\nlayers: [{name: a, type: convv}]": (
        "`a.type` must be one of 'conv', 'depthwise_conv', 'separable_conv', 'batch_norm', 'lrn', 'relu', 'relu6', "
        "'gelu', 'swish', 'max_pool', 'avg_pool', 'global_avg_pool', 'flatten', 'dense', 'dropout', 'add', 'concat'. "
        "Received: 'convv'."
    ),
    "title: Wide\nextends: small\nlayers: [{name: a, type: global_avg_pool}, {name: b, type: lrn, depth_radius: 1, "
    "bias: 1.0, alpha: 1.0, beta: 1.0}]": (
        "`b.type` needs an image (height, width, channels) as input, not (3,). Received: 'lrn'."
    ),
}


@pytest.mark.parametrize("content", FILES)
def test_a_wrong_file_is_one_line(params: Path, content: str) -> None:
    (params / "wide.yaml").write_text(content)
    with pytest.raises(VariantError) as caught:
        load_variant("wide", params)
    assert str(caught.value) == f"params/wide.yaml: {FILES[content]}"


def test_a_missing_file_names_those_there(params: Path) -> None:
    with pytest.raises(VariantError) as caught:
        load_variant("smal", params)
    assert str(caught.value) == "params/smal.yaml: no such file. Known in params: small."


def test_an_extends_cycle_names_its_files(params: Path) -> None:
    (params / "a.yaml").write_text("title: A\nextends: b")
    (params / "b.yaml").write_text("title: B\nextends: a")
    with pytest.raises(VariantError) as caught:
        load_variant("a", params)
    assert str(caught.value) == (
        "params/a.yaml: extends params/b.yaml: `extends` must not lead back to itself. Received: a -> b -> a."
    )


def test_a_chain_of_any_length_is_followed(params: Path) -> None:
    for number, before in enumerate(["small", *(f"n{n}" for n in range(300))]):
        (params / f"n{number}.yaml").write_text(f"title: T\nextends: {before}\n")
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 200)
    try:
        assert load_variant("n300", params).network.parameters == load_variant("small", params).network.parameters
    finally:
        sys.setrecursionlimit(usual)


def test_a_file_that_extends_a_broken_one_names_both(params: Path) -> None:
    (params / "wide.yaml").write_text("title: Wide\nextends: small\nchange: {conv1: {filter: 8}}\n")
    (params / "wider.yaml").write_text("title: Wider\nextends: wide\n")
    (params / "widest.yaml").write_text("title: Widest\nextends: wider\n")
    for name in ("wider", "widest"):
        with pytest.raises(VariantError) as caught:
            load_variant(name, params)
        assert str(caught.value) == (
            f"params/{name}.yaml: extends params/wide.yaml: `conv1.filter` is not a known key. Received: 8."
        )


def test_a_broken_file_hides_no_other(params: Path) -> None:
    (params / "a.yaml").write_text("title: [\n")
    (params / "b.yaml").write_text("title: B\nname: c\nextends: small\n")
    (params / "other.yaml").write_text("title: Other\nextends: small\n")
    (params / ".#small.yaml").symlink_to("nobody@nowhere")  # an editor's lock
    (params / "z z.yaml").write_text("title: Z\nextends: small\n")
    variants, models, refused = load_variants(params)
    assert ([variant.name for variant in variants], models) == (["other", "small"], [])
    assert [str(error) for error in refused] == [
        "params/a.yaml: line 2 is not valid: while parsing a flow node, expected the node content, "
        "but found '<stream end>'.",
        "params/b.yaml: `name` must be the file's. Received: 'c'. Leave it out, or rename the file.",
        "params/z z.yaml: a name must be plain, without folder, space or .yaml. Received: 'z z'. "
        "Known in params: a, b, other, small, z z.",
    ]


def test_a_parameter_file_may_name_a_model(params: Path) -> None:
    Path("mine.keras").touch()
    (params / "mine.yaml").write_text("model: ../mine.keras\npreprocessing: scale\n")
    (params / "built.yaml").write_text(
        "title: ResNet50\nmodel: keras.applications.ResNet50\ninput_shape: [64, 64, 3]\n"
    )
    variants, models, refused = load_variants(params)
    assert ([variant.name for variant in variants], refused) == (["small"], [])
    assert [(each.name, each.model, each.input_shape) for each in models] == [
        ("built", "keras.applications.ResNet50", (64, 64, 3)),
        ("mine", "mine.keras", None),
    ]
    (params / "mine.yaml").write_text("model: mine.keras\n")
    with pytest.raises(VariantError) as caught:
        load_spec("mine", params)
    assert str(caught.value) == (
        "params/mine.yaml: `model` must name a file, relative to this one. Received: 'mine.keras'."
    )
    (params / "mine.yaml").write_text("model: ../mine.keras\nlayers: []\n")
    with pytest.raises(VariantError, match=r"^params/mine.yaml: `layers` is not a known key. Received: \[\]."):
        load_spec("mine", params)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../small", "presets/slow", "/etc/small", "small.yaml", "a b", "a" * 61]
)
def test_a_name_is_no_path(params: Path, name: str) -> None:
    (params / "presets").mkdir()
    (params / "presets/slow.yaml").write_text(SMALL)
    (params.parent / "small.yaml").write_text(SMALL)
    with pytest.raises(VariantError) as caught:
        load_variant(name, params)
    assert str(caught.value) == (
        f"{params / f'{name}.yaml'}: a name must be plain, without folder, space or .yaml. Received: {name!r}. "
        "Known in params: small."
    )


EXPO = """
title: alpha as 1e-4
input: {height: 8, width: 8, channels: 3}
classes: 10
layers:
  - {name: n1, type: lrn, depth_radius: 4, bias: 1.0, alpha: 1e-4, beta: 0.75}
  - {name: logits, type: dense, units: 10}
"""
MERGE = """
title: 2024-02-30
input: {height: 32, width: 32, channels: 3}
classes: 10
layers:
  - &c {name: c1, type: conv, filters: 16, kernel: 3, activation: relu}
  - {<<: *c, name: c2}
  - {<<: *c, name: c3, stride: 2}
  - {name: gap, type: global_avg_pool}
  - {name: logits, type: dense, units: 10}
"""


def test_numbers_with_exponents_and_merge_keys_are_read(params: Path) -> None:
    (params / "expo.yaml").write_text(EXPO)
    assert load_variant("expo", params).layer("n1").alpha == 0.0001  # type: ignore[attr-defined]
    (params / "merge.yaml").write_text(MERGE)
    variant = load_variant("merge", params)
    assert (variant.title, variant.network.parameters, variant.network.macs_per_image) == (
        "2024-02-30",
        5_258,
        3_391_648,
    )


CIFAR10_CNN = """
title: The network of Keras' example cifar10_cnn
input: {height: 32, width: 32, channels: 3}
classes: 10
layers:
  - {name: c1, type: conv, filters: 32, kernel: 3, activation: relu}
  - {name: c2, type: conv, filters: 32, kernel: 3, padding: valid, activation: relu}
  - {name: p1, type: max_pool, window: 2, stride: 2, padding: valid}
  - {name: d1, type: dropout, rate: 0.25}
  - {name: c3, type: conv, filters: 64, kernel: 3, activation: relu}
  - {name: c4, type: conv, filters: 64, kernel: 3, padding: valid, activation: relu}
  - {name: p2, type: max_pool, window: 2, stride: 2, padding: valid}
  - {name: d2, type: dropout, rate: 0.25}
  - {name: f, type: flatten}
  - {name: fc, type: dense, units: 512, activation: relu}
  - {name: d3, type: dropout, rate: 0.5}
  - {name: logits, type: dense, units: 10}
"""
BRANCHES = """
title: Every way to read
input: {height: 12, width: 10, channels: 3}
classes: 10
layers:
  - {name: wide, type: conv, filters: 8, kernel: [3, 5], stride: [2, 1], activation: gelu}
  - {name: left, type: conv, inputs: [wide], filters: 8, kernel: [1, 3], groups: 4, activation: swish}
  - {name: right, type: relu6, inputs: [wide]}
  - {name: sum, type: add, inputs: [left, right]}
  - {name: peaks, type: max_pool, inputs: [(images)], window: [2, 3], stride: [2, 1]}
  - {name: all, type: concat, inputs: [peaks, sum, left]}
  - {name: deep, type: depthwise_conv, kernel: [3, 1]}
  - {name: apart, type: separable_conv, kernel: [1, 3], filters: 4}
  - {name: logits, type: dense, units: 10}
"""


def test_layers_read_what_they_name_or_the_one_before(params: Path) -> None:
    (params / "branches.yaml").write_text(BRANCHES)
    network = load_variant("branches", params).network
    assert {row.name: (row.inputs, row.output_shape, row.parameters, row.macs) for row in network.layers} == {
        "wide": (("(images)",), (6, 10, 8), 15 * 3 * 8 + 8, 60 * 15 * 3 * 8),
        "left": (("wide",), (6, 10, 8), 3 * 2 * 8 + 8, 60 * 3 * 2 * 8),
        "right": (("wide",), (6, 10, 8), 0, 0),
        "sum": (("left", "right"), (6, 10, 8), 0, 0),
        "peaks": (("(images)",), (6, 10, 3), 0, 0),
        "all": (("peaks", "sum", "left"), (6, 10, 19), 0, 0),
        "deep": (("all",), (6, 10, 19), 3 * 19 + 19, 60 * 3 * 19),
        "apart": (("deep",), (6, 10, 4), 3 * 19 + 19 * 4 + 4, 60 * (3 * 19 + 19 * 4)),
        "logits": (("apart",), (10,), 2_410, 2_400),
    }
    sizes = network.input_sizes()
    assert [sizes[name] for name in ("wide", "sum", "peaks", "all")] == [360, 960, 360, 180 + 480 + 480]


def test_a_change_may_say_what_a_layer_reads(params: Path) -> None:
    (params / "branches.yaml").write_text(BRANCHES)
    change = "{right: {inputs: null}, sum: {inputs: [wide, right]}, wide: {kernel: 3}, left: {kernel: [3, 3]}}"
    (params / "other.yaml").write_text(f"title: Other\nextends: branches\nchange: {change}\n")
    variant = load_variant("other", params)
    reads = {row.name: row.inputs for row in variant.network.layers}
    assert (reads["right"], reads["sum"]) == (("left",), ("wide", "right"))
    assert (variant.layer("wide").kernel, variant.layer("left").kernel) == (3, 3)  # type: ignore[attr-defined]
    (params / "again.yaml").write_text("title: Again\nextends: other\n")
    again = load_variant("again", params)
    assert again.layers == variant.layers
    assert type(again).model_validate_json(again.model_dump_json()) == again


def test_networks_of_others_have_the_counts_that_others_give(params: Path) -> None:
    (params / "keras.yaml").write_text(CIFAR10_CNN)
    keras = load_variant("keras", params).network
    assert (keras.parameters, keras.macs_per_image) == (1_250_858, 20_741_120)


VERBS = "be|have|match|contain"


@pytest.mark.parametrize("error", list_all_errors(), ids=lambda error: error["type"])
def test_every_rule_of_pydantic_reads_as_english(error: dict[str, str]) -> None:
    words = in_words(error["message_template_python"])
    assert re.match(rf"must (not )?({VERBS}) |cannot be used \([A-Z]", words), words
    assert not re.search(r"\bshould\b|after validation", words) or words.startswith("cannot be used"), words


def test_an_empty_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VariantError) as caught:
        load_variants(Path("params"))
    assert str(caught.value) == "params: holds no variant (*.yaml). Go to the project's folder or name it."


def test_recipes_and_presets_are_checked_alike(params: Path) -> None:
    (params / "presets").mkdir()
    (params / "presets/slow.yaml").write_text((PARAMS / "presets/quick.yaml").read_text() + "round: 3\n")
    with pytest.raises(VariantError) as caught:
        load_preset("slow", params)
    assert str(caught.value) == "params/presets/slow.yaml: `round` is not a known key. Received: 3."
    (params / "recipes").mkdir()
    (params / "recipes/long.yaml").write_text((PARAMS / "recipes/short.yaml").read_text().replace("4000", "0"))
    with pytest.raises(VariantError) as caught:
        load_recipe("long", params)
    assert str(caught.value) == "params/recipes/long.yaml: `steps` must be greater than 0. Received: 0."


PRESETS = {
    ("seed: 1", "seed: -1"): "`seed` must be greater than or equal to 0. Received: -1.",
    ("seed: 1", "seed: 4294967296"): "`seed` must be less than 4294967296. Received: 4294967296.",
    ("seed: 1", "seed: 1\nname: quick"): (
        "`name` must be the file's. Received: 'quick'. Leave it out, or rename the file."
    ),
    ("runtimes: [unfused, stock]", "runtimes: []"): "`runtimes` must have at least 1 item, not 0. Received: [].",
}


@pytest.mark.parametrize("change", PRESETS, ids=lambda change: change[1])
def test_a_wrong_preset_is_one_line(params: Path, change: tuple[str, str]) -> None:
    (params / "presets").mkdir()
    (params / "presets/slow.yaml").write_text((PARAMS / "presets/quick.yaml").read_text().replace(*change))
    with pytest.raises(VariantError) as caught:
        load_preset("slow", params)
    assert str(caught.value) == f"params/presets/slow.yaml: {PRESETS[change]}"


RECIPES = {
    ("seed: 1", "seed: 4294967296"): "`seed` must be less than 4294967296. Received: 4294967296.",
    ("seed: 1", "seed: 1\nname: short"): (
        "`name` must be the file's. Received: 'short'. Leave it out, or rename the file."
    ),
    ("flip: true", "flip: true, contrast: [0.2, .inf]"): (
        "`augmentation.contrast.1` must be a finite number. Received: inf."
    ),
    ("sgd,", "sdg,"): "`optimizer.type` must be one of 'sgd', 'adamw', 'muon'. Received: 'sdg'.",
    ("peak_rate: 0.05", "peak_rate: 0.0"): "`schedule.peak_rate` must be greater than 0. Received: 0.0.",
    ("peak_rate: 0.05", "rate: 0.05"): "`schedule.peak_rate` is required. (1 more)",
    ("flip: true", "flip: true, standardize: first"): (
        "`augmentation.standardize` must be 'after_colour' or 'before_colour'. Received: 'first'."
    ),
}


@pytest.mark.parametrize("change", RECIPES, ids=lambda change: change[1])
def test_a_wrong_recipe_is_one_line(params: Path, change: tuple[str, str]) -> None:
    (params / "recipes").mkdir()
    (params / "recipes/long.yaml").write_text((PARAMS / "recipes/short.yaml").read_text().replace(*change))
    with pytest.raises(VariantError) as caught:
        load_recipe("long", params)
    assert str(caught.value) == f"params/recipes/long.yaml: {RECIPES[change]}"


def test_a_preset_checks_often_enough_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "presets").mkdir()
    text = (PARAMS / "presets" / "quick.yaml").read_text()
    (tmp_path / "presets" / "hasty.yaml").write_text(text.replace("check_rounds: 20", "check_rounds: 2"))
    with pytest.raises(VariantError) as caught:
        load_preset("hasty", tmp_path)
    assert str(caught.value) == f"{tmp_path}/presets/hasty.yaml: `check_rounds` must be 0 or at least 19. Received: 2."
