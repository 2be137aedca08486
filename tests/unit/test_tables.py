"""Tables and sentences of the report: the right words and units, and nothing of a foreign text executed."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import pytest

from cnnprof_lib.analysis import frames
from cnnprof_lib.analysis.memory import numbers as memory
from cnnprof_lib.analysis.memory import shown as memory_shown
from cnnprof_lib.analysis.profile import numbers as profile
from cnnprof_lib.analysis.profile import shown_tables as profile_tables
from cnnprof_lib.analysis.profile import shown_text as profile_text
from cnnprof_lib.analysis.profile.for_scripts import run_for_scripts
from cnnprof_lib.analysis.trust.shown import all_cautions_text
from cnnprof_lib.analysis.variants import numbers as variants
from cnnprof_lib.analysis.variants import shown as variants_shown
from cnnprof_lib.app import report_text
from cnnprof_lib.page import table as styled
from cnnprof_lib.page.text import code, escape
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.records.conditions import ImagesRecord
from cnnprof_lib.records.run import RunRecord
from cnnprof_lib.thesis import published_table, shown
from tests.builders import (
    PARAMS,
    Node,
    make_accuracy,
    make_failure,
    make_machine,
    make_ops,
    make_record,
)
from tests.networks import INPUT, make_layer, make_mobilenet, make_network, make_run

NODES = (
    Node("Conv2D", "conv1", 0.006, 23_592_960),
    Node("BiasAdd", "conv1", 0.002),
)
HOSTILE = "<script>alert(1)</script>"


def lines_of(html: str) -> list[list[str]]:
    """The texts of a table, header rows first."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, flags=re.DOTALL)
    return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, flags=re.DOTALL) for row in rows]


def test_ops_are_shown_in_the_form_of_the_thesis() -> None:
    record = make_record(nodes=NODES, unattributed_s=0.002)
    assert lines_of(profile_tables.ops_table(profile.by_op(record)).to_html()) == [
        ["", "time per step", "requested bytes"],
        ["op", "time", "accum.", "own", "of step", "bytes", "accum.", "own"],
        ["Conv2D", "6.00ms", "100.00%", "75.00%", "60.00%", "23.59MB", "100.00%", "100.00%"],
        ["BiasAdd", "2.00ms", "25.00%", "25.00%", "20.00%", "0B", "0.00%", "0.00%"],
        ["unattributed", "2.00ms", "–", "–", "20.00%", "0B", "–", "–"],
        ["profiled step", "10.00ms", "–", "–", "100.00%", "23.59MB", "–", "–"],
    ]


def test_kernels_and_accelerator_are_shown_where_they_tell_something() -> None:
    nodes = (Node("Conv2D", "conv1", 0.006, 0, kernel="_FusedConv2D", accelerator=True),)
    table = lines_of(profile_tables.ops_table(profile.by_op(make_record(nodes=nodes))).to_html())
    assert table[1][:6] == ["op", "executed as", "time", "accum.", "own", "of step"]
    assert table[2][:2] == ["Conv2D", "_FusedConv2D"]
    assert (table[1][6], table[2][6]) == ("accelerator", "6.00ms")


def test_nodes_come_by_falling_time_with_units_in_the_headers() -> None:
    nodes = (Node("Relu", "conv1", 0.002), Node("Conv2D", "conv1", 0.006, 23_592_960, kernel="_FusedConv2D"))
    record = make_record(nodes=nodes, unattributed_s=0.002)
    table = profile_tables.nodes_table(frames.profile(record, make_ops(record, nodes), by_node=True))
    headers = ["node", "layer", "op", "executed as", "time [µs]", "of step [%]", "requested [KB]"]
    assert list(table.columns) == headers
    assert table.to_numpy().tolist() == [
        ["conv1/Conv2D_1", "conv1", "Conv2D", "_FusedConv2D", 6000.0, 60.0, 23592.96],
        ["conv1/Relu_0", "conv1", "Relu", "", 2000.0, 20.0, 0.0],
        ["unattributed", "unattributed", "unattributed", "", 2000.0, 20.0, 0.0],
    ]
    plain = make_record(nodes=nodes[:1])
    assert "executed as" not in profile_tables.nodes_table(
        frames.profile(plain, make_ops(plain, nodes[:1]), by_node=True)
    )


