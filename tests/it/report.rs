//! The page that `knockon report` writes, in a real browser.

use crate::support::TestProject;
use crate::support::browser::Browser;
use serde_json::json;
use std::fs;
use std::path::PathBuf;

const HOOKS: &str = "- {name: good, events: [{type: '*'}], command: 'echo fine'}\n\
     - {name: bad, events: [{type: 'task.*'}], command: 'echo \"<b>half</b> done\"; echo \"it broke\" >&2; exit 3', retry: {attempts: 2, backoff: 1ms}}\n\
     - {name: slow, events: [{type: spec.created}], timeout: 300ms, command: 'exec sleep 20'}\n\
     - {name: odd, events: [{type: spec.created}], command: 'exit 77'}\n";

fn eventful() -> (TestProject, PathBuf) {
    let project = TestProject::trusted(HOOKS);
    for kind in ["spec.created", "task.completed", "plan.created", "task.created"] {
        project.ok(&["emit", kind, "--quiet"]);
    }
    project.hooks(&HOOKS.replace("echo fine", "echo changed"));
    project.ok(&["emit", "plan.updated", "--quiet"]);
    let ran = project.ok(&["report"]);
    assert_eq!(ran.stdout, "knockon-report.html: 5 events, 9 hook runs, 5 failed, 1 blocked, 1 skipped\n");
    let page = project.root().join("knockon-report.html");
    (project, page)
}

/// What stands where the keyboard is.
const FOCUSED: &str =
    "document.activeElement.closest('.event')?.querySelector('.type').textContent ?? document.activeElement.id";

#[test]
fn the_page_is_whole_in_a_real_browser_and_asks_nobody_for_anything() {
    let (_project, page) = eventful();
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&page);
    assert_eq!(browser.complaints(), [""; 0]);
    assert_eq!(browser.requests(), [format!("file://{}", page.display())]);
    assert_eq!(browser.value("document.title"), "project · knockon report");
    assert_eq!(browser.value("document.querySelectorAll('.event').length"), 5);
    let text = browser.value("document.body.innerText");
    let text = text.as_str().unwrap();
    for said in ["Success rate", "Failures", "exit 3", "took longer than its timeout", "changed since it was trusted"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // Bars stand in the order of time, and none has no size.
    let bars = browser.value("document.querySelectorAll('.event svg rect, .event svg path').length");
    assert!(bars.as_u64().unwrap() >= 9, "{bars}");
    // Nothing sticks out to the side, also on a small screen.
    for width in [1280, 400] {
        browser.ask(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false }),
        );
        let overflow = browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(overflow, 0, "at {width}");
    }
}

