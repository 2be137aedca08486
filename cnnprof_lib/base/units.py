"""Numbers to text, in the units TensorFlow's profiler prints.

The profiler counts bytes in decimal units (1 MB = 1,000,000 bytes) and prints two digits after
the point; ``tensorflow/core/profiler/internal/tfprof_utils.cc`` (``FormatTime``, ``FormatMemory``,
``FormatNumber``) is the model for the three functions that share its thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_DECIMAL_STEP = 1000


def seconds(value_s: float) -> str:
    """Formats a duration as the profiler does: ``41us``, ``31.28ms``, ``1.20sec``.

    Args:
        value_s: A duration in seconds.
    """
    micros = value_s * 1e6
    if micros >= 1e6:
        return f"{micros / 1e6:.2f}sec"
    if round(micros) >= 1e3:  # the profiler counts whole microseconds: 999.6 are 1.00ms to it, not 1000us
        return f"{micros / 1e3:.2f}ms"
    return f"{micros:.0f}us"


def signed_seconds(value_s: float) -> str:
    """A change of a duration with its sign: ``-31.28ms``, ``+41us``, ``0us``."""
    return signed(value_s, seconds)


def signed(value: float, formatter: Callable[[float], str]) -> str:
    """A change as ``formatter`` writes its size, with its sign unless it is written as 0."""
    text = formatter(abs(value))
    return text if text == formatter(0) else f"{'-' if value < 0 else '+'}{text}"


def num_bytes(value: float) -> str:
    """Formats bytes as the profiler does: ``128B``, ``300.03KB``, ``23.59MB``, ``1.20GB``."""
    if value >= _DECIMAL_STEP**3:
        return f"{value / _DECIMAL_STEP**3:.2f}GB"
    if value >= _DECIMAL_STEP**2:
        return f"{value / _DECIMAL_STEP**2:.2f}MB"
    if value >= _DECIMAL_STEP:
        return f"{value / _DECIMAL_STEP:.2f}KB"
    return f"{value:.0f}B"


def count(value: float) -> str:
    """Formats a count with a decimal suffix: ``10``, ``1.07M``, ``18.47M``, ``2.36G``."""
    for suffix, power in (("G", 3), ("M", 2), ("k", 1)):
        if value >= _DECIMAL_STEP**power:
            return f"{value / _DECIMAL_STEP**power:.2f}{suffix}"
    return f"{value:.0f}"


def plural(number: float, noun: str) -> str:
    """The noun as it follows a number: ``image`` after 1, else ``images``."""
    return noun if number == 1 else f"{noun}s"


def counted(number: int, noun: str) -> str:
    """A number of things: ``1 image``, ``10,000 images``."""
    return f"{number:,} {plural(number, noun)}"


def ratio(value: float) -> str:
    """Formats a ratio with the digits that it can have: ``0.250``, ``1.034``, from 10 on ``12.9``."""
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def percent(share: float, digits: int = 2) -> str:
    """Formats a share between 0 and 1 as a percentage: ``72.02%``."""
    return f"{100 * share:.{digits}f}%"


def shape(lengths: Sequence[int]) -> str:
    """Formats a shape: ``24×24×64``."""
    return "×".join(map(str, lengths))


def left_out(uncounted: int) -> str:
    """What a total of multiply-adds does not hold, to stand behind it: `` without 2 layers that cannot be counted``."""
    return f" without {counted(uncounted, 'layer')} that cannot be counted" if uncounted else ""
