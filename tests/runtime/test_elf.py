"""The glibc floor is what the files ask for: compared with binutils on compiled libraries, and on damaged ones."""

import random
import re
import subprocess
from pathlib import Path

import pytest

from publicai_edge.errors import HostError
from publicai_edge.runtime import elf, platforms

MACHINE = platforms.here().partition("-")[2]
pytestmark = pytest.mark.skipif(not platforms.here().startswith("linux-"), reason="ELF files are Linux's")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that asks for memfd_create, which glibc has since 2.27."""
    folder = tmp_path_factory.mktemp("elf")
    (folder / "made.c").write_text(
        "#define _GNU_SOURCE\n#include <sys/mman.h>\n#include <stdlib.h>\n"
        'int made(void) { return memfd_create("x", 0) + abs(rand()); }\n'
    )
    library = folder / "tree" / "inner" / "libmade.so"
    library.parent.mkdir(parents=True)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, folder / "made.c"], check=True)
    (folder / "tree" / "words.txt").write_text("no program\n")
    return folder / "tree"


def test_the_floor_is_what_binutils_reads(built: Path) -> None:
    library = built / "inner" / "libmade.so"
    told = subprocess.run(["objdump", "-T", library], capture_output=True, text=True, check=True).stdout
    versions = {tuple(map(int, found)) for found in re.findall(r"GLIBC_(\d+)\.(\d+)", told)}
    found = elf.floor(built, MACHINE)
    assert found.glibc == ".".join(map(str, max(versions)))
    assert max(versions) >= (2, 27)
    assert found.because == "inner/libmade.so"


def test_a_library_that_asks_for_less_has_a_lower_floor(built: Path, tmp_path: Path) -> None:
    (tmp_path / "less.c").write_text("int less(int x) { return x + 1; }\n")
    target = tmp_path / "out" / "libless.so"
    target.parent.mkdir()
    subprocess.run(["cc", "-shared", "-fPIC", "-o", target, tmp_path / "less.c"], check=True)
    assert elf.read(target).glibc < elf.read(built / "inner" / "libmade.so").glibc


def test_a_file_for_another_processor_is_refused(built: Path) -> None:
    other = next(name for name in elf.MACHINES.values() if name != MACHINE)
    with pytest.raises(HostError, match=f"libmade.so is for {MACHINE}; the runtime is for {other}"):
        elf.floor(built, other)


def test_a_folder_without_programs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("nothing")
    with pytest.raises(HostError, match="holds no Linux program"):
        elf.floor(tmp_path, MACHINE)


def test_damaged_files_give_the_projects_own_error(built: Path, tmp_path: Path) -> None:
    whole = (built / "inner" / "libmade.so").read_bytes()
    dice, refused = random.Random(15), 0
    for _ in range(400):
        data = bytearray(whole[: dice.choice([len(whole), dice.randrange(len(whole))])])
        # Where the section headers are told, or anywhere.
        for _ in range(dice.randrange(1, 9)):
            data[dice.choice([dice.randrange(64), dice.randrange(len(data) or 1)]) % len(data)] = dice.randrange(256)
        place = tmp_path / "damaged.so"
        place.write_bytes(data)
        try:
            elf.read(place)
        except HostError:
            refused += 1
    assert refused > 100
