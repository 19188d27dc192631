"""Trains, quantises and measures a digit classifier; writes digits.onnx and digits_test.npz.

With --validate it trains on less, measures on the validation set instead, and writes nothing: that is
how every choice in this folder was made.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import data
import network
import numpy as np
import onnx
import onnxruntime
import quantise
from data import Array, Digits, Labels

SEED = 7
EPOCHS = 60
BATCH = 32
RATE = 4e-3
HERE = Path(__file__).parent


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--validate", action="store_true", help="measure on the validation set")
    validate: bool = parser.parse_args().validate
    train, held_out = data.load(validate=validate)
    parameters = fit(train)
    results = network.forward(parameters, as_float(train.images))
    model = quantise.to_onnx(parameters, results)
    logits = run(model, held_out.images)
    print(f"float, training:    {accuracy(results['logits'], train.labels):.2%}")
    float_logits = network.forward(parameters, as_float(held_out.images))["logits"]
    print(f"float, held out:    {accuracy(float_logits, held_out.labels):.2%}")
    print(f"integer, held out:  {accuracy(logits, held_out.labels):.2%}")
    if not validate:
        save(model, held_out, logits)


def fit(train: Digits) -> network.Tensors:
    """Trained parameters."""
    rng = np.random.default_rng(SEED)
    parameters = network.initial(rng)
    adam = network.Adam(parameters)
    for epoch in range(EPOCHS):
        images = as_float(data.vary(train.images, rng))
        batches = np.array_split(rng.permutation(len(images)), len(images) // BATCH)
        rate = RATE * (1 + np.cos(np.pi * epoch / EPOCHS)) / 2
        for batch in batches:
            results = network.forward(parameters, images[batch])
            gradients = network.loss_gradients(parameters, results, train.labels[batch])
            adam.step(parameters, gradients, rate)
    return parameters


def as_float(images: Array) -> Array:
    """What the float network sees: the integer network's input, scaled to 0..1."""
    return data.quantise(images) / np.float32(2**quantise.INPUT_BITS)


def accuracy(logits: Array, labels: Labels) -> float:
    """The share of samples whose largest logit is the label's."""
    return float(np.mean(logits.argmax(axis=1) == labels))


def run(model: onnx.ModelProto, images: Array) -> Array:
    """The integer network's output (N, 10) by onnxruntime."""
    session: Any = onnxruntime.InferenceSession(model.SerializeToString())
    return np.concatenate([session.run(None, {"input": image[None]})[0] for image in images])


def save(model: onnx.ModelProto, test: Digits, logits: Array) -> None:
    """Writes the network, and the test set as its integer inputs, outputs and labels."""
    onnx.save(model, HERE / "digits.onnx")
    step = onnx.numpy_helper.to_array(model.graph.initializer[-1])
    np.savez_compressed(
        HERE / "digits_test.npz",
        input=data.quantise(test.images).astype(np.int8),
        output=(logits / step).astype(np.int8),
        label=test.labels.astype(np.int8),
    )


if __name__ == "__main__":
    main()
