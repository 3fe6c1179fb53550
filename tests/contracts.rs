//! What is published stays true: schemas agree with the code and with the examples of the contract, and
//! generated pages are what the binary prints.
//!
//! `UPDATE_DOCS=1 cargo test --test contracts` writes the generated pages anew.

use jsonschema::Validator;
use knockon::config::{
    self, ACTION_KEYS, AUDIT_KEYS, AuditSettings, COALESCE_KEYS, DEFAULTS_KEYS, Durability, EXPECT_KEYS, FIXTURE_KEYS,
    FailMode, HOOK_KEYS, MATCHER_KEYS, Mode, OnBusy, OnTimeout, OutputMode, POLICY_KEYS, RETRY_KEYS, SANDBOX_KEYS,
    SETTINGS_KEYS, SYNC_KEYS, Sandbox, StopMode, SyncSettings, TEXT_ACTIONS, TOP_KEYS, UserSettings, WEBHOOK_KEYS,
};
use knockon::event::{Causality, Event, EventId, NodeId, SCHEMAS};
use knockon::matcher::{Filter, OPERATORS};
use knockon::registry::CANONICAL;
use knockon::time::Timestamp;
use knockon::work_package::{Kind, WireVersion};
use knockon::{EventDraft, UserFolders, scaffold};
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
fn an_event_with_a_cause_and_a_place_fits_version_1_1() {
    let schema = validator("event-1.1");
    let now = Timestamp::now();
    let id = || EventId::generate(now);
    let clocked = Causality::Clocked { node: NodeId::random(), lamport: u64::MAX, team: Some("team".into()) };
    for kind in Kind::ALL {
        let draft = EventDraft::new(kind.event_type()).caused_by(id()).correlated(id());
        for causality in [clocked.clone(), Causality::Unclocked("no space left".into())] {
            let event = draft.clone().placed(causality).stamp(id(), now, "/project").unwrap();
            let mut value: Value = serde_json::from_slice(event.bytes()).unwrap();
            assert_eq!(value["schema_version"], "1.1");
            assert!(schema.is_valid(&value) && EVENT.is_valid(&value), "{value}");
            value["traceparent"] = json!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
            value["acceptance_criteria"] = json!([{"id": 1, "text": "It logs in", "completed": false}]);
            assert!(schema.is_valid(&value), "{value}");
            for (member, wrong) in [
                ("node_id", json!("")),
                ("lamport_clock", json!(-1)),
                ("lamport_clock", json!("1")),
                ("team_slug", json!(null)),
                ("causation_id", json!("evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A")),
                ("correlation_id", json!("x")),
                ("acceptance_criteria", json!([{"id": 1, "text": "It logs in"}])),
                ("traceparent", json!("x")),
                ("clock_error", json!(true)),
            ] {
                let mut broken = value.clone();
                broken[member] = wrong;
                assert!(!schema.is_valid(&broken), "{broken}");
            }
        }
    }
    assert!(schema.is_valid(&example()), "a plain event is one of 1.1 as well");
}