def test_a_published_table_is_shown_as_printed_with_its_sums() -> None:
    table = lines_of(shown.published_ops(published_table("4.4")).to_html())
    assert table[1:3] == [
        ["op", "time", "accum.", "own", "bytes", "accum.", "own"],
        ["Conv2D", "6.54ms", "100.00%", "64.67%", "5.01MB", "100.00%", "12.40%"],
    ]
    assert table[-1] == ["sum", "10.14ms", "–", "–", "40.43MB", "–", "–"]


def ops_beside_published(record: RunRecord) -> str:
    title = f"Ops of {record.name}, {record.runtime}"
    return styled.beside((title, profile_tables.ops_table(profile.by_op(record))), *shown.published_beside(record))


@pytest.mark.parametrize(
    ("variant", "runtime", "titles"),
    [
        ("baseline", "unfused", ["Ops of baseline, unfused", "Table 4.3 of the thesis, as printed"]),
        (
            "stride2",
            "unfused",
            [
                "Ops of stride2, unfused",
                "Table 4.4 of the thesis, its rows named by their bytes: the printed names are misaligned",
            ],
        ),
        ("stride2", "stock", ["Ops of stride2, stock"]),
        ("stride2-filters32", "unfused", ["Ops of stride2-filters32, unfused"]),
    ],
)
def test_the_published_table_of_a_variant_stands_beside_its_unfused_ops(
    variant: str, runtime: str, titles: list[str]
) -> None:
    html = ops_beside_published(make_record(variant, runtime))
    assert re.findall(r"<caption>(.*?)</caption>", html) == titles
    assert html.count("<table") == len(titles)


def test_layers_have_their_times_in_each_runtime_and_end_in_the_whole_step() -> None:
    by_runtime = {}
    for runtime, unattributed_s in (("unfused", 0.004), ("stock", 0.002)):
        record = make_record("smoke", nodes=NODES[:1], unattributed_s=unattributed_s)
        by_runtime[runtime] = profile.by_layer(record, make_ops(record, NODES[:1]))
    times = ["time per step", "of the step", "GMAC/s"]
    assert lines_of(profile_tables.layers_table(by_runtime).to_html()) == [
        ["", "unfused", "stock"],
        ["layer", "type", "output shape", "output bytes", "MACs per image", *times, *times],
        ["conv1", "conv", "12×12×8", "589.82KB", "31.10k", "6.00ms", "60.00%", "0.7", "6.00ms", "75.00%", "0.7"],
        ["pool1", "max_pool", "6×6×8", "147.46KB", "0", "0us", "0.00%", "–", "0us", "0.00%", "–"],
        ["logits", "dense", "10", "5.12KB", "2.88k", "0us", "0.00%", "–", "0us", "0.00%", "–"],
        ["unattributed", "", "–", "–", "–", "4.00ms", "40.00%", "–", "2.00ms", "25.00%", "–"],
        ["profiled step", "", "–", "–", "33.98k", "10.00ms", "100.00%", "–", "8.00ms", "100.00%", "–"],
    ]


def test_layers_name_what_they_are_fused_into_where_any_is() -> None:
    by_runtime = {}
    for runtime, fused_into in (("unfused", {}), ("stock", {"pool1": "conv1"})):
        record = make_record("smoke", nodes=NODES[:1], fused_into=fused_into)
        by_runtime[runtime] = profile.by_layer(record, make_ops(record, NODES[:1]))
    table = lines_of(profile_tables.layers_table(by_runtime).to_html())
    times = ["time per step", "of the step"]
    assert table[1][5:] == [*times, "GMAC/s", *times, "fused into", "GMAC/s"]
    assert [(row[0], row[10]) for row in table[2:]] == [
        *(("conv1", ""), ("pool1", "conv1"), ("logits", ""), ("unattributed", ""), ("profiled step", ""))
    ]


def test_of_many_layers_the_longest_are_in_sight_and_all_are_folded() -> None:
    record, ops = make_run(make_mobilenet())
    layers = profile.by_layer(record, ops)
    html = profile_tables.layers_text(record.network, {"stock": layers})
    longest, whole = html.split("<details>")
    assert "<summary>All 130 layers of mobilenet</summary>" in whole
    assert longest.count("<caption>Layers of mobilenet: the 25 that take longest</caption>") == 1
    table = lines_of(longest)
    assert len(table) == 2 + 25 + 1 + 1
    assert table[-2][0] == "106 others"
    assert {row[0] for row in table[2:-2]} == {layer for layer in layers.nlargest(25, "time_s")["layer"]}
    assert len(lines_of(whole)) == 2 + 131 + 1
    assert lines_of(whole)[-1] == table[-1]
    short = profile_tables.layers_text(record.network.model_copy(update={"layers": ()}), {"stock": layers[:3]})
    assert "<details>" not in short


