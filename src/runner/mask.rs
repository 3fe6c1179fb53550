//! Secrets that hooks are given or can read, kept out of everything that is shown, recorded or passed on.

use crate::project::CREDENTIALS;
use crate::sys;
use serde::Deserialize;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;

/// What stands in place of a secret.
const MASK: &[u8] = b"***";
/// A shorter value is no secret: words such as `true` or `main` would be masked everywhere.
const SHORTEST: usize = 8;
/// The most bytes of the file with the tokens for the team server.
const MAX_CREDENTIALS: usize = 64 * 1024;

/// The tokens for the team server, read when a hook has written something.
#[derive(Debug)]
pub struct Secrets {
    /// The user's state folder.
    state: Option<PathBuf>,
    known: OnceLock<Patterns>,
}

/// What is looked for: each secret as it is, as it stands in a JSON string, and line by line; the longest first.
#[derive(Clone, Default)]
pub(super) struct Patterns(Vec<Vec<u8>>);

/// The secrets of one stream.
#[derive(Debug, Default)]
pub(super) struct Mask {
    own: Patterns,
    /// The end of what came so far, which may be the beginning of a secret.
    held: Vec<u8>,
}

impl Secrets {
    /// Those of the user whose state folder this is.
    pub fn of(state: Option<PathBuf>) -> Self {
        Secrets { state, known: OnceLock::new() }
    }

    pub(super) fn patterns(&self) -> &Patterns {
        self.known.get_or_init(|| self.read().unwrap_or_default())
    }

    fn read(&self) -> Option<Patterns> {
        #[derive(Deserialize)]
        struct Tokens {
            access: String,
            refresh: String,
        }
        let file = sys::open_private(&self.state.as_ref()?.join(CREDENTIALS)).ok()??;
        let Tokens { access, refresh } =
            serde_json::from_slice(&sys::read_capped(&file, MAX_CREDENTIALS).ok()?).ok()?;
        Some(Patterns::of([access.as_ref(), refresh.as_ref()].into_iter()))
    }
}

impl std::fmt::Debug for Patterns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Patterns {
    /// The patterns of these values.
    pub(super) fn of<'v>(values: impl Iterator<Item = &'v OsStr>) -> Self {
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        for value in values {
            let lines = value.as_bytes().split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
            for part in std::iter::once(value.as_bytes()).chain(lines) {
                let text = String::from_utf8_lossy(part);
                if text.chars().count() < SHORTEST {
                    continue;
                }
                let escaped = serde_json::to_string(&text).unwrap_or_default();
                let escaped = escaped.trim_start_matches('"').trim_end_matches('"');
                patterns.push(part.to_vec());
                patterns.push(escaped.as_bytes().to_vec());
            }
        }
        patterns.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        patterns.dedup();
        Patterns(patterns)
    }

    /// `bytes` without the secrets.
    pub(super) fn mask<'b>(&self, more: &Patterns, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        if self.0.is_empty() && more.0.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let (masked, rest) = self.mask_complete(more, bytes);
        Cow::Owned([masked.as_slice(), rest].concat())
    }

    /// `bytes` without the secrets, up to what may be the beginning of one; and that.
    fn mask_complete<'b>(&self, more: &Patterns, bytes: &'b [u8]) -> (Vec<u8>, &'b [u8]) {
        let all = || self.0.iter().chain(&more.0);
        let mut begins = [false; 256];
        all().filter_map(|pattern| pattern.first()).for_each(|first| begins[usize::from(*first)] = true);
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| begins[usize::from(*byte)]) {
            out.extend_from_slice(&rest[..at]);
            rest = &rest[at..];
            if all().any(|pattern| pattern.len() > rest.len() && pattern.starts_with(rest)) {
                return (out, rest);
            }
            let found = all().find(|pattern| rest.starts_with(pattern));
            out.extend_from_slice(if found.is_some() { MASK } else { &rest[..1] });
            rest = &rest[found.map_or(1, Vec::len)..];
        }
        out.extend_from_slice(rest);
        (out, &[])
    }
}

impl Mask {
    /// One for the output of a hook that was given these values.
    pub(super) fn of(own: Patterns) -> Self {
        Mask { own, held: Vec::new() }
    }

    /// The next bytes of the stream without the secrets; what may be the beginning of one comes later.
    pub(super) fn take<'b>(&mut self, secrets: &Secrets, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let more = secrets.patterns();
        if self.own.0.is_empty() && more.0.is_empty() {
            return Cow::Borrowed(bytes);
        }
        self.held.extend_from_slice(bytes);
        let (masked, rest) = self.own.mask_complete(more, &self.held);
        let rest = rest.to_vec();
        self.held = rest;
        Cow::Owned(masked)
    }

    /// What was held back, at the end of the stream: it is no secret.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// A whole text without the secrets.
    pub(super) fn mask<'b>(&self, secrets: &Secrets, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        self.own.mask(secrets.patterns(), bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_however_the_output_is_cut() {
        let values = ["s3cret-value", "s3cret-value-and-more", "short", "two lines\nof a \"key\" of mine", "aaaaaaaab"];
        let patterns = Patterns::of(values.iter().map(|value| OsStr::new(*value)));
        let none = Secrets::of(None);
        let text = "a s3cret-value b s3cret-value-and-more c short d two lines\nof a \"key\" of mine e \
            of a \\\"key\\\" of mine f aaaaaaaaaaaab g s3cret-valu";
        let expected = "a *** b *** c short d *** e *** f aaaa*** g s3cret-valu";
        for step in 1..text.len() {
            let mut mask = Mask::of(patterns.clone());
            let mut out = Vec::new();
            for chunk in text.as_bytes().chunks(step) {
                out.extend_from_slice(&mask.take(&none, chunk));
            }
            out.extend(mask.rest());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "in steps of {step}");
        }
        assert_eq!(&*Mask::of(patterns).mask(&none, text.as_bytes()), expected.as_bytes());
        assert!(matches!(Mask::default().mask(&none, b"x"), Cow::Borrowed(_)));
    }
}