#[test]
fn every_kind_of_work_package_event_is_canonical_and_in_its_page() {
    let page = include_str!("../docs/reference/work-packages.md");
    for kind in Kind::ALL {
        let ours = kind.event_type();
        assert!(CANONICAL.iter().any(|event| event.name == ours.as_str()), "{ours}");
        for name in [ours.as_str(), kind.wire_name(WireVersion::V1), kind.wire_name(WireVersion::V3)] {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
    let group = CANONICAL.iter().filter(|event| event.group == "work package");
    assert_eq!(group.count(), Kind::ALL.len());
    for schema in SCHEMAS.iter().filter(|schema| schema.file.starts_with("work-package/")) {
        let value: Value = serde_json::from_str(schema.text).unwrap();
        every_key_has_a_description(&value, schema.name);
        for member in value["properties"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("`{member}`")), "{}: {member}", schema.name);
        }
    }
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
    // Keys that have no effect together, `defaults` considered, are for the code alone.
    let mut errors = problems.iter().filter(|problem| problem.severity == config::Severity::Error);
    let by_code = by_code.is_some() || errors.all(|problem| problem.code == "no-effect");
    assert_eq!(by_schema.is_empty(), by_code, "{text}\nschema: {by_schema:?}\ncode: {problems:?}");
    by_code
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
        "command: [make, test]",
        "script: a.sh, args: [x, z]",
        "notify: {title: t, priority: high}",
        "email: {to: [a@x, b@x]}",
        "transition: {to: Done}",
        "command: x, timeout: 500ms",
        "command: x, timeout: 10m",
        "command: x, env_from: [SSH_AUTH_SOCK]",
        "command: x, retry: {attempts: 3, backoff: 1s, max_backoff: 1m, on: [failed, tempfail]}",
        "command: x, mode: detach, sandbox: strict, output: never, on_timeout: block",
        "command: x, concurrency_group: g, on_busy: drop",
        "command: x, coalesce: {key: context.task_id, within: 2s}",
        "command: x, sandbox: {level: guard, require: true, network: true, read: [~/.ssh], write: [.git]}",
        "command: x, schema_version: '1'",
        "command: x, tests: [{event: {type: a.b}, expect: {matched: false}}, {name: other, event: {event_type: a.b, context: {a: 1}}, expect: {exit_code: 0, files: {a: true, b: text}}}]",
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
        "command: []",
        "command: [x, 1]",
        "command: x, args: [y]",
        "script: a, args: y",
        "webhook: {}",
        "webhook: {url: ftp://x}",
        "webhook: {url: 'https://x', method: GET}",
        "notify: {body: x}",
        "email: {subject: x}",
        "transition: {}",
        "command: x, notify: {title: t}",
        "command: x, env_from: [LD_PRELOAD]",
        "command: x, env_from: A",
        "command: x, after: b",
        "command: x, retry: {}",
        "command: x, retry: {attempts: 0}",
        "command: x, retry: {attempts: 2, backoff: 5}",
        "command: x, retry: {attempts: 2, on: [sometimes]}",
        "command: x, mode: later",
        "command: x, sandbox: none",
        "command: x, sandbox: {network: true}",
        "command: x, sandbox: {level: guard, allow: all}",
        "command: x, sandbox: {level: guard, write: ['/']}",
        "command: x, trust: true",
        "command: x, output: all",
        "command: x, on_busy: queue",
        "command: x, coalesce: {key: a}",
        "command: x, schema_version: 1",
        "command: x, tests: [{event: {context: {}}}]",
        "command: x, tests: [{event: {type: a.b}, expect: {exit_code: x}}]",
        "command: x, timeout: 1441m",
        "command: x, timeout: 0ms",
        "command: x, timeout: 25h",
        "webhook: x",
        "command: x, timeout: 0",
        "command: x, timeout: 86401",
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
fn schema_and_code_agree_on_filters() {
    let config = |filter: &str| {
        format!("{{version: '1.1', hooks: [{{name: a, events: [{{type: a.b, filter: {filter}}}], command: x}}]}}")
    };
    let compiles = |filter: &str| {
        let text = config(filter);
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        let by_schema = CONFIG.is_valid(&value);
        let mut problems = Vec::new();
        let parsed = config::parse(Path::new("hooks.yaml"), text.as_bytes(), &mut problems).unwrap();
        let entry = &parsed.hooks[0].events[0];
        let by_code = Filter::compile(Path::new("hooks.yaml"), &entry.filter, &mut problems).is_some();
        assert_eq!(by_schema, by_code, "{filter}: {problems:?}");
        by_code
    };
    for good in [
        "{}",
        "{a: x, b: 1, c: true, d: null, e: [x, 1, {prefix: z}]}",
        "{a: {prefix: x}, b: {suffix: {equals-ignore-case: w}}, c: {equals-ignore-case: z}}",
        "{a: {wildcard: 'a*b'}, b: {wildcard: 'a\\*'}}",
        "{a: {anything-but: x}, b: {anything-but: [1, x]}, c: {anything-but: {prefix: [a, b]}}}",
        "{a: {numeric: ['>=', 1]}, b: {numeric: ['>', 0, '<=', 5.5]}}",
        "{a: {exists: true}, b: [{exists: false}, x]}",
        "{a: {cidr: 10.0.0.0/8}}",
        "{l_any: [a, 1], l_all: [b], $.feature: x, a.b.c: z}",
        "{x_any: {prefix: a}}",
        "{$or: [{a: 1}, {b: 2}], c: 3}",
    ] {
        assert!(compiles(good), "{good}");
    }
    for bad in [
        "{a: []}",
        "{a: {}}",
        "{a: {prefx: x}}",
        "{a: {prefix: 1}}",
        "{a: {prefix: x, suffix: z}}",
        "{a: {prefix: {wildcard: x}}}",
        "{a: {wildcard: 'a**b'}}",
        "{a: {wildcard: 'a\\b'}}",
        "{a: {anything-but: []}}",
        "{a: {anything-but: {numeric: ['<', 1]}}}",
        "{a: {numeric: []}}",
        "{a: {numeric: ['>']}}",
        "{a: {numeric: ['!', 1]}}",
        "{a: {numeric: ['<', 1, '>', 0]}}",
        "{a: {exists: 'yes'}}",
        "{a: {cidr: 5}}",
        "{a: [[x]]}",
        "{l_any: x}",
        "{l_all: []}",
        "{$or: [{a: 1}]}",
        "{$or: {a: 1}}",
    ] {
        assert!(!compiles(bad), "{bad}");
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
        ("/definitions/defaults/properties", DEFAULTS_KEYS),
        ("/definitions/hook/properties", HOOK_KEYS),
        ("/definitions/matcher/properties", MATCHER_KEYS),
        ("/definitions/retry/properties", RETRY_KEYS),
        ("/definitions/sandbox/anyOf/1/properties", SANDBOX_KEYS),
        ("/definitions/webhook/properties", WEBHOOK_KEYS),
        ("/definitions/hook/properties/coalesce/properties", COALESCE_KEYS),
        ("/definitions/test/properties", FIXTURE_KEYS),
        ("/definitions/expect/properties", EXPECT_KEYS),
        ("/definitions/operator/properties", OPERATORS),
        ("/definitions/notify/properties", TEXT_ACTIONS[0].1),
        ("/definitions/email/properties", TEXT_ACTIONS[1].1),
        ("/definitions/transition/properties", TEXT_ACTIONS[2].1),
    ] {
        let mut known: Vec<String> = known.iter().map(|key| (*key).to_owned()).collect();
        known.sort();
        assert_eq!(keys(pointer), known, "{pointer}");
    }
    let words = |pointer: &str| -> Vec<String> {
        let words = schema.pointer(pointer).unwrap().as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    for (pointer, known) in [
        ("/definitions/fail_mode/enum", FailMode::WORDS),
        ("/definitions/sandbox_level/enum", Sandbox::WORDS),
        ("/definitions/hook/properties/mode/enum", Mode::WORDS),
        ("/definitions/hook/properties/output/enum", OutputMode::WORDS),
        ("/definitions/hook/properties/on_timeout/enum", OnTimeout::WORDS),
        ("/definitions/hook/properties/stop/enum", StopMode::WORDS),
        ("/definitions/hook/properties/on_busy/enum", OnBusy::WORDS),
    ] {
        assert_eq!(words(pointer), known, "{pointer}");
    }
    assert!(ACTION_KEYS.iter().all(|key| HOOK_KEYS.contains(key)));
    every_key_has_a_description(&schema, "");
    for schema in SCHEMAS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(schema.file);
        assert_eq!(std::fs::read_to_string(path).unwrap(), schema.text);
    }
}

/// That an editor has a description for every key.
fn every_key_has_a_description(schema: &Value, pointer: &str) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (key, value) in properties {
            let described = value.get("description").is_some()
                || value
                    .get("$ref")
                    .is_some_and(|target| target.as_str().is_some_and(|target| target.starts_with("#/definitions/")));
            assert!(described, "{pointer}/{key} has no description");
            every_key_has_a_description(value, &format!("{pointer}/{key}"));
        }
    }
    for (name, definition) in schema.get("definitions").and_then(Value::as_object).into_iter().flatten() {
        assert!(definition.get("description").is_some(), "{name} has no description");
        every_key_has_a_description(definition, name);
    }
}

