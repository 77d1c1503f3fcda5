"""The emulator's page in a real Chromium: what people do with it, by mouse, by keyboard and on a phone."""

from collections.abc import Generator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from cwinference import Client, State
from cwinference.emulator import Behavior, Emulator, EmulatorClock
from tests.browser import scripts
from tests.support.admin_requests import admin
from tests.support.browser import LAPTOP, PHONE, Browser
from tests.support.lively_emulator import lively_emulator
from tests.support.ready_gateways import MODEL, ROUTINGS, ready_gateway

REPLY = ["Tensors", " hum", " softly."]


@pytest.fixture
def emulator() -> Generator[Emulator]:
    with Emulator(behavior=Behavior(ready_after=0.3), model=lambda body: REPLY) as emulator:
        yield emulator


def open_page(browser: Browser, emulator: Emulator) -> None:
    browser.open(emulator.page_url or "")
    browser.find("#connection", "Connected")


def protocols(emulator: Emulator) -> dict[str, str]:
    """Return the protocol of each method that was called."""
    calls = admin(emulator, "GET", "requests").json["requests"]
    return {each["method"]: each["protocol"] for each in calls}


def test_create_a_gateway_and_a_deployment_chat_break_repair_and_delete_them(
    browser: Browser, emulator: Emulator
) -> None:
    open_page(browser, emulator)
    browser.find("button", "Create a gateway").click()
    browser.find("#gateway-name").type("front")
    browser.find("#gateway-dialog .primary").click()
    browser.find("article .badge", "READY")

    browser.find("article button", "New deployment").click()
    browser.find("#deployment-name").type("llama")
    browser.find("#deployment-model").type("org/llama")
    browser.find("#deployment-dialog .primary").click()
    browser.find(".deployments .badge", "READY")
    browser.find(".weight", "weight 100, 100% of org/llama")

    browser.find("#chat-text").type("Say something")
    browser.find("#chat-send").click()
    browser.find(".message-note", "llama, ")
    assert browser.find(".message.assistant .message-text").text == "".join(REPLY)

    browser.find("button", "Break llama").click()
    browser.find(".deployments .badge", "ERROR")
    browser.find("#announcer", "Deployment llama is ERROR")
    browser.find("#chat-text").type("And now?")
    browser.find("#chat-send").click()
    browser.find(".message.failed .message-note", "No deployment of model 'org/llama' is ready: llama is ERROR")
    browser.find("button", "Repair llama").click()
    browser.find(".deployments .badge", "READY")
    browser.find(".deployments summary", "Conditions and history").click()
    browser.find(".history li", "ERROR → UPDATING")

    browser.find("button", "Delete llama").click()
    browser.find("#delete-title", "Delete llama?")
    browser.find("#delete-dialog .danger").click()
    browser.find("article", "No deployments.")
    browser.find("button", "Delete front").click()
    browser.find("#delete-dialog .danger").click()
    browser.find(".welcome")
    calls = protocols(emulator)
    assert calls.pop("chat/completions") == "openai"
    assert set(calls.values()) == {"connect"}
    assert {"CreateGateway", "UpdateDeployment", "DeleteGateway"} <= calls.keys()
    assert all("503" in each for each in browser.complaints()), "the chat with what was broken"


def test_the_token_leaves_the_address_bar_and_lasts_as_long_as_the_tab(browser: Browser, emulator: Emulator) -> None:
    open_page(browser, emulator)
    assert browser.url == f"{emulator.endpoint}/"
    assert emulator.token not in browser.run("return document.documentElement.outerHTML")
    browser.open(emulator.endpoint)
    browser.find("#connection", "Connected")
    assert browser.run("return [{...sessionStorage}, {...localStorage}, document.cookie]") == [
        {"token": emulator.token},
        {},
        "",
    ]


def test_a_token_is_asked_for_and_checked_at_once(browser: Browser, emulator: Emulator) -> None:
    browser.open(emulator.endpoint)
    browser.find("#connection", "No token")
    for wrong in ("CW-SECRET-other", emulator.viewer_token):
        browser.find("#token-text").type(wrong)
        browser.find("#token-dialog .primary").click()
        browser.find("#token-dialog .form-error", "The emulator does not accept this token.")
        browser.run("document.querySelector('#token-dialog .form-error').textContent = ''")
    browser.find("#token-text").type(emulator.token)
    browser.press("Enter")
    browser.find("#connection", "Connected")
    assert all("401" in each or "403" in each for each in browser.complaints())