def test_a_total_of_macs_says_which_layers_it_leaves_out() -> None:
    layers = [make_layer("a", INPUT, macs=None), make_layer("b", "a", macs=6400), make_layer("c", "b", macs=None)]
    network = make_network(layers)
    html = profile_tables.architecture_table(profile.architecture(network)).to_html()
    assert "Layers, parameters and multiply-adds of the network without 2 layers that cannot be counted; " in html
    assert [row[-1] for row in lines_of(html)[1:]] == ["–", "6,400", "–", "6,400"]
    record, ops = make_run(network)
    html = profile_tables.layers_text(network, {"stock": profile.by_layer(record, ops)})
    assert "Layers of made-up, MACs without 2 layers that cannot be counted" in html
    assert [row[4] for row in lines_of(html)[2:]] == ["–", "6.40k", "–", "–", "6.40k"]
    assert profile_text.heading_text([record]).endswith("dense layers without 2 layers that cannot be counted.")


def test_macs_of_which_none_can_be_counted_are_missing() -> None:
    network = make_network([make_layer("a", INPUT, macs=None)])
    record, ops = make_run(network)
    tables = [
        profile_tables.architecture_table(profile.architecture(network)),
        profile_tables.layers_table({"stock": profile.by_layer(record, ops)}),
    ]
    assert lines_of(tables[0].to_html())[-1][-1] == "–"
    assert lines_of(tables[1].to_html())[-1][4] == "–"
    shown = run_for_scripts(record, ops)
    assert shown["layers"][0]["macs"] is None
    assert shown["uncounted_layers"] == ["a"]


def test_architecture_ends_in_its_sums() -> None:
    table = lines_of(
        profile_tables.architecture_table(profile.architecture(load_variant("baseline", PARAMS).network)).to_html()
    )
    assert table[1] == ["conv1", "conv", "24×24×64", "4,864", "2,764,800"]
    assert table[-1] == ["network", "", "–", "1,068,298", "18,470,784"]


def test_shapes_of_unlike_networks_have_gaps() -> None:
    variants = [load_variant(name, PARAMS) for name in ("stride5", "smoke")]
    table = lines_of(profile_tables.shapes_table(profile.shapes([variant.network for variant in variants])).to_html())
    assert table[:3] == [
        ["layer", "stride5", "smoke"],
        ["conv1", "5×5×64", "12×12×8"],
        ["pool1", "3×3×64", "6×6×8"],
    ]
    assert table[3] == ["norm1", "3×3×64", "–"]


def test_overview_tells_measured_recorded_absent_and_failed_apart() -> None:
    plain_s, baseline_s = ((0.010, 0.010),) * 6, ((0.040, 0.040),) * 6
    steps = {"nodes": NODES, "unattributed_s": 0.002, "plain_s": plain_s, "baseline_s": baseline_s}
    overview = variants.overview(
        [
            make_record("baseline", accuracy=make_accuracy(), **steps),
            make_record("stride2", accuracy=make_accuracy(measured=False), **steps),
            make_record("stride3", warnings=("busy", "hot"), **steps),
            make_failure("stride5", error="out of memory"),
        ]
    )
    table = lines_of(variants_shown.overview_table(overview).to_html())
    assert table[2] == [
        "baseline", "unfused", "10.00ms", "10.00ms – 10.00ms", "0.250", "0.250 – 0.250", "23.59MB",
        "1,068,298", "18.47M", "86.00%", "85.31% – 86.67%", "measured",
    ]  # fmt: skip
    assert [row[-1] for row in table[3:]] == [
        "recorded, not measured here",
        "neither measured nor recorded",
        "failed: out of memory",
    ]
    assert table[-1][:-1] == ["stride5", "unfused", *["–"] * 9]


