"""Training speed of cnnprof and of plain `model.fit` with Keras' preprocessing layers, on the same model in one run.

    .venv/bin/python benchmarks/training.py [--recipe thesis] [--rounds 6] [--steps 100] [--data PATH] [VARIANT ...]

Prints images per second, the ratio to `model.fit` with its 95% interval, and the share of cnnprof's step that is spent
waiting for input. The kinds of training alternate in blocks, so that a drift of the machine falls on all alike. All do
the same: crop, flip, colours, standardisation, optimiser, L2, moving average. `model.fit` is measured with the layers
that Keras and TensorFlow have, as anyone would write the network, and with cnnprof's, whose LRN is faster.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnnprof_lib.base import units
from cnnprof_lib.measure.runtimes import environment as runtimes

WARMUP_STEPS = 10
"""At the start of every block, not counted: caches and queues fill."""
Block = Callable[[int], list[float]]
"""Trains for so many steps and returns the seconds of each."""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", default=["baseline", "stride5"])
    parser.add_argument("--recipe", default="thesis")
    parser.add_argument("--rounds", type=int, default=6, help="blocks of each kind; fewer than 6 have no interval")
    parser.add_argument("--steps", type=int, default=100, help="steps in a block")
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    runtimes.set_up("Training", runtimes.TRAINING_ENVIRONMENT)
    runtimes.load_tensorflow()
    from cnnprof_lib.measure.images.cache import load
    from cnnprof_lib.params.reading import load_recipe
    from cnnprof_lib.records.project import find_project

    recipe = load_recipe(arguments.recipe, find_project().params)
    images = load(arguments.data)
    print(f"recipe {recipe.name}, batch {recipe.batch_size}, {arguments.rounds} blocks of {arguments.steps} steps")
    for variant in arguments.variants:
        measure(variant, recipe, images, arguments.rounds, arguments.steps)


def measure(name: str, recipe: Any, images: Any, rounds: int, steps: int) -> None:
    """Times all kinds of training of one variant, in turns, and prints a line for each."""
    from cnnprof_lib.analysis.estimates import median_of_blocks, ratio_of_blocks
    from cnnprof_lib.params.reading import load_variant
    from cnnprof_lib.records.project import find_project

    variant = load_variant(name, find_project().params)
    waits: list[float] = []
    kinds: dict[str, Block] = {
        "cnnprof": ours(variant, recipe, images, waits),
        "cnnprof, batch at hand": ours_without_input(variant, recipe, images),
        "model.fit": keras_fit(variant, recipe, images, shipped=True),
        "model.fit, cnnprof's layers": keras_fit(variant, recipe, images),
        "the same, jit_compile=False": keras_fit(variant, recipe, images, jit_compile=False),
    }
    blocks: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, block in kinds.items():
            blocks[kind].append(block(steps + WARMUP_STEPS)[WARMUP_STEPS:])
    print(f"\n{name}")
    for kind, times in blocks.items():
        step_s = median_of_blocks(times).value
        faster = ratio_of_blocks(blocks["model.fit"], times)
        print(
            f"  {kind:30} {units.seconds(step_s):>9} a step {recipe.batch_size / step_s:9,.0f} images/s "
            f"{faster.value:6.2f} times model.fit  ({faster.low:.2f} to {faster.high:.2f})"
        )
    step_s = np.concatenate(blocks["cnnprof"]).sum()
    waited = np.reshape(waits, (rounds, steps + WARMUP_STEPS))[:, WARMUP_STEPS:].sum()
    print(f"  cnnprof waits for input in {units.percent(waited / step_s)} of a step")


def ours(variant: Any, recipe: Any, images: Any, waits: list[float]) -> Block:
    """The loop of `measure.train`, with the time that it waits for each batch added to ``waits``."""
    batches, trainer = _batches(variant, recipe, images), _trainer(variant, recipe)

    def block(steps: int) -> list[float]:
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            batch = next(batches)
            waits.append(time.perf_counter() - start)
            float(trainer.step(*batch)[0])
            times.append(time.perf_counter() - start)
        return times

    return block


def ours_without_input(variant: Any, recipe: Any, images: Any) -> Block:
    """The same on one batch over and over: what is left where input costs nothing."""
    batch, trainer = next(_batches(variant, recipe, images)), _trainer(variant, recipe)

    def block(steps: int) -> list[float]:
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            float(trainer.step(*batch)[0])
            times.append(time.perf_counter() - start)
        return times

    return block


def _trainer(variant: Any, recipe: Any) -> Any:
    from cnnprof_lib.measure.models import build as model
    from cnnprof_lib.measure.training.optimize import Trainer

    return Trainer(model.build(variant, recipe.seed, recipe.precision), recipe)


def _batches(variant: Any, recipe: Any, images: Any) -> Iterator[Any]:
    from cnnprof_lib.measure.images.pixels import held_out_split
    from cnnprof_lib.measure.training.batches import training_batches

    keep, _ = held_out_split(images.train_labels, recipe.held_out)
    return training_batches(images, keep, recipe, variant.input, 0)


def as_shipped(model: Any) -> Any:
    """The same network with TensorFlow's LRN, which Keras lacks, and TensorFlow's derivative of it."""
    import keras
    import tensorflow as tf

    from cnnprof_lib.measure.models import build as ours

    def shipped(layer: Any) -> Any:
        if isinstance(layer, ours.LocalResponseNormalization):
            settings = (layer.depth_radius, layer.bias, layer.alpha, layer.beta)
            return keras.layers.Lambda(lambda x: tf.nn.local_response_normalization(x, *settings), name=layer.name)
        return layer.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=shipped)


def keras_fit(variant: Any, recipe: Any, images: Any, *, shipped: bool = False, jit_compile: Any = "auto") -> Block:
    """`model.fit` as its guides write it: preprocessing layers in a tf.data pipeline that prefetches."""
    import keras
    import tensorflow as tf

    trainer = _trainer(variant, recipe)
    network = as_shipped(trainer.model) if shipped else trainer.model
    averaging = {"use_ema": True, "ema_momentum": recipe.averaging} if recipe.averaging else {}
    network.compile(
        optimizer=type(trainer.optimizer).from_config(trainer.optimizer.get_config() | averaging),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    change = keras.Sequential(preprocessing_layers(variant.input, recipe.augmentation))
    dataset = (
        tf.data.Dataset.from_tensor_slices((np.asarray(images.train_images), np.asarray(images.train_labels)))
        .shuffle(len(images.train_images), seed=recipe.seed)
        .repeat()
        .batch(recipe.batch_size)
        .map(
            lambda batch, labels: (tf.image.per_image_standardization(change(batch, training=True)), labels),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .prefetch(tf.data.AUTOTUNE)
    )

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.ends = [time.perf_counter()] if batch == 0 else self.ends

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.ends.append(time.perf_counter())

    def block(steps: int) -> list[float]:
        clock = Clock()
        network.fit(dataset, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0, callbacks=[clock])
        return list(np.diff(clock.ends))

    return block


def preprocessing_layers(size: Any, options: Any) -> list[Any]:
    """What the recipe does to an image, by Keras."""
    from keras import layers

    found: list[Any] = [layers.RandomCrop(size.height, size.width)]
    if options.flip:
        found.append(layers.RandomFlip("horizontal"))
    if options.brightness:
        found.append(layers.RandomBrightness(options.brightness / 255))
    if options.contrast:
        low, high = options.contrast
        found.append(layers.RandomContrast((1 - low, high - 1)))
    return found


if __name__ == "__main__":
    main()