def test_all_of_it_goes_by_keyboard_alone(browser: Browser, emulator: Emulator) -> None:
    open_page(browser, emulator)
    browser.press("Tab")
    assert browser.focused() == "Skip to the resources"
    browser.press("Enter")
    browser.tab_to("New gateway")
    browser.press("Enter")
    browser.find("#gateway-dialog")
    assert browser.focused() == "Name"
    browser.press("Escape")
    browser.wait(lambda: browser.focused() == "New gateway", "the focus does not return")
    browser.press("Space")
    browser.find("#gateway-dialog")
    browser.press("Enter")
    browser.find("article .badge", "READY")

    browser.tab_to("New deployment on gateway-1")
    for _ in range(2):  # polls, which must not take the focus away
        browser.wait_for_change("#clock-time")
    assert browser.focused() == "New deployment on gateway-1"
    browser.press("Enter")
    browser.find("#deployment-dialog")
    browser.press("Enter")
    browser.find(".deployments .badge", "READY")

    browser.tab_to("Your message")
    browser.press("Hello")
    browser.press("Enter")
    browser.find(".message-note", "deployment-1, ")

    browser.find(".request-list summary", "chat/completions")
    browser.tab_to("Pause")
    browser.press("Tab")
    assert "chat/completions" in browser.focused()  # the newest request
    browser.press("Enter")
    browser.find(".request-list .headers", "Bearer ***")

    browser.tab_to("New fault")
    browser.press("Enter")
    browser.find("#fault-dialog")
    browser.tab_to("Inject fault")
    browser.press("Enter")
    browser.find(".switches", "error /gateway/*")
    assert browser.focused() == "New fault"
    browser.tab_to("error")
    browser.press("Space")
    browser.find(".switch-state", "off")
    assert list(emulator.faults) == []
    browser.wait(lambda: browser.focused().startswith("error"), "the focus has left the switch")
    browser.press("Space")
    browser.wait(lambda: browser.find(".switch-state").text == "on", "it does not come on")
    assert len(list(emulator.faults)) == 1


def test_a_request_shows_its_headers_and_bodies_without_secrets(browser: Browser, emulator: Emulator) -> None:
    open_page(browser, emulator)
    with Client(emulator.token, endpoint=emulator.endpoint, transport="rest") as client:
        client.gateways.create("front", core_weave_auth={}, **ROUTINGS["body"])
    browser.find(".request-list summary", "CreateGateway").click()
    shown = browser.find(".request-body", '"name": "front"').text
    assert "POST /v1alpha1/inference/gateways, HTTP 200" in shown
    assert emulator.token not in browser.run("return document.documentElement.outerHTML")
    row = browser.find(".request-list summary").text.split("\n")
    assert row[1:4] == ["rest", "CreateGateway", "✓ ok"]

    browser.find("#request-filter").type("nothing like it")
    browser.find("#no-requests", "No requests match.")
    browser.find("#request-filter").type("creategateway")
    browser.find(".request-list summary", "CreateGateway")


def test_faults_and_fates_are_switched_off_and_on(browser: Browser, emulator: Emulator) -> None:
    open_page(browser, emulator)
    browser.find("button", "New fault").click()
    browser.find("#fault-kind").type("delay", clear=False)
    browser.find("#fault-seconds").type("0.25")
    browser.find("#fault-probability").type("50")
    browser.find("#fault-dialog .primary").click()
    browser.find(".switches", "delay /gateway/*, seconds 0.25, 50% of them; happened 0 times")
    [fault] = emulator.faults
    assert (fault.kind, fault.path, fault.probability, fault.options) == ("delay", "/gateway/*", 0.5, {"seconds": 0.25})
    browser.find("button", "New fate").click()
    browser.find("#fate-name").type("front")
    browser.find("#fate-dialog .primary").click()
    browser.find("#fate-list", "front becomes FAILED instead of READY")
    assert emulator.fates["front"].status == "FAILED"

    for kind, now in (("fault", emulator.faults), ("fate", emulator.fates)):
        browser.find(f"#{kind}-list input").click()
        browser.find(f"#{kind}-list .switch-state", "off")
        assert [*now] == []
        browser.find(f"#{kind}-list input").click()
        browser.wait(
            partial(browser.run, f"return !!document.querySelector('#{kind}-list input:checked')"), "it is off"
        )
        assert len([*now]) == 1
    browser.find("button", "Create a gateway").click()
    browser.find("#gateway-name").type("front")
    browser.find("#gateway-dialog .primary").click()
    browser.find("article .badge", "FAILED")


