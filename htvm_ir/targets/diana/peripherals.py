"""The few SoC peripherals that a bare-metal program touches (addresses: archi headers)."""

from __future__ import annotations

from dataclasses import dataclass

from htvm_ir.targets.layout import WORD
from htvm_ir.targets.soc import Bus

GPIO = 0x1A10_1000
SOC_CONTROL = 0x1A10_4000
STDOUT = 0x1A10_F000
TIMER = 0x1A10_B000


class Storage:
    """A peripheral without behaviour: it keeps what is written."""

    def __init__(self, name: str, base: int, size: int = 0x1000) -> None:
        self.name = name
        self.base = base
        self.size = size
        self._bytes = bytearray(size)

    def reset(self) -> None:
        """All registers become 0."""
        self._bytes = bytearray(self.size)

    def read(self, offset: int, size: int) -> int:
        """The little-endian value of `size` bytes."""
        return int.from_bytes(self._bytes[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """Store the low `size` bytes of `value`."""
        value &= (1 << 8 * size) - 1
        self._bytes[offset : offset + size] = value.to_bytes(size, "little")


class SocControl(Storage):
    """Pad functions and the end of the program: CORESTATUS with bit 31 set carries the exit code."""

    CORESTATUS = 0xA0
    END = 1 << 31

    def __init__(self, bus: Bus) -> None:
        super().__init__("soc_control", SOC_CONTROL)
        self._bus = bus

    def write(self, offset: int, size: int, value: int) -> None:
        """Store, and stop the machine at the end of computation."""
        super().write(offset, size, value)
        if offset == self.CORESTATUS and value & self.END:
            self._bus.stop(value & (self.END - 1))


@dataclass
class Supply:
    """The board's power for the analog core."""

    on: bool = False


class Gpio(Storage):
    """The pads. The board switches the analog supply on at the falling edge of pad 17 and says so on pad 18."""

    PADIN = 0x08
    PADOUT = 0x0C
    SET = 0x10
    CLEAR = 0x14
    REQUEST = 1 << 17
    READY = 1 << 18

    def __init__(self, supply: Supply) -> None:
        super().__init__("gpio", GPIO)
        self._supply = supply

    def reset(self) -> None:
        """All registers 0, the supply off."""
        super().reset()
        self._supply.on = False

    def read(self, offset: int, size: int) -> int:
        """PADIN shows the board's answer, all else is storage."""
        if offset == self.PADIN:
            return self.READY if self._supply.on else 0
        return super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """SET and CLEAR change single bits of PADOUT."""
        before = super().read(self.PADOUT, WORD)
        match offset:
            case self.SET:
                super().write(self.PADOUT, WORD, before | value)
            case self.CLEAR:
                super().write(self.PADOUT, WORD, before & ~value)
            case _:
                super().write(offset, size, value)
        if before & ~super().read(self.PADOUT, WORD) & self.REQUEST:
            self._supply.on = True


class Stdout(Storage):
    """The simulation's console: hart 0 of cluster 31 stores one character at a time."""

    PUTC = 0xF80

    def __init__(self) -> None:
        super().__init__("stdout", STDOUT)
        self.text = ""

    def reset(self) -> None:
        """Forget the text."""
        super().reset()
        self.text = ""

    def write(self, offset: int, size: int, value: int) -> None:
        """Collect characters in `text`."""
        if offset == self.PUTC:
            self.text += chr(value & 0xFF)
        else:
            super().write(offset, size, value)


class Timer(Storage):
    """The fabric controller's timer as one 64-bit cycle counter; compare and interrupts are not modelled."""

    CFG_LO = 0x00
    CNT_LO = 0x08
    CNT_HI = 0x0C
    START_LO = 0x18
    RESET_LO = 0x20
    ENABLE = 1
    RESET = 2

    def __init__(self, bus: Bus) -> None:
        super().__init__("timer", TIMER)
        self._bus = bus
        self._count = 0
        self._since: int | None = None

    def reset(self) -> None:
        """Stopped at 0."""
        super().reset()
        self._count = 0
        self._since = None

    def read(self, offset: int, size: int) -> int:
        """CNT_LO and CNT_HI are the halves of the count, all else is storage."""
        if offset in (self.CNT_LO, self.CNT_HI):
            half = 0 if offset == self.CNT_LO else 32
            return self._now() >> half & 0xFFFF_FFFF
        return super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """CFG_LO bit 0 runs or stops the counter, bit 1 clears it; START and RESET do the same alone."""
        if offset == self.CFG_LO:
            super().write(offset, size, value & ~self.RESET)
            self._set(0 if value & self.RESET else self._now(), bool(value & self.ENABLE))
        elif offset == self.START_LO:
            super().write(self.CFG_LO, WORD, super().read(self.CFG_LO, WORD) | self.ENABLE)
            self._set(self._now(), True)
        elif offset == self.RESET_LO:
            self._set(0, self._since is not None)
        else:
            super().write(offset, size, value)

    def _now(self) -> int:
        return self._count + (0 if self._since is None else self._bus.now - self._since)

    def _set(self, count: int, running: bool) -> None:
        self._count = count
        self._since = self._bus.now if running else None
