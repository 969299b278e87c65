"""The live page in a real Chromium."""

from __future__ import annotations

import os
import re
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hearts import Heart, feed_view

from rigs.clips import style, write_wav
from rigs.messages import event, state
from rigs.ports import wait_until

expect = pytest.importorskip("playwright.sync_api").expect
PATIENCE_MS = 15_000
"""Longer than anything takes on a busy machine; what is there is seen at once."""
expect.set_options(timeout=PATIENCE_MS)

PICTURES = os.environ.get("GENRED_PICTURES")
"""A folder: what the pages look like is kept there, to be looked at."""

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}

CONTRAST = """() => {
  const channel = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255)
    + 0.0722 * channel(b / 255);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour;
    }
    return parse(getComputedStyle(document.documentElement).backgroundColor);
  };
  const found = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
    if (!own || !node.checkVisibility()) continue;
    const [one, other] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) found.push(`${node.tagName}.${node.className} ${ratio.toFixed(2)}`);
  }
  return found;
}"""
"""WCAG 2.1, 1.4.3: text that stands out from its ground by less than 4.5 to 1."""


@contextmanager
def window(browser, url, *, may_fail=(), **how):
    """A page that complains of nothing and asks nobody else."""
    # Without the smooth movement of the pictures, which a machine without a GPU pays dearly for.
    context = browser.new_context(**{"viewport": DESK, "reduced_motion": "reduce"} | how)
    page = context.new_page()
    complaints, asked = [], []
    page.on("console", lambda word: complaints.append((word.type, word.text)))
    page.on("pageerror", lambda error: complaints.append(("error", str(error))))
    page.on("request", lambda request: asked.append(request.url))
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    yield page
    bad = [
        text
        for kind, text in complaints
        if kind in {"error", "warning"} and not any(each in text for each in may_fail)
    ]
    assert bad == []
    assert all(each.startswith((url, url.replace("http", "ws"))) for each in asked), asked
    context.close()


def keep(page, name):
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def is_drawn(page, selector):
    """Has the canvas more than one colour."""
    return page.eval_on_selector(
        selector,
        """(canvas) => {
          if (!canvas.width) return false;
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          return new Set(new Uint32Array(data.buffer)).size > 8;
        }""",
    )


class TestDaemon:
    """Against the daemon as a process, that plays the synthesised station."""

    def test_it_shows_what_is_on_and_goes_on_showing(self, browser, web_daemon):
        with window(browser, web_daemon.url, reduced_motion="no-preference") as page:
            expect(page.locator("#connection")).to_have_text("live")
            expect(page.locator("article")).to_have_count(2)
            card = page.get_by_role("article", name="on_air")
            expect(card.locator(".label")).to_have_text(re.compile("[a-z]{3,}"))
            expect(card.get_by_role("meter", name="Confidence")).to_have_attribute(
                "aria-valuenow", re.compile(r"^\d+$")
            )
            expect(card.locator(".changes li").first).to_contain_text("%")
            expect(page).to_have_title("genred studio")
            levels = set()
            wait_until(lambda: levels.add(card.locator(".dbfs").inner_text()) or len(levels) > 2)
            wait_until(lambda: is_drawn(page, "#card-on_air .picture canvas"), 20, "a picture")
            expect(
                card.get_by_role("img", name=re.compile("^Today: [a-z]+ [0-9]+ %"))
            ).to_be_visible()
            before = card.locator(".more").inner_text()
            wait_until(lambda: card.locator(".more").inner_text() != before)
            keep(page, "desk-light")

    def test_a_change_that_is_not_written_yet_is_asked_for_again(self, browser, web_daemon):
        """It does not wait for the minute after which the strip of the day grows by itself."""
        asked = []

        def answer(route):
            asked.append(route.request.url)
            told = route.fetch().json()
            route.fulfill(json=told | {"segments": []} if len(asked) == 1 else told)

        with window(browser, web_daemon.url) as page:
            card = page.get_by_role("article", name="on_air")
            expect(card.locator(".changes li").first).to_contain_text("%")
            page.route("**/api/v1/feeds/on_air/history?*", answer)
            page.reload()
            today = card.get_by_role("img", name=re.compile("^Today: [a-z]+ [0-9]+ %"))
            expect(today).to_be_visible()
            assert len(asked) > 1

    def test_it_says_that_the_daemon_is_gone_and_goes_on_when_it_is_back(self, browser, web_daemon):
        refused = ("ERR_CONNECTION_REFUSED", "WebSocket connection", "ERR_CONNECTION_RESET")
        cut_off = ("ERR_CONTENT_LENGTH_MISMATCH",)  # killed in the middle of an answer
        with window(browser, web_daemon.url, may_fail=refused + cut_off) as page:
            expect(page.locator("#connection")).to_have_text("live")
            page.evaluate("window.same = true")
            web_daemon.end(signal.SIGKILL)
            expect(page.locator("#connection")).to_have_text("connection lost, trying again")
            web_daemon.start()
            expect(page.locator("#connection")).to_have_text("live", timeout=20_000)
            card = page.get_by_role("article", name="on_air")
            seen = set()
            wait_until(lambda: seen.add(card.locator(".dbfs").inner_text()) or len(seen) > 2, 20)
            assert page.evaluate("window.same")

    def test_a_clip_is_shown_on_a_time_line(self, browser, web_daemon, tmp_path):
        parts = [style("jazz", 10), style("speech", 8), np.zeros(6 * 16_000, np.float32)]
        clip = write_wav(tmp_path / "a <b>clip.wav", np.concatenate(parts))
        (tmp_path / "text.wav").write_text("no sound at all")
        may_fail = ("422",)
        with window(
            browser, web_daemon.url, may_fail=may_fail, viewport=PHONE, color_scheme="dark"
        ) as page:
            expect(page.locator("#connection")).to_have_text("live")
            page.get_by_label("A file of sound").set_input_files(clip)
            page.get_by_role("button", name="Judge it").click()
            result = page.locator("#clip-result")
            expect(result.locator("h3")).to_contain_text("a <b>clip.wav: ")
            expect(result.locator("rect")).to_have_count(3)
            expect(result.get_by_role("row")).to_have_count(4)
            expect(result.get_by_role("img")).to_have_attribute(
                "aria-label", re.compile("jazz.*speech.*silence")
            )
            keep(page, "phone-dark-clip")
            page.get_by_label("A file of sound").set_input_files(tmp_path / "text.wav")
            page.get_by_role("button", name="Judge it").click()
            expect(page.locator("#clip-status")).to_contain_text("not audio")
            expect(result).to_be_hidden()


