# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
"""The report in a real browser, with no network and hostile names."""

import json
import shutil
import time

import fake_runs
import pytest

from rlopt.bench import report

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="the browser test needs chromium and chromedriver"
    ),
    # one browser is enough for all of them
    pytest.mark.xdist_group("browser"),
]

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]
WIDTHS = (1280, 800, 400)
THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return report.write_report(fake_runs.demo(tmp_path_factory.mktemp("demo")))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    names = fake_runs.HOSTILE
    agents = [(n, 0.9 - i / 4, 0.02, n, False, True) for i, n in enumerate(names)]
    envs = [(n, 26.0, 8.0, n[:40], 1e-4) for n in ("AllenFishery", *names)]
    folder = tmp_path_factory.mktemp("hostile")
    runs = fake_runs.write(
        folder, agents, envs, 3, lambda a, e, s: s == 2, name=names[0], sentence=names[1]
    )
    return report.write_report(runs)


def view(browser, path, width=1280, theme="light"):
    """Open the page at a width and in a theme; the logs start here."""
    browser.get_log("browser"), browser.get_log("performance")
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"media": "", "features": [{"name": "prefers-color-scheme", "value": theme}]},
    )
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.get(path.as_uri())
    ready = "return document.querySelectorAll('.plot .main-svg').length > 0"
    until(lambda: browser.execute_script(ready))
    return browser


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the page did not get there"
        time.sleep(0.05)


def asked(browser, path):
    """Addresses that the page has asked for (not the browser's own start page)."""
    events = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return [p["request"]["url"] for p in sent if p.get("documentURL") == path.as_uri()]


def shown(browser):
    """Names of the visible rows, in order."""
    return browser.execute_script(
        "return [...document.querySelectorAll('#board tbody.rows tr')]"
        ".filter(r => r.offsetParent !== null || r.getClientRects().length)"
        ".map(r => r.cells[1].dataset.v)"
    )


@pytest.mark.parametrize("which", ["demo", "hostile"])
def test_no_error_and_no_network(browser, which, request):
    path = request.getfixturevalue(which)
    page = view(browser, path)
    assert page.get_log("browser") == []
    urls = asked(page, path)
    assert path.as_uri() in urls  # the log does work
    assert [u for u in urls if not u.startswith(("data:", "blob:")) and u != path.as_uri()] == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("which", ["demo", "hostile"])
def test_nothing_sticks_out_sideways(browser, which, width, theme, request):
    page = view(browser, request.getfixturevalue(which), width, theme)
    wide = page.execute_script(
        "return [document.documentElement.scrollWidth, document.body.scrollWidth]"
    )
    assert max(wide) <= width
    assert page.get_log("browser") == []


def test_all_charts_are_drawn(browser, demo):
    page = view(browser, demo)
    drawn = page.execute_script(
        "return [...document.querySelectorAll('.plot')]"
        ".map(p => p.querySelectorAll('path.js-line').length)"
    )
    assert len(drawn) == 6 and min(drawn) >= 12
    assert not page.execute_script("return document.querySelector('.twin').offsetParent")


def test_charts_follow_the_theme(browser, demo):
    def colour():
        return page.execute_script(
            "const lines = document.querySelectorAll('#profile path.js-line');"
            "return lines[lines.length - 1].style.stroke"
        )

    page = view(browser, demo, theme="light")
    assert colour() == "rgb(43, 56, 160)"
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    until(lambda: colour() == "rgb(26, 138, 249)")


def test_sorting(browser, demo):
    page = view(browser, demo)
    first = shown(page)
    assert first[0] == "gp-dp"

    def click(key):
        page.execute_script(f"document.querySelector('th button[data-key={key}]').click()")
        return page.execute_script(
            "return document.querySelector('th[aria-sort]').getAttribute('aria-sort')"
            " + document.querySelectorAll('th[aria-sort]').length"
        )

    assert click("agent") == "ascending1"
    assert shown(page) == sorted(first)
    assert click("agent") == "descending1"
    assert shown(page) == sorted(first, reverse=True)
    assert click("score") == "descending1"
    assert shown(page) == first
    click("steps")
    rules = [a[0] for a in fake_runs.AGENTS if not a[5]]
    assert set(shown(page)[-5:]) == set(rules) - {"oracle", "do_nothing"}
    click("steps")  # what has no number stays last
    assert set(shown(page)[-5:]) == set(rules) - {"oracle", "do_nothing"}
    click("task2")
    assert shown(page)[0] == "cbo"


def test_filtering(browser, demo):
    page = view(browser, demo)
    box = page.find_element("id", "find")
    box.send_keys("policy grad")
    assert shown(page) == ["ppo", "a2c"]
    assert page.find_element("id", "shown").text == "2 of 12 agents shown"
    page.find_element("id", "clean").click()
    assert shown(page) == ["a2c"]
    box.clear()
    box.send_keys(" ")
    names = shown(page)
    assert len(names) == 9 and not {"sac", "ppo", "random"} & set(names)
    page.find_element("id", "clean").click()
    assert len(shown(page)) == 12


def test_sorting_works_on_a_phone(browser, demo):
    page = view(browser, demo, 400)
    page.execute_script(
        "const s = document.querySelector('#sort'); s.value = 'agent';"
        "s.dispatchEvent(new Event('change'))"
    )
    names = shown(page)
    assert names == sorted(names)
    assert page.find_element("id", "sort").is_displayed()


def test_hostile_names_show_as_text(browser, hostile):
    page = view(browser, hostile)
    text = page.execute_script("return document.body.textContent")
    assert page.execute_script("return document.querySelectorAll('script').length") == 3
    assert page.execute_script("return document.querySelectorAll('.name b').length") == 0
    cells = page.execute_script(
        "return [...document.querySelectorAll('#board .rows td.ag .name')].map(n => n.textContent)"
    )
    assert set(cells) == set(fake_runs.HOSTILE)
    for name in fake_runs.HOSTILE:
        assert name in text
    # plotly draws a subset of HTML in its texts: none may be left to it
    labels = page.execute_script(
        "return [...document.querySelectorAll('#plot-0 .annotation-text')].map(n => n.textContent)"
    )
    assert any(label.startswith("<script>ale") for label in labels)
    assert any(label.startswith('"quoted"') and label.endswith("><!--") for label in labels)


def test_hovering_shows_the_name_as_text(browser, hostile):
    page = view(browser, hostile)
    found = page.execute_script(
        "const d = document.querySelector('#plot-0');"
        "const i = d.data.findIndex(t => (t.name || '').startsWith('&lt;script'));"
        "Plotly.Fx.hover(d, [{curveNumber: i, pointNumber: 3}]);"
        "return [...d.querySelectorAll('.hoverlayer text')].map(n => n.textContent).join('|')"
    )
    assert "<script>alert(1)</script>" in found and "%{" not in found


def test_print_shows_twins_and_opens_what_is_folded(browser, demo):
    page = view(browser, demo)
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert (
        page.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
    )
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    visible = page.execute_script(
        "return ['.twin', '.plot', 'nav', '.tools']"
        ".map(s => getComputedStyle(document.querySelector(s)).display)"
    )
    assert visible == ["block", "none", "none", "none"]
    whole = page.execute_script(
        "return [...document.querySelectorAll('.twin')]"
        ".every(i => i.complete && i.naturalWidth > 0)"
    )
    assert whole
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    assert page.execute_script("return document.querySelectorAll('details:not([open])').length") > 0