def test_overview_shows_noise_and_processes_where_there_is_something_to_show() -> None:
    overview = variants.overview([make_record("baseline"), make_record("stride2")])
    noisy = overview.assign(indistinct=[False, True], process_spread=[0.012, 0.034])
    plain, full = (lines_of(variants_shown.overview_table(table).to_html()) for table in (overview, noisy))
    assert [row[6:8] for row in full[2:]] == [["", "1.20%"], ["not distinguishable here", "3.40%"]]
    assert [row[:6] + row[8:] for row in full[2:]] == plain[2:]


def test_overview_says_once_what_holds_for_every_accuracy() -> None:
    overview = variants.overview([make_record(name, accuracy=make_accuracy()) for name in ("baseline", "stride2")])
    shown = variants_shown.overview_table(overview)
    assert lines_of(shown.to_html())[1][-1] == "95% interval"
    assert shown.caption == "All runs: latency, ratio to the baseline, size of the network and accuracy (measured)"


def test_environment_has_a_column_per_runtime_and_every_value_where_runs_differ() -> None:
    records = [
        make_record("baseline"),
        make_record("stride2", machine=make_machine(python="3.13.0"), commit=f"{'0123456789' * 4}+changes"),
        make_record("baseline", "stock"),
        make_failure(),
    ]
    table = {name: values for name, *values in lines_of(report_text.environment_table(records).to_html())}
    assert table[""] == ["unfused", "stock"]
    assert table["CPU"] == ["Made-up CPU", "Made-up CPU"]
    assert table["Python"] == ["3.12.1 / 3.13.0", "3.12.1"]
    assert table["oneDNN kernels"] == ["off", "on"]
    assert table["commit"] == ["unknown / 012345678901+changes", "unknown"]
    assert table["unprofiled steps"] == ["12 in 6 blocks", "12 in 6 blocks"]


# Foreign text


def hostile_record() -> RunRecord:
    variant = load_variant("baseline", PARAMS).model_copy(update={"title": HOSTILE})
    nodes = (Node(HOSTILE, HOSTILE, 0.001, kernel=HOSTILE),)
    return make_record(
        variant,
        nodes=nodes,
        machine=make_machine(cpu=HOSTILE),
        images=ImagesRecord(name=HOSTILE, sha256=None, generated=False),
        accuracy=make_accuracy().model_copy(update={"dataset": HOSTILE}),
        warnings=(HOSTILE,),
    )


def test_no_foreign_text_reaches_the_page_as_markup() -> None:
    record, failure = hostile_record(), make_failure(error=HOSTILE)
    record = record.model_copy(update={"memory": record.memory.model_copy(update={"live_peak_layer": HOSTILE})})
    executed = make_ops(record, (Node(HOSTILE, HOSTILE, 0.001, kernel=HOSTILE),))
    texts = {
        "ops": ops_beside_published(record),
        "layers": profile_tables.layers_table({"unfused": profile.by_layer(record, executed)}).to_html(),
        "overview": variants_shown.overview_table(variants.overview([record, failure])).to_html(),
        "environment": report_text.environment_table([record]).to_html(),
        "memory": memory_shown.memory_table(memory.memory([record])).to_html(),
        "warnings": all_cautions_text(variants.overview([record])),
        "folded": styled.folded(HOSTILE, HOSTILE),
        "beside": styled.beside((HOSTILE, profile_tables.architecture_table(profile.architecture(record.network)))),
        "variant": profile_text.variant_text([record, failure], variants.overview([record, failure])),
        "data": report_text.data_text(
            [record, make_record(images=ImagesRecord(name="b", sha256=None, generated=False))]
        ),
    }
    for name, html in texts.items():
        assert "<script" not in html, name
        assert "script" in html, name


def test_escaped_text_is_neither_markdown_nor_html() -> None:
    assert escape("[a](b) *c* `d`\n<e> $f$ & g_h") == ("\\[a\\]\\(b\\) \\*c\\* \\`d\\` &lt;e&gt; \\$f\\$ &amp; g\\_h")
    assert code("a`<b>`_c") == "`a<b>_c`"


# Sentences