class TestPage:
    """Against a server in this process, whose feeds are what the test says."""

    def test_everything_can_be_read_in_both_themes_and_on_every_screen(self, browser, serve):
        served = serve(
            Heart(
                feed_view("on_air", station="Example FM", title="A Band - A Song"),
                feed_view("a_name_of_sixty_four_characters_which_is_the_most_that_it_may_be"),
                feed_view("line_in", label="silence", kind="silence", dead_air=True),
                feed_view("web", status="retrying"),
            )
        )
        with window(browser, served.url) as page:
            expect(page.locator("article")).to_have_count(4)
            served.tell(event(1, "changed", feed="on_air", previous="speech"))
            expect(page.locator("#card-on_air .changes")).to_contain_text("speech → jazz")
            expect(page.locator("#card-web .label")).to_have_text("retrying")
            dead = page.locator("#card-line_in .now")
            expect(dead).to_have_css("background-color", "rgb(196, 33, 47)")
            expect(dead.locator(".label")).to_have_text("dead air")
            wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                for size in (DESK, PHONE, {"width": 320, "height": 600}):
                    page.set_viewport_size(size)
                    assert page.evaluate(CONTRAST) == [], scheme
                    assert page.evaluate(wide) == 0, size
                    keep(page, f"{size['width']}-{scheme}")

    def test_what_happens_while_the_api_answers_is_kept(self, browser, serve):
        """An event that overtakes the answer, which does not know it yet."""
        served = serve(Heart(feed_view("on_air")))
        with window(browser, served.url) as page:
            # What the page asks before it is loaded anew must not be taken for the new one's.
            expect(page.locator("#card-on_air .source")).not_to_be_empty()
            overtaken = []

            def answer(route):
                if not overtaken:
                    told = route.fetch()
                    overtaken.append(True)
                    served.tell(event(1, "changed", feed="on_air", previous="speech"))
                    page.locator(".changes .sure").first.wait_for(state="attached")
                    route.fulfill(response=told)
                else:
                    route.continue_()

            page.route("**/api/v1/feeds/on_air", answer)
            page.reload()
            expect(page.locator("#card-on_air .source")).not_to_be_empty()
            expect(page.locator("#card-on_air .changes")).to_contain_text("speech → jazz")

    def test_a_keyboard_is_enough(self, browser, serve):
        served = serve()
        with window(browser, served.url) as page:
            expect(page.locator("article")).to_have_count(1)
            page.keyboard.press("Tab")
            expect(page.get_by_role("link", name="Skip to the feeds")).to_be_focused()
            page.keyboard.press("Enter")
            names = []
            for _ in range(6):
                page.keyboard.press("Tab")
                names.append(
                    page.evaluate("document.activeElement.innerText || document.activeElement.id")
                )
                style_ = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert style_ == "solid", names
            for wanted in ("Recent changes", "file", "Judge it", "API"):
                assert wanted in names, names

    def test_who_listens_hears_the_changes_alone(self, browser, serve):
        """Landmarks, names, and live regions that speak when something changes."""
        heart = Heart(feed_view("fm"))
        served = serve(heart)
        with window(browser, served.url) as page:
            for landmark in ("banner", "main", "contentinfo"):
                expect(page.get_by_role(landmark)).to_have_count(1)
            expect(page.get_by_role("heading", level=1)).to_have_count(1)
            expect(page.get_by_role("article", name="fm")).to_be_visible()
            for name in ("Confidence", "Level"):
                expect(page.get_by_role("meter", name=name)).to_be_visible()
            expect(page.get_by_role("img", name=re.compile("Log-mel"))).to_be_visible()
            label = page.locator("#card-fm [aria-live=polite]")
            expect(label).to_have_text("jazz")
            page.evaluate(
                """() => {
                  window.spoken = [];
                  new MutationObserver(() => {
                    window.spoken.push(document.querySelector('#card-fm [aria-live]').innerText);
                  }).observe(document.querySelector('#card-fm [aria-live]'),
                    { childList: true, characterData: true, subtree: true });
                }"""
            )
            page.wait_for_timeout(1000)
            heart.feeds = (feed_view("fm", label="speech", kind="speech"),)
            expect(label).to_have_text("speech")
            page.wait_for_timeout(600)
            assert page.evaluate("window.spoken") == ["speech"]

    def test_what_stations_send_is_text(self, browser, serve):
        nasty = "<img src=x onerror=alert(1)><script>alert(2)</script>"
        served = serve(Heart(feed_view("fm", title=nasty, station=nasty)))
        with window(browser, served.url) as page:
            expect(page.locator("#connection")).to_have_text("live")
            expect(page.locator("#card-fm .changes")).to_have_text("none so far")
            served.tell(state(title=nasty), event(1, "changed", label=nasty, previous=nasty))
            expect(page.locator("#card-fm .more")).to_contain_text("<img")
            expect(page.locator("#card-fm .changes")).to_contain_text("<script>")
            assert page.locator("article img, article script").count() == 0

    def test_the_token_is_asked_for_once(self, browser, serve):
        served = serve(environ={"GENRED_WEB_TOKEN": "0123456789abcdef"})
        with window(browser, served.url, may_fail=("403",)) as page:
            expect(page.locator("#connection")).to_have_text("a token is needed")
            expect(page.locator("#clip")).to_be_hidden()
            page.get_by_label("Token", exact=True).fill("not the token at all")
            page.get_by_role("button", name="Enter").click()
            expect(page.get_by_role("alert")).to_have_text("this is not the token")
            keep(page, "token")
            page.get_by_label("Token", exact=True).fill("0123456789abcdef")
            page.keyboard.press("Enter")
            expect(page.locator("#connection")).to_have_text("live")
            expect(page.locator("#login")).to_be_hidden()
            page.reload()
            expect(page.locator("#connection")).to_have_text("live")
            page.get_by_role("button", name="leave").click()
            expect(page.locator("#connection")).to_have_text("a token is needed")

    def test_who_leaves_asks_nothing_any_more(self, browser, serve):
        """What was under way is broken off before the cookie goes: it would be refused."""
        served = serve(environ={"GENRED_WEB_TOKEN": "0123456789abcdef"})
        with window(browser, served.url) as page:
            page.get_by_label("Token", exact=True).fill("0123456789abcdef")
            slow, leaving, broken = [], [], []

            def hold(route):
                slow.append(route)

            def hold_leaving(route):
                if route.request.method == "DELETE":
                    leaving.append(route)
                else:
                    route.continue_()

            page.route("**/api/v1/feeds/fm", hold)
            page.route("**/api/v1/session", hold_leaving)
            page.on("requestfailed", lambda request: broken.append(request.url))
            page.keyboard.press("Enter")
            expect(page.locator("#connection")).to_have_text("live")
            wait_until(lambda: page.wait_for_timeout(20) or slow, 10, "a question")
            page.get_by_role("button", name="leave").click()
            wait_until(lambda: page.wait_for_timeout(20) or (broken and leaving), 10, "to leave")
            assert broken[0].endswith("/api/v1/feeds/fm")
            leaving[0].continue_()
            expect(page.locator("#connection")).to_have_text("a token is needed")

    def test_feeds_come_and_go(self, browser, serve):
        heart = Heart(feed_view("fm"))
        with window(browser, serve(heart).url) as page:
            expect(page.locator("article")).to_have_count(1)
            heart.feeds = (feed_view("fm"), feed_view("new"))
            expect(page.locator("article")).to_have_count(2)
            heart.feeds = (feed_view("new"),)
            expect(page.locator("article")).to_have_count(1)
            heart.feeds = ()
            expect(page.locator("#feeds")).to_have_text("There are no feeds.")
