//! The forms that code scanning and GitHub read: SARIF, and workflow commands.

use crate::text::one_line;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Results as one SARIF run. `rules` are the ids that they name.
pub(super) fn sarif<'a>(rules: impl Iterator<Item = &'a str>, results: Vec<Value>) -> Value {
    let rules: BTreeSet<&str> = rules.collect();
    let rules: Vec<Value> = rules.into_iter().map(|id| json!({ "id": id })).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "knockon", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A place in a file for SARIF: a path of a repository, or an absolute one.
pub(super) fn location(path: &Path, region: Option<Value>) -> Value {
    let mut physical = json!({ "artifactLocation": { "uri": uri(path) } });
    if let Some(region) = region {
        physical["region"] = region;
    }
    json!({ "physicalLocation": physical })
}

/// A path as a URI reference (RFC 3986): an absolute one has the `file` scheme.
fn uri(path: &Path) -> String {
    let scheme = if path.is_relative() { "" } else { "file://" };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let encoded = path.as_os_str().as_encoded_bytes().iter().map(|&byte| match byte {
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    format!("{scheme}{}", encoded.collect::<String>())
}

/// A workflow command of GitHub Actions: `level` is `notice`, `warning` or `error`; `place` are properties that
/// say where, such as `line=3`.
pub(super) fn workflow_command(
    level: &str,
    file: Option<&str>,
    place: &[(&str, usize)],
    title: &str,
    message: &str,
) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let file = file.map(|file| format!("file={},", property(&one_line(file)))).unwrap_or_default();
    let place: String = place.iter().map(|(name, number)| format!("{name}={number},")).collect();
    format!("::{level} {file}{place}title={}::{}", property(title), data(&one_line(message)))
}
