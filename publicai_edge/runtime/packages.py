"""The Python packages of a runtime: those of this laptop, in the same versions, built for the platform.

What is measured on the laptop and what runs on the kiosk are then the same programs. pip brings them, with the user's
own settings; only wheels are taken, so nothing of a package is run while it is fetched.
"""

import re
import shutil
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from publicai_edge import atomic, digest
from publicai_edge.errors import HostError
from publicai_edge.progress import Progress
from publicai_edge.runtime import work
from publicai_edge.runtime.platforms import Platform

ROOTS = (
    "apsw",
    "cryptography",
    "fastapi",
    "httptools",
    "jinja2",
    "lxml",
    "markdown-it-py",
    "numpy",
    "onnxruntime",
    "platformdirs",
    "polib",
    "psutil",
    "pydantic",
    "pypdf",
    "python-docx",
    "tokenizers",
    "typer",
    "uvicorn",
)
"""What the kiosk's code imports; a package that is not installed here is one that this version has no use for."""
ZIM = ("libzim",)
"""What reads ZIM files, for a runtime that is to have it."""
TOOLS = ("pyinstaller", "pyinstaller-hooks-contrib", "altgraph", "packaging", "setuptools")
LLAMA = "llama-cpp-python"
NO_TLS = Path(__file__).parent / "no_tls.py"
_UNUSED = frozenset({"huggingface-hub", "sympy", "coloredlogs"})
"""Required by a package above for what a kiosk never does."""
_PYTHON = ("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none")
_GLIBC = ("2_34", "2_31", "2_28", "2_27", "2_26", "2_24", "2_17", "2_12")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def versions(roots: Iterable[str] = ROOTS) -> dict[str, str]:
    """Return name and version of ``roots`` and of all that they need, as installed here.

    Raises:
        HostError: the kiosk's packages are not installed.
    """
    found: dict[str, str] = {}
    wanted = list(roots)
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in found or name in _UNUSED:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found[name] = distribution.version
        wanted += [_name(line) for line in distribution.requires or () if _holds(line)]
    if "fastapi" not in found:
        raise HostError(
            "The kiosk's packages are not installed here, so their versions are not known.",
            hint="Run: pip install 'publicai-edge[kiosk,runtime]'",
        )
    return dict(sorted(found.items()))


def tool_versions() -> dict[str, str]:
    """Return the versions of what freezes the program.

    Raises:
        HostError: PyInstaller is not installed.
    """
    found = versions((*TOOLS, "fastapi"))
    if "pyinstaller" not in found:
        raise HostError("PyInstaller is not installed.", hint="Run: pip install 'publicai-edge[runtime]'")
    return {name: found[name] for name in TOOLS if name in found}


def _name(requirement: str) -> str:
    match = _REQUIREMENT.match(requirement)
    return match[0] if match else requirement


def _holds(requirement: str) -> bool:
    """Say whether a requirement is one without conditions; those of extras and of other systems have some."""
    _, _, condition = requirement.partition(";")
    if not condition:
        return True
    from packaging.markers import Marker

    return "extra" not in condition and Marker(condition.strip()).evaluate({"python_version": "3.11"})


def site(platform: Platform, wanted: dict[str, str], folder: Path, progress: Progress) -> Path:
    """Return a folder with ``wanted`` installed for ``platform``, below ``folder``; made if it is not there yet.

    Raises:
        HostError: pip fails; the end of its log is quoted.
    """
    pins = [f"{name}=={version}" for name, version in sorted(wanted.items())]
    target = folder / f"packages-{platform.name}-{digest.of_json(pins)[:12]}"
    if target.is_dir():
        return target
    tags = [f"manylinux_{version}_{platform.machine}" for version in _GLIBC]
    tags += [f"manylinux2014_{platform.machine}", f"linux_{platform.machine}"]
    options = ["--no-deps", "--only-binary=:all:", "--no-compile", "--no-input", "--disable-pip-version-check"]
    options += ["--root-user-action=ignore", *_PYTHON, *(word for tag in tags for word in ("--platform", tag))]
    with atomic.temporary_folder(folder) as scratch:
        command = [sys.executable, "-m", "pip", "install", *options, "--target", str(scratch / "site"), *pins]
        work.run(command, f"Fetching {len(pins)} Python packages for {platform.name}", folder, progress)
        with atomic.host_errors("keep", target):
            (scratch / "site").rename(target)
    return target


def add_llama(site_folder: Path, package: Path, version: str) -> None:
    """Put llama-cpp-python's package, and the note of its version, beside the others."""
    shutil.copytree(package, site_folder / package.name)
    info = site_folder / f"llama_cpp_python-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {LLAMA}\nVersion: {version}\n", "utf-8")


def replace_ssl(site_folder: Path) -> None:
    """Put what stands in for Python's ``ssl`` where it is found first; ``cryptography`` alone brings OpenSSL along."""
    shutil.copyfile(NO_TLS, site_folder / "ssl.py")


def replace_blas(site_folder: Path, blas: Path) -> None:
    """Put ``blas`` in the place of the OpenBLAS that numpy's wheel brings, and of the Fortran that only that needs.

    Raises:
        HostError: the wheel is not as this program knows it.
    """
    libraries = site_folder / "numpy.libs"
    found = list(libraries.glob("libscipy_openblas64_-*.so"))
    if len(found) != 1:
        raise HostError(
            f"numpy's wheel brings {len(found)} libraries called libscipy_openblas64_-*.so, and this program knows "
            "what to put in the place of one.",
            hint="Please report it.",
        )
    for place in libraries.iterdir():
        place.unlink()  # hard links: what they lead to stays as it is
    shutil.copyfile(blas, found[0])
