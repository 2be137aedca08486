"""A recipe's optimiser, schedule and weight averages, and the training step made of them."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ...params.settings import AdamW, Constant, Muon, OneCycle, RecipeSpec, Sgd, Staircase

StepFunction = Callable[..., tuple[tf.Tensor, tf.Tensor]]
"""From images, labels, and a teacher's logits where the recipe has one."""


class Trainer:
    """A model with all that changes while it is trained.

    Args:
        model: The network; changed in place by `step`.
        recipe: How to train it.
    """

    def __init__(self, model: keras.Model, recipe: RecipeSpec) -> None:
        self.model, self._recipe = model, recipe
        self.optimizer = _optimizer(recipe, model)
        self.optimizer.build(model.trainable_variables)
        self._trained = [variable.value for variable in model.trainable_variables]
        self._averages = None
        if recipe.averaging:
            iterations = self.optimizer.iterations.value
            self._averages = tf.train.ExponentialMovingAverage(recipe.averaging, num_updates=iterations)
            self._averages.apply(self._trained)  # makes the averages: the initial weights
        self.step: StepFunction = self._step_function()

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))

    @property
    def state(self) -> list[tf.Variable]:
        """Every variable that the next step depends on, and the averages, in a fixed order."""
        variables = [variable.value for variable in self.model.variables + self.optimizer.variables]
        return variables + [self._average(weight) for weight in self._trained if self._averages]

    def weights(self) -> list[npt.NDArray[np.float32]]:
        """What to evaluate and keep, in the order of the model's weights: averages where the recipe has them."""
        return [
            (self._average(weight.value) if self._averages and weight.trainable else weight.value).numpy()
            for weight in self.model.weights
        ]

    def _average(self, weight: tf.Variable) -> tf.Variable:
        return self._averages.average(weight)  # type: ignore[union-attr]

    def _step_function(self) -> StepFunction:
        """One optimiser step as a graph; returns the loss with any L2 that is in it, and the share of right answers."""

        @tf.function(reduce_retracing=True)
        def step(images: tf.Tensor, labels: tf.Tensor, answers: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                logits = tf.cast(self.model(images, training=True), tf.float32)
                losses = _losses(logits, labels, answers, self._recipe)
                loss = tf.add_n([tf.reduce_mean(losses), *([] if self._recipe.l2_is_decay else self.model.losses)])
            gradients = tape.gradient(loss, self.model.trainable_variables)
            self.optimizer.apply(gradients, self.model.trainable_variables)
            if self._averages:
                self._averages.apply(self._trained)
            right = tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), labels)
            return loss, tf.reduce_mean(tf.cast(right, tf.float32))

        return step


def _losses(logits: tf.Tensor, labels: tf.Tensor, answers: tf.Tensor | None, recipe: RecipeSpec) -> tf.Tensor:
    """Loss of each image, by its label and by what the teacher answers; see `settings.Teacher`."""
    classes, smoothing = logits.shape[-1], recipe.label_smoothing
    targets = tf.one_hot(labels, classes, 1 - smoothing + smoothing / classes, smoothing / classes)
    of_labels = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    if recipe.teacher is None:
        return of_labels
    temperature, weight = recipe.teacher.temperature, recipe.teacher.weight
    taught = tf.divide(answers, temperature)
    probabilities = tf.nn.softmax(taught)
    cross_entropy = tf.nn.softmax_cross_entropy_with_logits(probabilities, logits / temperature)
    divergence = cross_entropy - tf.nn.softmax_cross_entropy_with_logits(probabilities, taught)
    return (1 - weight) * of_labels + weight * temperature**2 * divergence


@keras.saving.register_keras_serializable(package="cnnprof")
class ConvolutionalMuon(keras.optimizers.Muon):
    """Keras' Muon, which leaves all but matrices to Adam, for convolutions too.

    A kernel (height, width, channels, filters) is taken as the matrix (height * width * channels, filters) by which
    the convolution multiplies each patch. Depthwise kernels are no such matrix.
    """

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        left_out = ["depthwise", *self.exclude_layers]
        is_kernel = len(variable.shape) == 4 and not any(name in variable.path for name in left_out)
        return not is_kernel and super()._should_use_adamw(variable)

    def _muon_update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, lr: tf.Tensor, m: keras.Variable
    ) -> None:
        self.assign(m, self.momentum * m + gradient)
        update = gradient + self.momentum * m if self.nesterov else m
        matrix = keras.ops.reshape(update, (-1, variable.shape[-1]))
        matrix = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, keras.ops.reshape(matrix, variable.shape))

    def zeropower_via_newtonschulz5(self, x: tf.Tensor, steps: int) -> tf.Tensor:
        """What Keras computes, in half the multiplications for a matrix four times as long as it is wide.

        The iteration X <- X Q, Q = a + b G + c G**2 with the Gram matrix G = X' X, changes G to Q G Q. So it is run on
        the smaller G alone, and the product of all Q is multiplied to the first X.
        """
        if x.shape[0] < x.shape[1]:
            return keras.ops.transpose(self.zeropower_via_newtonschulz5(keras.ops.transpose(x), steps))
        x = x / (keras.ops.norm(x) + 1e-7)
        identity = keras.ops.eye(x.shape[1], dtype=x.dtype)

        def factor_of(gram: tf.Tensor) -> tf.Tensor:
            return self.muon_a * identity + self.muon_b * gram + self.muon_c * (gram @ gram)

        gram = keras.ops.transpose(x) @ x
        product = factor = factor_of(gram)
        for _ in range(steps - 1):
            gram = factor @ gram @ factor
            factor = factor_of(gram)
            product = product @ factor
        return x @ product


def _optimizer(recipe: RecipeSpec, model: keras.Model) -> keras.optimizers.Optimizer:
    rate = _schedule(recipe)
    match recipe.optimizer:
        case Sgd(momentum=momentum, nesterov=nesterov):
            return keras.optimizers.SGD(rate, momentum=momentum, nesterov=nesterov)
        case AdamW(weight_decay=weight_decay, beta_1=beta_1, beta_2=beta_2):
            return keras.optimizers.AdamW(rate, weight_decay=weight_decay, beta_1=beta_1, beta_2=beta_2)
        case Muon(momentum=momentum, weight_decay=decay):
            last_layer = model.layers[-1].name
            muon = ConvolutionalMuon(
                rate, momentum=momentum, weight_decay=decay, adam_weight_decay=decay, exclude_layers=[last_layer]
            )
            if recipe.l2_is_decay:
                without = [variable for variable in model.trainable_variables if variable.regularizer is None]
                muon.exclude_from_weight_decay(var_list=without)
            return muon
    raise TypeError(f"no Keras optimizer for {type(recipe.optimizer).__name__}")  # a new class was not added above


def _schedule(recipe: RecipeSpec) -> float | keras.optimizers.schedules.LearningRateSchedule:
    match recipe.schedule:
        case Constant(rate=rate):
            return rate
        case Staircase(rate=rate, factor=factor, every=every):
            return keras.optimizers.schedules.ExponentialDecay(rate, every, factor, staircase=True)
        case OneCycle(peak_rate=peak_rate, warmup_share=share):
            warmup = round(recipe.steps * share)
            return keras.optimizers.schedules.CosineDecay(
                initial_learning_rate=0.0,
                decay_steps=recipe.steps - warmup,
                warmup_target=peak_rate,
                warmup_steps=warmup,
            )
    raise TypeError(f"no Keras schedule for {type(recipe.schedule).__name__}")  # a new class was not added above