def test_a_stopped_clock_is_advanced(browser: Browser) -> None:
    with (
        Emulator(behavior=Behavior(ready_after=90), clock=EmulatorClock(running=False)) as emulator,
        Client(emulator.token, endpoint=emulator.endpoint) as client,
    ):
        client.gateways.create("front", core_weave_auth={}, **ROUTINGS["body"])
        open_page(browser, emulator)
        browser.find("article .badge", "CREATING")
        browser.find("#clock-state", "stopped")
        browser.find("#advance-seconds").type("90")
        browser.find("#advance-form button").click()
        browser.find("article .badge", "READY")
        assert State.of(client.gateways.list()[0]) is State.READY


@pytest.mark.parametrize("routing", ROUTINGS)
def test_chats_work_however_a_gateway_finds_the_model(browser: Browser, routing: str) -> None:
    with ready_gateway(routing) as ready:
        open_page(browser, ready.emulator)
        browser.find("#chat-target", MODEL)
        browser.find("#chat-text").type("Hello")
        browser.press("Enter")
        browser.find(".message-note", "one, ")
        browser.find(".message.assistant", "Hello")


def test_a_completion_is_shown_as_it_comes_and_can_be_stopped(browser: Browser) -> None:
    with ready_gateway(tokens_per_second=3) as ready:
        open_page(browser, ready.emulator)
        browser.find("#chat-target", MODEL)
        browser.find("#chat-text").type("Hello")
        browser.press("Enter")
        browser.find(".message.assistant .message-text", "This is")
        assert browser.run("return document.querySelector('#messages').getAttribute('aria-busy')") == "true"
        browser.find("#chat-send", "Stop").click()
        browser.find(".message-note", "Stopped")
        browser.find("#chat-send", "Send")


def test_what_servers_send_is_text_and_never_becomes_html(browser: Browser) -> None:
    evil = "<img src=x onerror=alert(1)><b>bold</b>"
    with ready_gateway(model=lambda body: evil) as ready:
        open_page(browser, ready.emulator)
        browser.find("#chat-target", MODEL)
        browser.find("#chat-text").type(evil)
        browser.press("Enter")
        browser.find(".message.assistant .message-text", evil)
        fate = {"status": "ERROR", "strikes_after": 0, "message": evil, "reason": evil}
        admin(ready.emulator, "PUT", "fates/one", fate)
        browser.find(".failure", f"{evil}: {evil}")
        assert browser.run("return document.querySelectorAll('img, b, main script').length") == 0


def test_it_finds_its_way_back_to_an_emulator_that_was_started_anew(browser: Browser) -> None:
    with ready_gateway() as ready:
        open_page(browser, ready.emulator)
        port = int(ready.emulator.endpoint.rpartition(":")[2])
        browser.find("article", "front")
    browser.find("#problem", "The emulator does not respond.")
    with ready_gateway("path", port=port):
        browser.find(".facts", "by the path")
        browser.find("#connection", "Connected")
        assert not browser.run("return document.querySelector('#problem').checkVisibility()")
        browser.find(".request-list summary", "CreateDeployment")
        names = browser.run("return [...document.querySelectorAll('.request-list .method')].map((e) => e.textContent)")
        assert (names.count("CreateGateway"), names.count("CreateDeployment")) == (1, 1)
    assert all("net::ERR_" in each for each in browser.complaints())


def test_a_reset_returns_to_the_start(browser: Browser) -> None:
    with lively_emulator() as emulator:
        open_page(browser, emulator)
        browser.find("button", "Delete ranker").click()
        browser.find("#delete-dialog .danger").click()
        browser.find("article", "No deployments.")
        browser.find("button", "Reset").click()
        browser.find("#reset-dialog .danger").click()
        browser.find("article", "ranker")
        browser.find("#no-requests", "No requests yet.")
        browser.find("#fault-list", "No faults.")
        assert browser.run("return document.querySelector('#hot-load-list').textContent") == "No hot-loads."


