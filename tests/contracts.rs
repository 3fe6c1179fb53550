//! What is published stays true: schemas agree with the code and with the examples of the contract, and
//! generated pages are what the binary prints.
//!
//! `UPDATE_DOCS=1 cargo test --test contracts` writes the generated pages anew.

use jsonschema::Validator;
use knockon::config::{self, DEFAULTS_KEYS, HOOK_KEYS, MATCHER_KEYS, TOP_KEYS};
use knockon::event::{Event, EventId, SCHEMAS};
use knockon::registry::CANONICAL;
use knockon::time::Timestamp;
use knockon::{EventDraft, scaffold};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

static EVENT: LazyLock<Validator> = LazyLock::new(|| validator("event"));
static CONFIG: LazyLock<Validator> = LazyLock::new(|| validator("config"));

fn validator(name: &str) -> Validator {
    let schema: Value = serde_json::from_str(schema_text(name)).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn schema_text(name: &str) -> &'static str {
    SCHEMAS.iter().find(|schema| schema.name == name).unwrap().text
}

/// The example of the contract, with every field.
fn example() -> Value {
    json!({
        "event_type": "implement.completed",
        "event_id": "evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A",
        "schema_version": "1.0",
        "timestamp": "2025-12-02T15:30:45.123Z",
        "project_root": "/home/user/project",
        "feature": "user-authentication",
        "context": {"workflow_state": "In Implementation", "task_id": "task-189", "agent": "backend-engineer"},
        "artifacts": [{"type": "source_code", "path": "./src/auth/", "files_changed": 12}],
        "metadata": {"cli_version": "0.0.179", "python_version": "3.11.9"},
        "anything_else": {"is": ["kept"]}
    })
}

/// Whether schema and code agree that `event` is one; their common answer.
fn is_event(event: &Value) -> bool {
    let by_schema = EVENT.is_valid(event);
    let by_code = Event::parse(event.to_string().into_bytes());
    assert_eq!(by_schema, by_code.is_ok(), "{event}: {by_code:?}");
    by_schema
}

#[test]
fn the_example_of_the_contract_is_an_event() {
    assert!(is_event(&example()));
}

#[test]
fn what_we_emit_fits_the_schema() {
    for canonical in CANONICAL {
        let draft = EventDraft::new(canonical.name.parse().unwrap());
        for draft in [draft.clone(), draft.feature("f").context("task_id", "t").artifact("file", "a").metadata("x", 1)]
        {
            let now = Timestamp::now();
            let event = draft.stamp(EventId::generate(now), now, "/project").unwrap();
            let value: Value = serde_json::from_slice(event.bytes()).unwrap();
            assert!(EVENT.is_valid(&value), "{value}");
        }
    }
}

#[test]
fn schema_and_code_agree_on_every_missing_and_mistyped_member() {
    let members = [
        "event_type",
        "event_id",
        "schema_version",
        "timestamp",
        "project_root",
        "feature",
        "context",
        "artifacts",
        "metadata",
    ];
    let values = [
        json!(null),
        json!(true),
        json!(1),
        json!(1.5),
        json!(""),
        json!("x"),
        json!("/x"),
        json!("a.b"),
        json!("A.b"),
        json!("1.0"),
        json!("1.1"),
        json!("1"),
        json!("2025-12-02T15:30:45.123Z"),
        json!("2025-12-02T15:30:45Z"),
        json!("2025-13-02T15:30:45.123Z"),
        json!("evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A"),
        json!("evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9I"),
        json!([]),
        json!([1]),
        json!([{}]),
        json!([{"type": "t", "path": "p"}]),
        json!([{"type": "t", "path": 1}]),
        json!([{"type": "t", "path": "p", "files_changed": 1.0}]),
        json!([{"type": "t", "path": "p", "files_changed": 1.5}]),
        json!({}),
        json!({"a": 1}),
    ];
    let mut accepted = 0;
    for member in members {
        let mut without = example();
        without.as_object_mut().unwrap().remove(member);
        accepted += usize::from(is_event(&without));
        for value in &values {
            let mut with = example();
            with[member] = value.clone();
            accepted += usize::from(is_event(&with));
        }
    }
    assert!(accepted > 20, "{accepted}");
}