#[test]
fn the_page_is_used_with_the_keyboard_alone() {
    let (_project, page) = eventful();
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&page);
    let mut keys = |keys: &[&str]| {
        keys.iter().for_each(|key| browser.press(key));
        browser.value(FOCUSED)
    };
    // The newest first.
    assert_eq!(keys(&["j"]), "plan.updated");
    assert_eq!(keys(&["j"]), "task.created");
    assert_eq!(keys(&["ArrowDown"]), "plan.created");
    assert_eq!(keys(&["k"]), "task.created");
    assert_eq!(keys(&["f"]), "task.completed", "the next with a failure");
    assert_eq!(keys(&["F"]), "task.created", "and the one before");
    keys(&["Enter"]);
    assert_eq!(keys(&[]), "task.created");
    assert_eq!(browser.value("document.activeElement.closest('.event').open"), true);
    let visible = browser.value("document.activeElement.closest('.event').innerText");
    assert!(visible.as_str().unwrap().contains("it broke"), "{visible}");
    assert!(visible.as_str().unwrap().contains("<b>half</b> done"), "as text: {visible}");
    browser.press("Enter");
    assert_eq!(browser.value("document.activeElement.closest('.event').open"), false);

    browser.press("/");
    assert_eq!(browser.value(FOCUSED), "filter");
    for key in "hook:slow".chars() {
        browser.press(&key.to_string());
    }
    browser.press("Enter");
    assert_eq!(browser.value(FOCUSED), "spec.created");
    assert_eq!(browser.value("[...document.querySelectorAll('.event')].filter(event => !event.hidden).length"), 1);
    browser.press("Escape");
    assert_eq!(browser.value("[...document.querySelectorAll('.event')].filter(event => !event.hidden).length"), 5);

    browser.press("?");
    assert_eq!(browser.value("document.querySelector('#keys').open"), true);
    browser.press("Escape");
    assert_eq!(browser.value("document.querySelector('#keys').open"), false);
    // Where the keyboard is can be seen.
    browser.press("j");
    let outline = browser.value("getComputedStyle(document.activeElement).outlineStyle");
    assert_ne!(outline, "none");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn the_page_is_light_or_dark_and_can_be_printed() {
    let (_project, page) = eventful();
    let Some(mut browser) = Browser::start() else { return };
    let brightness = "(() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number); return r + g + b })()";
    let media = |media: &str, scheme: &str| json!({ "media": media, "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    for (scheme, light) in [("light", true), ("dark", false)] {
        browser.ask("Emulation.setEmulatedMedia", media("", scheme));
        browser.open(&page);
        assert_eq!(browser.value(brightness).as_f64().unwrap() > 380.0, light, "{scheme}");
        browser.press("t");
        assert_eq!(browser.value(brightness).as_f64().unwrap() > 380.0, !light, "{scheme}, toggled");
        browser.press("t");
        // A browser may keep the choice for the next time.
        browser.value("localStorage.clear()");
    }
    browser.ask("Emulation.setEmulatedMedia", media("print", "light"));
    assert_eq!(browser.value("document.querySelector('#theme').offsetParent"), json!(null), "no buttons on paper");
    let printed = browser.ask("Page.printToPDF", json!({}));
    assert!(printed["data"].as_str().unwrap().starts_with("JVBERi"), "a PDF in base 64");
}

#[test]
fn the_page_can_be_read_without_its_script() {
    let (_project, page) = eventful();
    let Some(mut browser) = Browser::start() else { return };
    browser.ask("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.open(&page);
    let document = browser.ask("DOM.getDocument", json!({ "depth": 0 }));
    let html = browser.ask("DOM.getOuterHTML", json!({ "nodeId": document["root"]["nodeId"] }));
    let html = html["outerHTML"].as_str().unwrap();
    assert!(html.contains("it broke") && html.contains("plan.created"));
    // A summary opens by itself.
    let node = browser.ask(
        "DOM.querySelector",
        json!({ "nodeId": document["root"]["nodeId"], "selector": ".event.is-bad > summary" }),
    );
    browser.ask("DOM.focus", json!({ "nodeId": node["nodeId"] }));
    browser.press("Enter");
    let opened = browser
        .ask("DOM.querySelector", json!({ "nodeId": document["root"]["nodeId"], "selector": ".event.is-bad[open]" }));
    assert_ne!(opened["nodeId"], 0);
}

#[test]
fn nothing_that_a_log_says_becomes_part_of_the_page() {
    let project = TestProject::new();
    let hostile = "</script><script>document.title='taken'</script>\"'><img src=x onerror=\"document.title='taken'\"><a href=javascript:1>\u{202e}\u{1b}[2J";
    let mut text = String::new();
    for (seq, status) in [(1, "emitted"), (2, "started"), (3, "failed")] {
        let mut record = json!({ "seq": seq, "prev": "0".repeat(64), "timestamp": "2999-01-01T00:00:00.000Z",
            "event_id": "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV", "event_type": hostile, "status": status, "error": hostile,
            "stdout_tail": hostile, "stderr_tail": hostile, hostile: hostile, "event": { "feature": hostile, hostile: 1 } });
        if seq > 1 {
            record["hook"] = hostile.into();
        }
        text.push_str(&format!("{record}\n"));
    }
    fs::write(project.hooks_folder().join("audit.log"), text).unwrap();
    project.ok(&["report"]);
    let Some(mut browser) = Browser::start() else { return };
    let page = project.root().join("knockon-report.html");
    browser.open(&page);
    assert_eq!(browser.value("document.title"), "project · knockon report");
    assert_eq!(browser.value("document.querySelectorAll('img, a[href^=\"javascript\"]').length"), 0);
    assert_eq!(browser.value("document.querySelectorAll('script').length"), 1);
    assert_eq!(browser.complaints(), [""; 0]);
    assert_eq!(browser.requests().len(), 1);
    let shown = browser.value("document.body.textContent.includes('<img src=x onerror')");
    assert_eq!(shown, true, "it is shown as what it is");
}

#[test]
fn a_file_that_is_no_report_is_not_written_over() {
    let (project, page) = eventful();
    project.ok(&["report", "--since", "1h"]);
    fs::write(&page, "precious").unwrap();
    let ran = project.run(&["report"]);
    assert!(ran.code == 2 && ran.stderr.contains("is there and is no report of knockon"), "{ran:?}");
    assert_eq!(fs::read_to_string(&page).unwrap(), "precious");
    project.ok(&["report", "--force"]);
    assert!(fs::read_to_string(&page).unwrap().starts_with("<!doctype html>"));
    let ran = project.run(&["report", "--out", "."]);
    assert!(ran.code == 2 && ran.stderr.contains("is no plain file"), "{ran:?}");
    let printed = project.ok(&["report", "--out", "-", "--since", "2999-01-01"]).stdout;
    assert!(printed.starts_with("<!doctype html>") && printed.contains("Nothing was recorded"), "{printed}");
    let few = project.ok(&["report", "--out", "-", "--limit", "2"]).stdout;
    assert!(few.contains("The newest 2 of 5 events"));
}

#[test]
fn a_log_larger_than_any_page_costs_bounded_memory() {
    let project = TestProject::new();
    project.hooks("[]\n");
    let mut text = String::new();
    for number in 0..120_000 {
        let at = format!("{:02}:{:02}.{:03}", number / 60_000 % 60, number / 1000 % 60, number % 1000);
        text.push_str(&format!(
            "{{\"timestamp\":\"2026-01-01T06:{at}Z\",\"event_id\":\"evt_01M8R4P44{number:017}\",\"event_type\":\"a.b\",\"status\":\"emitted\",\"error\":\"{}\"}}\n",
            "x".repeat(250)
        ));
    }
    project.file(".knockon/audit.log", text);
    let ran = project.ok(&["report", "--since", "2025-12-31"]);
    assert!(ran.stderr.contains("the log is long: the oldest"), "{}", ran.stderr);
    assert!(project.read("knockon-report.html").len() < 8 * 1024 * 1024);
}
