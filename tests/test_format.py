# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
import math

import pytest

from rlopt.bench import format as fmt

T = "\u202f"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (fmt.score(0.9524), "0.95"),
        (fmt.score(-0.198), "−0.20"),
        (fmt.score(-0.001), "0.00"),
        (fmt.score(float("nan")), "–"),
        (fmt.fine(0.9849), "0.985"),
        (fmt.plus(0.0084), "+0.008"),
        (fmt.plus(-0.0041), "−0.004"),
        (fmt.plus(0.0), "0.000"),
        (fmt.interval(-0.36, -0.09), "−0.36 to −0.09"),
        (fmt.interval(math.nan, math.nan), "–"),
        (fmt.tile(0.97), ".97"),
        (fmt.tile(-0.05), "−.05"),
        (fmt.tile(0.0), "0"),
        (fmt.tile(-0.001), "0"),
        (fmt.tile(0.999), "1.0"),
        (fmt.tile(-1.33), "−1.3"),
        (fmt.tile(-45.2), "−45"),
        (fmt.tile(-2000.0), "−10³"),
        (fmt.tile(math.nan), "–"),
        (fmt.regret(0.587), "0.587"),
        (fmt.regret(0.09), "0.0900"),
        (fmt.regret(8.64), "8.64"),
        (fmt.regret(1130), f"1{T}130"),
        (fmt.regret(12345), f"12{T}300"),
        (fmt.regret(9.999), "10.0"),
        (fmt.regret(2e-5), "2 × 10⁻⁵"),
        (fmt.regret(1.234e7), "1.23 × 10⁷"),
        (fmt.regret(-3.2), "−3.20"),
        (fmt.regret(0), "0"),
        (fmt.regret(None), "–"),
        (fmt.tolerance(2e-5), "2 × 10⁻⁵"),
        (fmt.tolerance(1e-10), "10⁻¹⁰"),
        (fmt.tolerance(0.034), "0.03"),
        (fmt.to_tolerance(26.471312, 2e-5), "26.4713"),
        (fmt.to_tolerance(183.02412345, 1e-10), "183.024"),
        (fmt.to_tolerance(61204.8123, 3e-3), f"61{T}204.8"),
        (fmt.to_tolerance(12345.0, 30.0), f"12{T}300"),
        (fmt.to_tolerance(0.99871, 1e-4), "0.9987"),
        (fmt.to_tolerance(2.5, 0.0), "2.5"),
        (fmt.to_tolerance(0.0, 1e-3), "0.000"),
        (fmt.steps(280_000), f"0.28{T}M"),
        (fmt.steps(1_000_000), f"1.0{T}M"),
        (fmt.steps(20_000), f"20{T}k"),
        (fmt.steps(950), "950"),
        (fmt.steps(0), "–"),
        (fmt.seconds(48), f"48{T}s"),
        (fmt.seconds(144), f"2.4{T}min"),
        (fmt.seconds(0.001), f"< 0.01{T}s"),
        (fmt.seconds(36_000), f"10{T}h"),
        (fmt.long_time(5640), f"1{T}h 34{T}min"),
        (fmt.percent(0.58), f"58{T}%"),
        (fmt.listed(["a"]), "a"),
        (fmt.listed(["a", "b", "c"]), "a, b and c"),
        (fmt.listed(list("abcdefg"), 3), "a, b and 5 more"),
        (fmt.count(1, "trial"), "1 trial"),
        (fmt.count(3, "trial"), "3 trials"),
        (fmt.visible("a\x1b[31m\nb"), "a\ufffd[31m\ufffdb"),
        (fmt.visible("x" * 30, 10), "x" * 9 + "…"),
        (fmt.short("constant_escapement_tuned", 18), "constant_es…_tuned"),
        (fmt.short("constant_escapement", 19), "constant_escapement"),
    ],
)
def test_numbers_and_names(call, text):
    assert call == text


@pytest.mark.parametrize("x", [1e-300, 1e300, -1e-7, 123456.7, 0.00099999, 999.9996])
def test_no_e_notation_and_no_ascii_minus(x):
    for write in (fmt.regret, fmt.tolerance, fmt.score, fmt.tile):
        assert "e" not in write(x) and "-" not in write(x)
