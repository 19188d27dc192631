"""The analog core as a memory-mapped device.

Only the job of the published driver is modelled: one convolution whose converter outputs leave the core. A job before
the board has switched the supply on is the one of the power-up sequence and computes nothing.
"""

from __future__ import annotations

import numpy as np

from htvm_ir.targets.diana import analog_datapath, analog_packing
from htvm_ir.targets.diana.analog_instruction import (
    CONFIG_WORDS,
    GAIN_WORD,
    INPUT_HIGH,
    INPUT_LOW,
    INSTRUCTION_WORDS,
    AnalogInstruction,
)
from htvm_ir.targets.diana.costs import analog_compute_cycles, analog_weight_cycles
from htvm_ir.targets.diana.devices import DmaRegisters, Hwme
from htvm_ir.targets.diana.l1 import L1
from htvm_ir.targets.diana.parameters import Parameters
from htvm_ir.targets.diana.peripherals import Supply
from htvm_ir.targets.layout import WORD
from htvm_ir.targets.soc import Bus

ANALOG_BASE = 0x1A10_D000


class AnalogHwme(Hwme):
    """The analog core at 0x1A10D000: transfers and convolutions. Without a `supply` it always has power."""

    dma = DmaRegisters(0x6C, 0x70, 0x74, 0x78, 0x7C, 0x80)
    last_register = 0x80
    WT_CONV = 0x40
    WT_SIMD = 0x44
    IM = 0x48
    ACT = 0x50
    CONF = 0x58
    NB_TILE = 0x68

    def __init__(self, bus: Bus, l1: L1, parameters: Parameters, supply: Supply | None = None) -> None:
        super().__init__("analog", ANALOG_BASE, bus, l1, parameters)
        self._supply = supply or Supply(on=True)
        # A reset does not start it again: every sample has noise of its own.
        self._noise = np.random.default_rng(parameters.analog_seed) if parameters.analog_noise else None

    def _compute(self) -> None:
        for offset, what in ((self.ACT + WORD, "activations streamed with a job (ACT_N)"), (self.NB_TILE, "NB_TILE")):
            if self._register(offset):
                self._bus.fault(f"analog: {what} is not modelled")
        config = np.frombuffer(self._fetch(self.CONF, "configuration"), "<u4").tolist()
        if len(config) != CONFIG_WORDS:
            self._bus.fault(f"analog: the configuration has {CONFIG_WORDS} words, not {len(config)}")
        entry = self._entry()
        start = self._bus.now
        loaded = start + analog_weight_cycles(entry, self._parameters)
        end = loaded + analog_compute_cycles(entry, self._parameters)
        image = self._image(entry)
        if self._supply.on:
            self._execute(entry, image, config[GAIN_WORD])
            p = self._parameters
            self._claim(end, analog_datapath.reads(entry, p), analog_datapath.writes(entry, p))
        elif self._register(self.WT_CONV):
            self._bus.fault("analog: the core has no supply; run the power-up sequence (diana_analog_boot) first")
        else:
            self._claim(end, (), ())
        self._bus.record("analog.weights", "load", start, loaded, len(image))
        self._bus.record("analog", describe(entry), loaded, end)

    def _entry(self) -> AnalogInstruction:
        """The one work entry, which the stop entry follows."""
        words = np.frombuffer(self._fetch(self.IM, "instruction list"), "<u4").tolist()
        if len(words) != 2 * INSTRUCTION_WORDS:
            self._bus.fault(f"analog: a job is a work entry and a stop entry, 32 words, not {len(words)}")
        try:
            work = AnalogInstruction.from_words(words[:INSTRUCTION_WORDS])
            last = AnalogInstruction.from_words(words[INSTRUCTION_WORDS:])
        except ValueError as error:
            self._bus.fault(f"analog: {error}")
        if work.stop or not last.stop:
            self._bus.fault("analog: the first entry must work and the second stop")
        return work

    def _image(self, entry: AnalogInstruction) -> bytes:
        """The weights; address 0, which the power-up job names, reads as zeros (model choice)."""
        size = analog_packing.image_bytes(entry.k, entry.c, entry.fy, entry.fx)
        address = self._register(self.WT_CONV)
        return self._bus.read(self._shared(address, size, "weights"), size) if address else bytes(size)

    def _execute(self, entry: AnalogInstruction, image: bytes, gain: int) -> None:
        p = self._parameters
        reason = analog_datapath.validate(entry, p)
        if reason is not None:
            self._bus.fault(f"analog: {describe(entry)}: {reason}")
        known = tuple(span.pieces(self._l1.written) for span in analog_datapath.reads(entry, p))
        self._check_written(known, describe(entry), 16 * entry.input)
        inputs = analog_datapath.gather(self._l1.data.view(np.int8), entry.input, entry.c, entry.cx * entry.cy)
        low, high = int(inputs.min()), int(inputs.max())
        if low < INPUT_LOW or high > INPUT_HIGH:
            self._bus.fault(f"analog: {describe(entry)}: inputs from {low} to {high} do not fit the core's 7 bits")
        analog_datapath.execute(self._l1.data, entry, image, gain, self._noise, p.analog_noise)
        for span in analog_datapath.writes(entry, p):
            span.pieces(self._l1.written)[...] = True


def describe(entry: AnalogInstruction) -> str:
    """An entry in a few words, for reports and faults."""
    return f"conv {entry.c}->{entry.k} {entry.fy}x{entry.fx}/{entry.stride} to {entry.oy}x{entry.width}"
