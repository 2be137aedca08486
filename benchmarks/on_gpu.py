"""Networks in JAX on a GPU, with nothing to install there but JAX: packed on one machine, stepped on another.

    .venv/bin/python benchmarks/on_gpu.py pack FOLDER [--data PATH]     here, with the extra cnnprof[jax]
    python3 benchmarks/on_gpu.py step FOLDER                there, with `pip install 'jax[cuda13]' scipy flatbuffers`

Packed are the very networks that the runtime `jax` compiles, as JAX exports them, 1,000 images, and what `stock`
answers to them on the CPU. So TensorFlow is needed here alone. The steps of all networks and batches alternate. A line
is printed for each: the median step with its 95% interval, images per second, the median step with the images copied to
the device and the answers back, and how far the answers are from those of `stock`. Products are float32 on a GPU, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # a checkout need not be installed

from cnnprof_lib.base import units
from cnnprof_lib.measure.clock import TimedStep, time_blocks

IMAGES = 1000
PLATFORMS = ("cpu", "cuda")
SUFFIX = ".jax"


def main() -> None:
    """Packs or steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("folder", type=Path)
    packing.add_argument("--variants", nargs="+", default=["baseline", "stride5"])
    packing.add_argument("--batch-sizes", nargs="+", type=int, default=[128, 4096])
    packing.add_argument("--data", default="", help="real images, as for cnnprof; made-up ones without")
    packing.set_defaults(run=pack)
    stepping = commands.add_parser("step")
    stepping.add_argument("folder", type=Path)
    stepping.add_argument("--rounds", type=int, default=20, help="blocks of each; fewer than 6 have no interval")
    stepping.add_argument("--steps", type=int, default=20, help="steps in a block")
    stepping.set_defaults(run=step)
    arguments = vars(parser.parse_args())
    arguments.pop("run")(**arguments)


def pack(folder: Path, variants: list[str], batch_sizes: list[int], data: str) -> None:
    """Writes the networks, ``<variant>-<batch size>.jax``, and for each variant ``<variant>.npz``."""
    from cnnprof_lib.measure.runtimes.contract import ready_runtime

    ready_runtime("jax")
    from cnnprof_lib.measure.models.graph import function_of
    from cnnprof_lib.measure.models.load import load_network
    from cnnprof_lib.measure.prepare import load_dataset, prepare_images
    from cnnprof_lib.measure.runtimes.jax_session import exported
    from cnnprof_lib.params.reading import load_variant
    from cnnprof_lib.records.project import find_project

    folder.mkdir(parents=True, exist_ok=True)
    project = find_project()
    for name in variants:
        variant = load_variant(name, project.params)
        for batch_size in (IMAGES, *batch_sizes):
            network = load_network(variant, project.store, batch_size=batch_size, seed=1)
            if batch_size != IMAGES:
                (folder / f"{name}-{batch_size}{SUFFIX}").write_bytes(exported(network.frozen, PLATFORMS).serialize())
                continue
            images = prepare_images(
                load_dataset(data, project.params, variant), network.network.inputs, batch_size, seed=1
            )
            values = images.values[0][:IMAGES]
            np.savez(folder / f"{name}.npz", images=values, answers=function_of(network.frozen)(values).numpy())
            weights = network.weights.origin
        print(f"{name}: batches of {', '.join(map(str, batch_sizes))}, {weights} weights")


def step(folder: Path, rounds: int, steps: int) -> None:
    """Times all that is in a folder."""
    import jax

    device = jax.devices()[0]
    print(f"JAX {jax.__version__} on {device.device_kind} ({device.platform}), {rounds} blocks of {steps} steps")
    packed = sorted(map(Packed, folder.glob(f"*{SUFFIX}")), key=lambda network: (network.variant, network.batch_size))
    networks = {f"{network.variant}-{network.batch_size}": network for network in packed}
    kinds: dict[str, TimedStep] = {}
    for name, network in networks.items():
        kinds[name] = TimedStep(network.step)
        kinds[f"{name}, copied"] = TimedStep(network.copied_step)
    rng = np.random.default_rng(1)
    times = time_blocks(kinds, blocks=rounds, steps_per_block=steps, warmup_steps=3, rng=rng)
    for name, network in networks.items():
        median_s, ends_s = median_of(times[name])
        rate, (copied_s, _) = network.batch_size / median_s, median_of(times[f"{name}, copied"])
        interval = "no interval" if np.isnan(ends_s).any() else " to ".join(map(units.seconds, ends_s))
        print(
            f"  {name:16} {units.seconds(median_s):>8}  ({interval})  {rate:12,.0f} images/s  "
            f"{units.seconds(copied_s):>8} with copies  {network.agreement()}"
        )


class Packed:
    """A network of one batch size, compiled for the default device.

    Args:
        path: Its file; the images and answers stand beside it.
    """

    def __init__(self, path: Path) -> None:
        import jax
        import jax.export

        self.variant, _, size = path.stem.rpartition("-")
        packed = np.load(path.parent / f"{self.variant}.npz")
        self.batch_size, self._images, self._answers = int(size), packed["images"], packed["answers"]
        self._batch = self._rows(0)
        self._on_device = jax.block_until_ready(jax.device_put(self._batch))
        exported = jax.export.deserialize(path.read_bytes())
        self._run: Callable[..., Any] = jax.jit(exported.call).lower(self._on_device).compile()

    def _rows(self, start: int) -> Any:
        """A batch of the images, from the first again after the last."""
        return self._images[np.arange(start, start + self.batch_size) % len(self._images)]

    def step(self) -> None:
        """A step as the runtime's: from the device to the device."""
        self._run(self._on_device).block_until_ready()

    def copied_step(self) -> Any:
        """A step from the host to the host."""
        return np.asarray(self._run(self._batch))

    def agreement(self) -> str:
        """How far the answers to all images are from those of ``stock``."""
        starts = range(0, len(self._images), self.batch_size)
        own = np.concatenate([np.asarray(self._run(self._rows(start))) for start in starts])[: len(self._images)]
        alike = (own.argmax(axis=1) == self._answers.argmax(axis=1)).mean()
        return f"{alike:.2%} of classes as stock's, logits within {np.abs(own - self._answers).max():.1e}"


def median_of(blocks: Any) -> tuple[float, tuple[float, float]]:
    """Median of the blocks' medians with its exact 95% interval, as `analysis.estimates` has it."""
    from scipy.stats import quantile_test

    medians = [np.median(block) for block in blocks]
    interval = quantile_test(medians, q=0, p=0.5).confidence_interval(0.95)
    return float(np.median(medians)), (float(interval.low), float(interval.high))


if __name__ == "__main__":
    main()