#[test]
fn the_schema_leaves_the_version_to_the_code() {
    let mut newer = example();
    newer["schema_version"] = json!("2.0");
    assert!(EVENT.is_valid(&newer), "the form is right");
    let error = Event::parse(newer.to_string().into_bytes()).unwrap_err().to_string();
    assert!(error.contains("this build understands 1.x"), "{error}");
}

/// Whether schema and code agree on a hooks.yaml; their common answer.
fn is_config(text: &str) -> bool {
    let value: Value = serde_saphyr::from_str(text).unwrap_or(Value::Null);
    let mut problems = Vec::new();
    let by_code = config::parse(Path::new("hooks.yaml"), text.as_bytes(), &mut problems);
    let by_schema: Vec<String> = CONFIG.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(by_schema.is_empty(), by_code.is_some(), "{text}\nschema: {by_schema:?}\ncode: {problems:?}");
    by_code.is_some()
}

#[test]
fn schema_and_code_agree_on_configurations() {
    assert!(is_config(include_str!("../hooks.example.yaml")));
    assert!(is_config(scaffold::HOOKS_YAML));
    assert!(is_config("{version: '1.0', hooks: []}"));
    let hook = |rest: &str| format!("{{version: '1.0', hooks: [{{name: a, events: [{{type: a.b}}], {rest}}}]}}");
    for good in [
        "script: a.sh",
        "command: x",
        "webhook: {url: 'https://x', method: POST}",
        "command: x, timeout: 600",
        "command: x, env: {A: b}",
        "command: x, working_directory: a/b, shell: /bin/zsh",
        "command: x, fail_mode: stop, enabled: false",
        "command: x, x-own: [1]",
        "command: x, description: d",
        "command: x, timeout: 30.0",
        "command: x, env: {HOOK_MINE: x, 1-a: z}",
    ] {
        assert!(is_config(&hook(good)), "{good}");
    }
    for bad in [
        "",
        "script: a, command: b",
        "script: /a",
        "script: ../a",
        "script: a/../b",
        "script: ''",
        "script: 1",
        "command: ' '",
        "command: [x]",
        "webhook: {}",
        "webhook: x",
        "command: x, timeout: 0",
        "command: x, timeout: 601",
        "command: x, timeout: '5'",
        "command: x, timeout: 1.5",
        "command: x, env: {LD_X: a}",
        "command: x, env: {A: 1}",
        "command: x, env: {A=B: x}",
        "command: x, env: {DYLD_X: x}",
        "command: x, env: {IFS: x}",
        "command: x, shell: bash",
        "command: x, working_directory: ..",
        "command: x, fail_mode: halt",
        "command: x, enabled: 1",
        "command: x, unknown: 1",
        "command: x, description: 1",
    ] {
        assert!(!is_config(&hook(bad)), "{bad}");
    }
    for bad in [
        "[]",
        "{}",
        "{version: 1.0, hooks: []}",
        "{version: '2.0', hooks: []}",
        "{version: '1', hooks: []}",
        "{version: '1.0'}",
        "{version: '1.0', hooks: {}}",
        "{version: '1.0', hooks: [], other: 1}",
        "{version: '1.0', hooks: [], defaults: {name: x}}",
        "{version: '1.0', hooks: [{events: [{type: a.b}], command: x}]}",
        "{version: '1.0', hooks: [{name: A, events: [{type: a.b}], command: x}]}",
        "{version: '1.0', hooks: [{name: a, events: [], command: x}]}",
        "{version: '1.0', hooks: [{name: a, events: [a.b], command: x}]}",
        "{version: '1.0', hooks: [{name: a, events: [{type: a.b, pattern: c}], command: x}]}",
        "{version: '1.0', hooks: [{name: a, command: x}]}",
    ] {
        assert!(!is_config(bad), "{bad}");
    }
}