def test_what_is_refused_is_said_where_it_was_asked_for(browser: Browser) -> None:
    with lively_emulator() as emulator:
        open_page(browser, emulator)
        browser.find("button", "Delete search").click()
        browser.find("#delete-dialog .danger").click()
        browser.find("#delete-dialog .form-error", "the gateway is in use by 1 deployment (ranker)")
        browser.press("Escape")
        emulator.faults.add("error", method="GetGatewayParameters", times=1, message="injected <here>")
        browser.find("button", "New gateway").click()
        browser.find("#notice", "injected <here>")
        browser.find("#notice button", "Dismiss").click()
        browser.find("button", "New gateway").click()
        browser.find("#gateway-name").type("Not A Name")
        browser.find("#gateway-dialog .primary").click()
        browser.find("#gateway-dialog .form-error", "name")
        assert len(browser.complaints()) == 3  # of the network, about these three


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_it_fits_and_can_be_read(browser: Browser, size: tuple[int, int], scheme: Any) -> None:
    browser.size(size)
    browser.prefer(scheme)
    with lively_emulator() as emulator:
        open_page(browser, emulator)
        browser.find("article", "ranker")
        browser.find(".request-list li")
        browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        browser.find(".request-list .headers")
        assert browser.run(scripts.LOW_CONTRAST) == []
        assert browser.run("return [document.documentElement.scrollWidth, innerWidth - scrollX]")[0] <= size[0]
        for opener in ("New gateway", "New deployment", "New fault", "New fate", "Weight", "Delete", "Reset", "Token"):
            browser.find("main button, .bar button", opener).click()
            browser.find("dialog[open] .form-actions")
            assert browser.run(scripts.LOW_CONTRAST) == [], opener
            box = browser.run(scripts.DIALOG)
            assert box["left"] >= 0 <= box["top"], opener
            assert box["right"] <= size[0] and box["bottom"] <= size[1], opener  # noqa: PT018
            browser.press("Escape")
            browser.wait(lambda: browser.run(scripts.DIALOG_IS_CLOSED), f"{opener} stays")
        if size == PHONE:
            assert browser.run(scripts.TOO_SMALL) == []


def accessible(browser: Browser) -> list[tuple[str, str]]:
    """Return the role and the name of all that a screen reader gets."""
    nodes = browser.devtools("Accessibility.getFullAXTree")["nodes"]
    shown = [each for each in nodes if not each["ignored"]]
    return [(each["role"]["value"], each.get("name", {}).get("value", "").strip()) for each in shown]


def test_whatever_can_be_operated_has_a_name_and_all_is_in_landmarks(browser: Browser) -> None:
    roles = {
        "button",
        "link",
        "textbox",
        "checkbox",
        "switch",
        "combobox",
        "spinbutton",
        "searchbox",
        "meter",
        "log",
        "dialog",
    }
    with lively_emulator() as emulator:
        open_page(browser, emulator)
        browser.find("article", "ranker")
        browser.find("button", "New fault").click()
        browser.find("#fault-dialog")
        assert [each for each in accessible(browser) if each[0] in roles and not each[1]] == []
        browser.press("Escape")
        browser.wait(lambda: browser.run(scripts.DIALOG_IS_CLOSED), "the dialog stays")
        nodes = accessible(browser)
        assert [each for each in nodes if each[0] in roles and not each[1]] == []
        found = {role for role, _ in nodes}
        assert {"banner", "navigation", "main", "region", "article", "heading", "status"} <= found
        levels = browser.run(scripts.HEADINGS)
        assert all(after - before <= 1 for before, after in pairwise(levels)), levels


def test_it_is_painted_before_the_emulator_has_said_anything(browser: Browser, emulator: Emulator) -> None:
    browser.open(emulator.endpoint)  # no token: nothing is asked
    browser.find("h1", "Inference emulator")
    paints = browser.wait(lambda: browser.run(scripts.PAINTS), "no paint")
    loaded = browser.run(scripts.LOADED)
    assert sorted(loaded) == ["/_emulator/page.css", "/_emulator/page.js"]
    assert min(paints) < 2000, paints


def test_the_policy_is_enforced(browser: Browser, emulator: Emulator) -> None:
    open_page(browser, emulator)
    script = "try { document.body.innerHTML = '<b>x</b>'; return 'taken' } catch (error) { return error.name }"
    assert browser.run(script) == "TypeError"
    browser.run(
        "const it = document.createElement('style'); it.textContent = 'body { color: red }'; document.head.append(it)"
    )
    complaints = " ".join(browser.wait(browser.complaints, "no complaint"))
    assert "Content Security Policy" in complaints
    assert browser.run("return getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
