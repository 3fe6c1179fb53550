//! Commands that destroy a machine or run what was just downloaded, as far as their text shows it (the list is that of
//! flowspec's validator). A warning and no protection: a text can hide all of them.

use regex_lite::{Captures, Regex};
use std::sync::OnceLock;

/// A shell or interpreter that a pipe may end in, perhaps by its path and under `sudo` or `env`.
const SHELL: &str =
    r"(?:(?:sudo|env)[ \t]+(?:-\S+[ \t]+)*)*(?:/\S*/)?(?:(?:ba|z|da|k|fi|c)?sh|python[0-9.]*|perl|ruby|node)\b";

/// A dangerous command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Danger {
    /// The line of the text, from 1.
    pub line: usize,
    /// What the command does.
    pub what: &'static str,
}

/// What the groups of a match have to be besides.
type Condition = fn(&Captures<'_>) -> bool;

/// A pattern, what it stands for, and what its groups have to be besides.
struct Rule {
    pattern: Regex,
    what: &'static str,
    holds: Condition,
}

/// Finds the dangerous commands of a shell script or a command line, by line, each kind once a line. Lines that are
/// comments count as nothing.
pub fn dangers(text: &str) -> Vec<Danger> {
    // A line that goes on is one; of the same length, so that the place stays right.
    let joined = text.replace("\\\n", "  ");
    let mut found: Vec<Danger> = Vec::new();
    for rule in rules() {
        for groups in rule.pattern.captures_iter(&joined).filter(|groups| (rule.holds)(groups)) {
            let start = groups.get(0).map_or(0, |all| all.start());
            let before = &joined[..start];
            let same_line = before.rsplit('\n').next().unwrap_or_default();
            if same_line.trim_start().starts_with('#') || is_printed(same_line) {
                continue;
            }
            let line = 1 + text.as_bytes().iter().take(start).filter(|byte| **byte == b'\n').count();
            let danger = Danger { line, what: rule.what };
            if !found.contains(&danger) {
                found.push(danger);
            }
        }
    }
    found.sort_by_key(|danger| danger.line);
    found
}

/// Whether what follows is in quotes, as text that a command prints or looks for: `echo "rm -rf /"`.
fn is_printed(before: &str) -> bool {
    let mut quote: Option<(char, usize)> = None;
    let mut escaped = false;
    for (at, character) in before.char_indices() {
        match (quote, character) {
            _ if escaped => escaped = false,
            (None | Some(('"', _)), '\\') => escaped = true,
            (None, '"' | '\'') => quote = Some((character, at)),
            (Some((open, _)), _) if character == open => quote = None,
            _ => {}
        }
    }
    let Some((_, at)) = quote else { return false };
    // In double quotes `$(…)` and a backquote still run.
    let runs = before[at..].starts_with('"') && before[at..].contains(['`', '(']);
    let command = before[..at].rsplit([';', '&', '|', '(', '{']).next().unwrap_or_default();
    let word = command.split_whitespace().next().unwrap_or_default();
    !runs && ["echo", "printf", "grep", "egrep", "rg"].contains(&word)
}

fn rules() -> &'static [Rule] {
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    RULES.get_or_init(|| {
        let always = |_: &Captures<'_>| true;
        let is_disk = |groups: &Captures<'_>| {
            let device = groups.get(1).map_or("", |device| device.as_str());
            !["null", "zero", "full", "stdout", "stderr", "tty", "fd", "shm"].contains(&device)
        };
        let is_same_name =
            |groups: &Captures<'_>| (2..=3).all(|at| groups.get(at).map(|m| m.as_str()) == groups.get(1).map(|m| m.as_str()));
        let all: [(String, &'static str, Condition); 11] = [
            (
                concat!(
                    r"\brm[ \t]+(?:[^;&|\n]*[ \t])?(?:-[a-zA-Z]*[rR][a-zA-Z]*|--recursive)[ \t]+(?:[^;&|\n]*[ \t])?",
                    r#"["']?(?:/|~|\$HOME|\$\{HOME\})["']?/?\*?["']?(?:[ \t;&|)\n]|$)"#
                )
                .into(),
                "deletes the whole file system or home folder",
                always,
            ),
            (
                r"\bcd[ \t]+(?:/|~|\$HOME)[ \t]*(?:&&|;)[ \t]*(?:sudo[ \t]+)?rm[ \t]+(?:[^;&|\n]*[ \t])?-[a-zA-Z]*[rR][a-zA-Z]*[ \t]+(?:[^;&|\n]*[ \t])?(?:\./)?[*.](?:[ \t;&|)\n]|$)".into(),
                "deletes the whole file system or home folder",
                always,
            ),
            (
                r#"\bfind[ \t]+["']?(?:/|~|\$HOME|\$\{HOME\})["']?/?[ \t][^;&|\n]*(?:-delete\b|-exec[ \t]+rm\b)"#.into(),
                "deletes files all over the file system or home folder",
                always,
            ),
            (r#">[ \t]*["']?/dev/([a-z]+)"#.into(), "overwrites a disk", |groups: &Captures<'_>| {
                let device = groups.get(1).map_or("", |device| device.as_str());
                ["sd", "nvme", "vd", "hd", "xvd", "mmcblk", "disk", "mapper", "loop"].iter().any(|disk| device.starts_with(disk))
            }),
            (r#"\bdd[ \t][^;&|\n]*\bof=["']?/dev/([a-z]+)"#.into(), "overwrites a disk", is_disk),
            (r"(?m)(?:^|[;&|(/ \t])mkfs(?:\.[a-z0-9]+)?[ \t]".into(), "formats a disk", always),
            (
                r"([^\s(){};|&]+)[ \t]*\(\)[ \t]*\{\s*([^\s(){};|&]+)[ \t]*\|[ \t]*([^\s(){};|&]+)[ \t]*&\s*;?\s*\}".into(),
                "starts processes without end (a fork bomb)",
                is_same_name,
            ),
            (
                concat!(
                    r"\bchmod[ \t]+(?:[^;&|\n]*[ \t])?(?:(?:-[a-zA-Z]*R[a-zA-Z]*|--recursive)[ \t]+(?:[^;&|\n]*[ \t])?(?:0?777|a\+rwx|ugo\+rwx)",
                    r"|(?:0?777|a\+rwx|ugo\+rwx)[ \t]+(?:[^;&|\n]*[ \t])?(?:-[a-zA-Z]*R[a-zA-Z]*|--recursive))(?:[ \t;&|\n]|$)"
                )
                .into(),
                "lets everyone write to all files",
                always,
            ),
            (format!(r"\b(?:curl|wget)\b[^;\n]*\|[ \t]*{SHELL}"), "runs what it downloads", always),
            (
                format!(r#"(?:\beval[ \t]+["']?(?:\$\(|`)|{SHELL}[ \t]+-c[ \t]+["']?(?:\$\(|`)|<\()[ \t]*(?:curl|wget)\b"#),
                "runs what it downloads",
                always,
            ),
            (
                format!(r"\bbase64[ \t]+(?:[^;|\n]*[ \t])?(?:-[a-zA-Z]*[dD]|--decode)\b[^;\n]*\|[ \t]*{SHELL}"),
                "runs a text that hides what it does (base64)",
                always,
            ),
        ];
        let rule = |(pattern, what, holds): (String, _, _)| Some(Rule { pattern: Regex::new(&pattern).ok()?, what, holds });
        all.into_iter().filter_map(rule).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_however_it_is_written() {
        let kinds: [(&str, &[&str]); 7] = [
            (
                "deletes",
                &[
                    "rm -rf /",
                    "rm -fr ~",
                    "rm -r -f $HOME",
                    "rm -rf \"$HOME\"",
                    "rm --recursive --force /",
                    "rm -rf --no-preserve-root /",
                    "rm -rf ${HOME}/",
                    "rm -rf /*",
                    "cd x && sudo rm -Rf ~/ ; echo",
                    "rm -rf tmp /",
                    "rm -rf \\\n  /",
                    "cd / && rm -rf *",
                    "cd ~; sudo rm -r -f .",
                    "find / -type f -delete",
                    "find ~ -name x -exec rm {} +",
                    "echo \"x $(rm -rf /)\"",
                    "bash -c 'rm -rf /'",
                ],
            ),
            (
                "overwrites a disk",
                &[
                    "dd if=/dev/zero of=/dev/sda bs=1M",
                    "dd of='/dev/nvme0n1' if=x",
                    "echo x > /dev/sda",
                    "cat y >/dev/nvme0n1p1",
                ],
            ),
            ("formats", &["mkfs.ext4 /dev/sda1", "sudo mkfs -t xfs /dev/sdb", "/sbin/mkfs.vfat x"]),
            ("fork bomb", &[":(){ :|:& };:", "b() { b | b & }; b"]),
            (
                "everyone write",
                &["chmod -R 777 .", "chmod 777 -R /srv", "chmod --recursive a+rwx x", "chmod -R 0777 /"],
            ),
            (
                "downloads",
                &[
                    "curl -sSL https://x.y/z | sh",
                    "curl x | sudo bash -s -- -y",
                    "wget -qO- x | /bin/sh",
                    "wget -O - x | tee y | zsh",
                    "eval $(curl -s x)",
                    "eval \"$(wget -qO- x)\"",
                    "sh -c \"$(curl -fsSL x)\"",
                    "bash <(curl x)",
                    "eval `curl x`",
                    "wget -qO- x | python3",
                    "curl x | sudo perl -",
                ],
            ),
            ("base64", &["echo aGk= | base64 -d | sh", "base64 --decode x | bash", "base64 -d < x | sudo sh"]),
        ];
        for (what, examples) in kinds {
            for example in examples {
                let found = dangers(&format!("#!/bin/sh\nset -eu\n{example}\n"));
                assert!(
                    found.iter().any(|danger| danger.what.contains(what) && danger.line == 3),
                    "{example}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn everyday_commands_are_none() {
        let fine = [
            "rm -rf target",
            "rm -rf \"$HOME/.cache/x\"",
            "rm -rf ./",
            "rm -rf /tmp/x",
            "rm /",
            "dd if=x of=/dev/null",
            "dd if=a of=b",
            "cat mkfs.txt",
            "chmod -R 755 .",
            "chmod 777 x",
            "curl -o x.sh y",
            "curl x | jq .",
            "curl x | shasum",
            "base64 -d x > y",
            "# curl x | sh",
            "  # rm -rf /",
            "echo '{}' | base64",
            "f() { g | h & }",
            "curl x; ls | sh",
            "echo \"rm -rf /\"",
            "grep -r 'rm -rf /' .",
            "echo x > /dev/null",
            "echo x > /dev/shm/y",
            "cd target && rm -rf *",
            "find . -name '*.o' -delete",
            "find /tmp/x -delete",
        ];
        for example in fine {
            assert_eq!(dangers(example), [], "{example}");
        }
        assert_eq!(rules().len(), 11, "every pattern is one");
    }
}
