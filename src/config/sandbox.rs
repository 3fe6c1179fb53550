//! What a hook may touch: the level of its sandbox, and the rights it declares beyond that.

use super::reader::Reader;
use super::tree::{Node, Span, Value};
use super::words::Sandbox;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};

/// The keys of a `sandbox` that is a mapping.
pub const SANDBOX_KEYS: &[&str] = &["level", "require", "network", "read", "write"];

/// What a hook may touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxRules {
    /// How much is taken from it.
    pub level: Sandbox,
    /// Whether it is refused where the system cannot take all of that.
    pub require: bool,
    /// Whether it may use the network all the same.
    pub network: bool,
    /// Paths it may read all the same: relative to the project, `~/…`, or absolute.
    pub read: Vec<String>,
    /// Paths it may write to all the same.
    pub write: Vec<String>,
}

impl SandboxRules {
    /// The rights it declares, in words; nothing when there are none.
    pub fn declared(&self) -> Option<String> {
        let network = self.network.then(|| "the network".to_owned());
        let paths = |what: &str, paths: &[String]| (!paths.is_empty()).then(|| format!("{what} {}", paths.join(", ")));
        let all = [network, paths("reads", &self.read), paths("writes", &self.write)];
        let all: Vec<String> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

impl Reader<'_> {
    /// A level, or a mapping with one and what goes with it.
    pub(super) fn sandbox(&mut self, node: &Node) -> Option<SandboxRules> {
        let Value::Map(entries) = &node.value else {
            return Some(SandboxRules { level: self.word(node)?, ..SandboxRules::default() });
        };
        self.known_keys(entries, SANDBOX_KEYS, "`sandbox`");
        let Some(level) = node.get("level") else {
            self.missing(node, "`sandbox` has no `level`", "write `level: guard`, or `level: strict`");
            return None;
        };
        let mut flag = |name: &str| node.get(name).and_then(|node| self.boolean(node)).unwrap_or(false);
        let (require, network) = (flag("require"), flag("network"));
        let mut paths = |name: &str| node.get(name).map(|node| self.rights(node)).unwrap_or_default();
        let (read, write) = (paths("read"), paths("write"));
        Some(SandboxRules { level: self.word(level)?, require, network, read, write })
    }

    fn rights(&mut self, node: &Node) -> Vec<String> {
        let paths = self.texts(node, "a list of paths").unwrap_or_default();
        let sound = |(path, span): &(String, Span)| match unsound(path) {
            None => true,
            Some(why) => {
                self.error(*span, "bad-value", format!("`{}` {why}", crate::text::one_line(path)));
                false
            }
        };
        let mut sound = sound;
        paths.into_iter().filter(|path| sound(path)).map(|(path, _)| path).collect()
    }
}

/// Why a path says nothing about what may be touched.
fn unsound(path: &str) -> Option<&'static str> {
    let below = path.strip_prefix("~/").unwrap_or(path);
    let names = Path::new(below).components().any(|part| matches!(part, Component::Normal(_)));
    let up = Path::new(below).components().any(|part| part == Component::ParentDir);
    match path {
        "" => Some("names nothing"),
        _ if path.contains('\0') => Some("has a NUL character in it"),
        _ if up => Some("goes up with `..`; write where it leads"),
        "~" => Some("is everything; name what is needed"),
        _ if !names => Some("is everything; name what is needed"),
        _ if below.len() < path.len() && below.starts_with('/') => Some("is everything; name what is needed"),
        _ if Path::new(path).starts_with("/proc") => Some("leads anywhere"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_everything_however_it_is_written() {
        for path in [
            "",
            "/",
            "//",
            "/.",
            "/./",
            "~",
            "~/",
            "~//",
            "~/.",
            "~/./",
            "~//etc",
            ".",
            "./",
            "a/../..",
            "/proc/self/root",
            "a\0b",
        ] {
            assert!(unsound(path).is_some(), "{path:?}");
        }
        for path in ["a", ".git", "./a", "~/.ssh", "/var/cache/x"] {
            assert_eq!(unsound(path), None, "{path:?}");
        }
    }
}
