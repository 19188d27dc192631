"""Trains, quantises and measures a digit classifier; writes digits.onnx and digits_test.npz.

With --validate it cross-validates on the training set instead: it leaves out some writers at a time,
never looks at the test set, and writes nothing.
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
    parser.add_argument("--validate", action="store_true", help="cross-validate by writer")
    train, test = data.load()
    if parser.parse_args().validate:
        labels = np.concatenate([left_out.labels for _, left_out in data.folds(train)])
        measured = [measure(*fold)[1:] for fold in data.folds(train)]
        float_logits, logits = (np.concatenate(parts) for parts in zip(*measured, strict=True))
        report("cross-validated", labels, float_logits, logits)
    else:
        model, float_logits, logits = measure(train, test)
        report("held out", test.labels, float_logits, logits)
        save(model, test, logits)


def measure(train: Digits, held_out: Digits) -> tuple[onnx.ModelProto, Array, Array]:
    """The integer network trained on `train`, and the float and its logits on `held_out`."""
    parameters = fit(train)
    model = quantise.to_onnx(parameters, network.forward(parameters, as_float(train.images)))
    float_logits = network.forward(parameters, as_float(held_out.images))["logits"]
    return model, float_logits, run(model, held_out.images)


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


def report(which: str, labels: Labels, float_logits: Array, logits: Array) -> None:
    """Prints the share of samples whose largest logit is the label's."""
    for kind, values in (("float", float_logits), ("integer", logits)):
        print(f"{kind}, {which}: {np.mean(values.argmax(axis=1) == labels):.2%}")


def run(model: onnx.ModelProto, images: Array) -> Array:
    """The integer network's output (N, 10) by onnxruntime."""
    session: Any = onnxruntime.InferenceSession(model.SerializeToString())
    return np.concatenate([session.run(None, {"input": image[None]})[0] for image in images])


def save(model: onnx.ModelProto, test: Digits, logits: Array) -> None:
    """Writes the network, and the test set as its integer inputs, outputs and labels."""
    onnx.save(model, HERE / "digits.onnx")
    step_name = model.graph.node[-1].input[1]
    step = next(t for t in model.graph.initializer if t.name == step_name)
    np.savez_compressed(
        HERE / "digits_test.npz",
        input=data.quantise(test.images).astype(np.int8),
        output=(logits / onnx.numpy_helper.to_array(step)).astype(np.int8),
        label=test.labels.astype(np.int8),
    )


if __name__ == "__main__":
    main()