def test_findings_compare_the_fastest_with_the_baseline() -> None:
    base, fast = ((0.040, 0.040),) * 6, ((0.010, 0.010),) * 6
    overview = variants.overview(
        [
            make_record("baseline", plain_s=base, baseline_s=base, accuracy=make_accuracy(8600)),
            make_record("stride2", plain_s=fast, baseline_s=base, accuracy=make_accuracy(7960)),
            make_record("baseline", "stock"),
            make_failure("stride2", "stock"),
        ]
    )
    assert variants_shown.findings_text(overview) == (
        "- `unfused`: the baseline takes 40.00ms per step. The fastest is `stride2` with 10.00ms, 0.250 of the "
        "baseline's latency (95% interval 0.250 to 0.250), at 79.6% top-1 instead of 86.0%. "
        "[Figure](#F_ops-unfused) shows what the steps are made of."
    )


def test_a_section_opens_with_what_the_variant_is_and_what_its_runs_found() -> None:
    record = make_record("stride2", nodes=NODES, unattributed_s=0.002, plain_s=((0.008, 0.008),) * 6)
    failure = make_failure("stride2", "stock", error="out of memory")
    assert profile_text.variant_text([record, failure], variants.overview([record, failure])).split("\n\n") == [
        "### `stride2`: Stride 2 in both convolutions",
        "Like `baseline`, with conv1 stride 2, conv2 stride 2. It has 281,866 parameters. One image takes 1,786,752 "
        "multiply-adds (MACs) in convolutions and dense layers.",
        "**In `unfused`** a step takes 8.00ms (95% interval 8.00ms to 8.00ms) without profiling, and 1.25 times as "
        "long with it. The largest parts of the profiled step are Conv2D 60.0% and BiasAdd 20.0%; 20.0% of it is "
        "unattributed.",
        "**In `stock` the run failed**: out of memory",
    ]
    assert shown.published("stride2") == (
        "**In the thesis** the times of its ops add up to 10.14ms, and its accuracy is 79.6%."
    )
    assert shown.published("wide") == ""


def row_of(record: RunRecord) -> dict[Hashable, Any]:
    return variants.overview([record]).to_dict("records")[0]


def test_warnings_name_their_runtime() -> None:
    assert profile_text.cautions_text(row_of(make_record(nodes=NODES))) == ""
    busy = row_of(make_record(nodes=NODES, warnings=("busy",)))
    assert profile_text.cautions_text(busy) == "- **Warning**, `unfused`: busy."


def test_a_variant_that_only_failed_still_has_its_section() -> None:
    records = [make_failure("wide", error="no")]
    assert profile_text.variant_text(records, variants.overview(records)) == (
        "### `wide`\n\n**In `unfused` the run failed**: no"
    )


def test_introduction_counts_what_there_is() -> None:
    assert report_text.introduction_text([make_record("smoke")]) == (
        "Profiled here: 1 variant, in 1 runtime (unfused). "
        "A step classifies one batch of 128 images; times and bytes are per step. "
        "[Table](#T_overview) compares all variants."
    )
    assert shown.citation([make_record("smoke")]) == ""
    assert shown.citation([make_record()]).endswith("; [Table](#T_claims) judges its claims.")
    assert "claims" not in shown.citation([make_failure("baseline")])


def test_the_claims_refer_to_the_figures_that_are_there() -> None:
    assert report_text.claims_drawn_text(strides_drawn=False, accuracy_drawn=False, steps_trained=False) == (
        "Figures on the claims: the overhead of profiling in [Figure](#F_overhead)."
    )
    assert report_text.claims_drawn_text(strides_drawn=True, accuracy_drawn=True, steps_trained=True) == (
        "Figures on the claims: latency and Conv2D's share against stride in [Figure](#F_stride), accuracy against "
        "latency in [Figure](#F_accuracy), the overhead of profiling in [Figure](#F_overhead) and the time of training "
        "in [Figure](#F_training-time)."
    )


def test_data_says_what_is_generated_recorded_and_unlike() -> None:
    real = ImagesRecord(name="CIFAR-10", sha256=None, generated=False)
    records = [
        make_record("baseline", accuracy=make_accuracy(), images=real),
        make_record("stride2", accuracy=make_accuracy(measured=False)),
    ]
    assert report_text.data_text(records).split("\n\n") == [
        "`stride2` (unfused) was timed on generated images. "
        "These take as long as real ones, but say nothing about accuracy.",
        "`stride2` (unfused) was given the accuracy that is stored with the weights: recorded, not measured here.",
        "Accuracy was measured on the 10,000 test images of CIFAR\\-10.",
        "**These runs were made under different conditions. Compare them with care**: images: CIFAR\\-10 / generated.",
    ]