#[test]
fn what_was_valid_in_1_0_is_valid_in_1_1() {
    let old = validator("config-1.0");
    for text in [scaffold::HOOKS_YAML, include_str!("../hooks.example.yaml")] {
        let mut value: Value = serde_saphyr::from_str(text).unwrap();
        value["version"] = json!("1.0");
        if old.is_valid(&value) {
            assert!(CONFIG.is_valid(&value));
        }
    }
    let plain = "{version: '1.0', defaults: {timeout: 5}, hooks: [{name: a, events: [{type: a.b, filter: {x: [1, w], l_any: [z]}}], script: a.sh}]}";
    let value: Value = serde_saphyr::from_str(plain).unwrap();
    assert!(old.is_valid(&value) && is_config(plain));
}

#[test]
fn the_schema_of_a_policy_has_the_keys_the_code_knows() {
    let schema: Value = serde_json::from_str(schema_text("policy")).unwrap();
    let keys: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, POLICY_KEYS);
    let levels: Vec<&str> = schema["properties"]["sandbox"]["enum"]
        .as_array()
        .unwrap()
        .iter()
        .map(|level| level.as_str().unwrap())
        .collect();
    assert_eq!(levels, Sandbox::WORDS);
}

#[test]
fn the_schema_of_the_settings_has_the_keys_the_code_knows() {
    let schema: Value = serde_json::from_str(schema_text("settings")).unwrap();
    let keys = |schema: &Value| -> Vec<String> { schema["properties"].as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&schema), SETTINGS_KEYS);
    assert_eq!(keys(&schema["properties"]["audit"]), AUDIT_KEYS);
    assert_eq!(schema["properties"]["audit"]["properties"]["durability"]["enum"], serde_json::json!(Durability::WORDS));
    let defaults = &schema["properties"]["audit"]["properties"];
    let built_in = AuditSettings::default();
    assert_eq!((built_in.max_size, &defaults["max_size"]["default"]), (10_000_000, &"10MB".into()));
    assert_eq!(defaults["keep"]["default"], built_in.keep);
    assert_eq!((built_in.retention.as_secs(), &defaults["retention"]["default"]), (30 * 24 * 3600, &"30d".into()));
    assert_eq!(defaults["durability"]["default"], built_in.durability.as_str());
    assert_eq!(defaults["compress"]["default"], built_in.compress);
    let sync = &schema["properties"]["sync"];
    assert_eq!(keys(sync), SYNC_KEYS);
    let (defaults, built_in) = (&sync["properties"], SyncSettings::default());
    assert_eq!((built_in.interval.as_secs(), &defaults["interval"]["default"]), (5, &"5s".into()));
    assert_eq!((built_in.batch_size, &defaults["batch_size"]["default"]), (256 << 10, &"256KiB".into()));
    assert_eq!((built_in.max_events, defaults["max_events"].get("default")), (None, None));
}

