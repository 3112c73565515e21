"""Device profiles: those that come with the program, those that are written, and those that are damaged."""

from pathlib import Path

import pytest

from publicai_edge.errors import RecipeError
from publicai_edge.plan import device
from publicai_edge.plan.cost import cost_of
from publicai_edge.plan.device import Profile, Published
from tests.plan import cases


def test_the_kiosk_machines_that_people_have_are_known() -> None:
    assert set(device.names()) >= {
        "intel-n100", "celeron-j4125", "raspberry-pi-4", "raspberry-pi-5", "school-laptop-8gb",
    }  # fmt: skip


@pytest.mark.parametrize("name", device.names())
def test_a_profile_names_the_source_of_every_figure(name: str) -> None:
    found = device.load(name)
    assert found.name == name
    assert found.published and all(figure.source.startswith("https://") for figure in found.published)
    assert found.sources and all(source.startswith("https://") for source in found.sources)
    assert found.system_gb < found.ram_gb
    assert found.speed


@pytest.mark.parametrize("name", device.names())
def test_a_profile_says_of_its_own_figures_what_was_measured(name: str) -> None:
    found = device.load(name)
    assert found.speed
    for figure in found.published:
        low, high = 1 / (1 + found.speed.spread), 1 + found.speed.spread
        if figure.decode:
            rate = found.speed.read["Q4_K"] / (figure.gigabytes * 1e9)
            assert low <= figure.decode / rate <= high, figure.model
        if figure.prefill:
            rate = found.speed.work["Q4_K"] / (figure.billions * 2e9)
            assert low <= figure.prefill / rate <= high, figure.model


def test_a_probed_profile_survives_its_file(tmp_path: Path) -> None:
    probed = cases.device(title='The "old" PC — Zürich')
    path = tmp_path / "town.toml"
    path.write_text(device.to_toml(probed), "utf-8")
    assert device.load(str(path)) == probed


def test_figures_of_another_machine_are_trusted_less() -> None:
    own = Published(model="m", gigabytes=1, billions=2, decode=10, prefill=50, source="https://example.org")
    speed = cases.device(measured=None, published=[own]).speed
    assert speed
    assert (speed.read["Q4_0"], speed.work["Q4_0"], speed.spread) == (10e9, 200e9, 0.4)
    other = own.model_copy(update={"machine": "its neighbour"})
    speed = cases.device(measured=None, published=[other]).speed
    assert speed and speed.spread == 1.0
    far = own.model_copy(update={"decode": 5})
    nearer = own.model_copy(update={"decode": 20})
    speed = cases.device(measured=None, published=[far, own, nearer]).speed
    assert speed and speed.spread == 1.0, "figures that lie apart by twice"


def test_what_is_not_known_is_not_predicted() -> None:
    assert cases.device(measured=None).speed is None
    only_writing = Published(model="m", gigabytes=1, billions=2, decode=10, source="https://example.org")
    assert cases.device(measured=None, published=[only_writing]).speed is None


def test_seconds_add_up() -> None:
    speed = cases.device().speed
    assert speed
    cost = cost_of(cases.header())
    read = sum(cost.bytes_read.values()) / 10e9
    assert speed.token_seconds(cost, 0) == pytest.approx(read + 2e-3)
    assert speed.token_seconds(cost, 1000) == pytest.approx(read + 2e-3 + 1000 * cost.look_back / 1e9)
    weights = 2 * sum(cost.weights_used.values()) / 100e9
    each = weights + 2 * 256 * 1e-9 + cost.look_back * (500 + 50) / 1e10
    assert speed.prompt_seconds(cost, 100, 500) == pytest.approx(100 * each)


def test_a_device_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(RecipeError, match="no device 'intel-n1000'") as told:
        device.load("intel-n1000")
    assert "raspberry-pi-5" in str(told.value.hint)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("ram_gb = 4", "ram_gb = -4"), "ram_gb"),
        (("cores = 4", "kores = 4"), "kores"),
        (('name = "town"', "name = town"), "damaged"),
        (("Q6_K = 1e+10\n", ""), "no rates for Q6_K"),
    ],
)
def test_a_damaged_profile_is_named(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    path = tmp_path / "town.toml"
    text = device.to_toml(cases.device())
    assert change[0] in text
    path.write_text(text.replace(*change, 1), "utf-8")
    with pytest.raises(RecipeError, match=told) as error:
        device.load(str(path))
    assert "device probe" in str(error.value.hint)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "town.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read"):
        device.load(str(path))


def test_profiles_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Profile.model_validate(cases.device()).name = "other"  # type: ignore[misc]
