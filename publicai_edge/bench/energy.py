"""What electricity a block of work took, where the machine reports it: RAPL for processors, NVML for NVIDIA's GPUs.

Neither is there on most kiosks, and RAPL is the superuser's to read since CVE-2020-8694: then nothing is measured, and
:func:`meter` says why in words. The counters are the whole package's or card's, of all programs together.
Source: Linux ``Documentation/power/powercap/powercap.rst``; NVML's ``nvmlDeviceGetTotalEnergyConsumption``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")
_PACKAGES = "sys/class/powercap/intel-rapl:*"
_MICRO, _MILLI = 1e-6, 1e-3


@dataclass(frozen=True)
class Meter:
    """Reads joules since some start.

    Attributes:
        name: whose: "RAPL" or "NVML".
        counters: each returns joules, and the joules at which it begins anew (0 for never).
    """

    name: str
    counters: tuple[Callable[[], tuple[float, float]], ...]

    def read(self) -> tuple[tuple[float, float], ...]:
        """Return each counter's joules, and where it begins anew."""
        return tuple(counter() for counter in self.counters)

    def joules(self, before: tuple[tuple[float, float], ...]) -> float:
        """Return the joules since :meth:`read` gave ``before``."""
        total = 0.0
        for (now, around), (then, _) in zip(self.read(), before, strict=True):
            total += now - then if now >= then else now + around - then
        return total


def meter(root: Path = _ROOT) -> tuple[Meter | None, str]:
    """Return the meter of this machine's processors, or None; and a sentence about it."""
    packages = sorted(path for path in root.glob(_PACKAGES) if path.name.count(":") == 1)
    if not packages:
        return None, "Energy was not measured: this machine has no RAPL counters."
    counters = []
    for place in packages:
        try:
            _number(place / "energy_uj")
        except PermissionError:
            return None, "Energy was not measured: RAPL's counters may be read by the superuser only."
        except (OSError, ValueError):
            continue
        counters.append(_counter(place))
    if not counters:
        return None, "Energy was not measured: RAPL's counters cannot be read."
    return Meter("RAPL", tuple(counters)), "Energy is that of the whole processor package, by RAPL."


def gpu_meter() -> tuple[Meter | None, str]:
    """Return the meter of NVIDIA's GPUs, or None; and a sentence about it."""
    try:
        import pynvml
    except ImportError:
        return None, "The GPU's energy was not measured: nvidia-ml-py is not installed."
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        counters = tuple(_nvml_counter(pynvml, handle) for handle in handles)
        for counter in counters:
            counter()
    except pynvml.NVMLError as error:
        return None, f"The GPU's energy was not measured: {error}."
    return Meter("NVML", counters), "The GPU's energy is that of the whole card, by NVML."


def _nvml_counter(pynvml: object, handle: object) -> Callable[[], tuple[float, float]]:
    total = pynvml.nvmlDeviceGetTotalEnergyConsumption  # type: ignore[attr-defined] # the library has no types
    return lambda: (total(handle) * _MILLI, 0.0)


def _counter(place: Path) -> Callable[[], tuple[float, float]]:
    around = _number(place / "max_energy_range_uj") * _MICRO
    return lambda: (_number(place / "energy_uj") * _MICRO, around)


def _number(place: Path) -> int:
    return int(place.read_text())