#[test]
fn the_reference_of_the_audit_log_has_every_field_and_the_settings_as_they_are() {
    let schema: Value = serde_json::from_str(schema_text("audit")).unwrap();
    let text = include_str!("../docs/reference/audit.md");
    for field in schema["properties"].as_object().unwrap().keys() {
        assert!(text.contains(&format!("`{field}`")), "docs/reference/audit.md does not tell of `{field}`");
    }
    for status in schema["properties"]["status"]["enum"].as_array().unwrap() {
        assert!(text.contains(&format!("`{}`", status.as_str().unwrap())), "{status}");
    }
    shows_the_default_settings(text);
    shows_the_default_settings(include_str!("../docs/sync.md"));
}

/// That the first block of YAML in a page is settings, as they are without any.
fn shows_the_default_settings(page: &str) {
    let block = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("settings.yaml"), block).unwrap();
    let user = UserFolders { config: Some(folder.path().to_owned()), ..UserFolders::default() };
    assert_eq!(UserSettings::load(&user), (UserSettings::default(), Vec::new()), "the defaults");
}

#[test]
fn the_example_config_uses_every_key() {
    for (name, text) in [("hooks.example.yaml", include_str!("../hooks.example.yaml"))] {
        for key in TOP_KEYS.iter().chain(DEFAULTS_KEYS).chain(HOOK_KEYS).chain(MATCHER_KEYS) {
            // `pattern` is only an older spelling, and webhooks are not sent yet.
            let used = text.contains(&format!("{key}:"));
            let not_carried_out = ["webhook", "notify", "email", "transition"].contains(key);
            assert!(used || *key == "pattern" || not_carried_out, "{name} does not use `{key}`");
        }
    }
    let checked = Command::new(env!("CARGO_BIN_EXE_knockon"))
        .args(["validate", "-f", "hooks.example.yaml"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let shown = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(shown, "✓ 7 hooks in 1 file, no problems\n");
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
        for path in below(command) {
            let arguments: Vec<&str> = path.split(' ').chain(["--help"]).collect();
            let help = help(&arguments);
            page.push_str(&format!("\n### {path}\n\n```text\n$ knockon {path} --help\n{help}```\n"));
        }
    }
    pinned("docs/reference/cli.md", &page);
}

/// The commands below one, each with its path, as `--help` shows them.
fn below(command: &str) -> Vec<String> {
    fn walk(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            let path = format!("{path} {}", below.get_name());
            found.push(path.clone());
            walk(below, &path, found);
        }
    }
    let mut whole = knockon::cli::command();
    whole.build();
    let mut found = Vec::new();
    walk(whole.find_subcommand(command).unwrap(), command, &mut found);
    found.retain(|path| !path.ends_with(" help"));
    found
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