#[test]
fn the_schema_has_the_very_keys_the_code_knows() {
    let schema: Value = serde_json::from_str(schema_text("config")).unwrap();
    let keys = |pointer: &str| -> Vec<String> {
        let mut keys: Vec<String> = schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    for (pointer, known) in [
        ("/properties", TOP_KEYS),
        ("/properties/defaults/properties", DEFAULTS_KEYS),
        ("/definitions/hook/properties", HOOK_KEYS),
        ("/definitions/matcher/properties", MATCHER_KEYS),
    ] {
        let mut known: Vec<String> = known.iter().map(|key| (*key).to_owned()).collect();
        known.sort();
        assert_eq!(keys(pointer), known, "{pointer}");
    }
    for schema in SCHEMAS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(schema.file);
        assert_eq!(std::fs::read_to_string(path).unwrap(), schema.text);
    }
}

#[test]
fn the_example_config_uses_every_key() {
    for (name, text) in [("hooks.example.yaml", include_str!("../hooks.example.yaml"))] {
        for key in TOP_KEYS.iter().chain(DEFAULTS_KEYS).chain(HOOK_KEYS).chain(MATCHER_KEYS) {
            // `pattern` is only an older spelling, and webhooks are not sent yet.
            let used = text.contains(&format!("{key}:"));
            assert!(used || ["pattern", "webhook"].contains(key), "{name} does not use `{key}`");
        }
    }
    let checked = Command::new(env!("CARGO_BIN_EXE_knockon"))
        .args(["validate", "-f", "hooks.example.yaml"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(checked.stdout).unwrap(), "✓ 5 hooks in 1 file, no problems\n");
}

proptest! {
    /// Bytes of any kind make no panic, and what is accepted comes back unchanged.
    #[test]
    fn any_bytes_are_an_event_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(event) = Event::parse(bytes.clone()) {
            prop_assert_eq!(event.bytes(), &bytes[..]);
        }
    }

    #[test]
    fn any_text_is_a_config_or_an_error(text in "[a-z:\\-\\[\\]{}'\"#&*!|>%@ \n\t.0-9]{0,120}") {
        let mut problems = Vec::new();
        let config = config::parse(Path::new("h"), text.as_bytes(), &mut problems);
        prop_assert!(config.is_some() || !problems.is_empty());
    }
}

#[test]
fn the_command_line_page_is_what_help_prints() {
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_knockon")).args(arguments).env("NO_COLOR", "1").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let mut page = String::from(
        "# Command line\n\n<!-- Made by `UPDATE_DOCS=1 cargo test --test contracts`; do not edit. -->\n\n",
    );
    page.push_str(&format!("```text\n$ knockon --help\n{}```\n", help(&["--help"])));
    for command in knockon::cli::command_names() {
        page.push_str(&format!(
            "\n## {command}\n\n```text\n$ knockon {command} --help\n{}```\n",
            help(&[command, "--help"])
        ));
    }
    pinned("docs/reference/cli.md", &page);
}

#[test]
fn the_events_page_is_the_registry() {
    let mut page = String::from(
        "# Event types\n\n<!-- Made by `UPDATE_DOCS=1 cargo test --test contracts`; do not edit. -->\n\nThe types every project has; `knockon events` lists them. Another well-formed type is accepted with a warning\nthat names the nearest of these.\n\n| type | belongs to | when |\n|---|---|---|\n",
    );
    for event in CANONICAL {
        page.push_str(&format!("| `{}` | {} | {} |\n", event.name, event.group, event.about));
    }
    pinned("docs/reference/events.md", &page);
}

/// Compares a generated page with the file, or writes it when asked.
fn pinned(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "{file} is not current: run UPDATE_DOCS=1 cargo test --test contracts");
}
