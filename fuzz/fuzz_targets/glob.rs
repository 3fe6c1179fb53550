//! Globs against their plain definition, worked out for every beginning of both texts.
//!
//! The input is the glob, a NUL, and the text.

#![no_main]

use knockon::matcher::{FileGlobs, TypeGlob, Wildcard};
use libfuzzer_sys::fuzz_target;

/// Whether a glob of `*`, `?` and plain characters fits: reach[j] is whether the glob so far fits text[..j].
fn fits(glob: &[char], text: &[char], question: bool) -> bool {
    let mut reach = vec![false; text.len() + 1];
    reach[0] = true;
    for &token in glob {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match token {
                '*' => reach[..=at].iter().any(|&reached| reached),
                '?' if question => at > 0 && reach[at - 1],
                plain => at > 0 && reach[at - 1] && text[at - 1] == plain,
            };
        }
        reach = next;
    }
    reach[text.len()]
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(input) = std::str::from_utf8(bytes) else { return };
    let Some((glob, text)) = input.split_once('\0') else { return };
    if glob.len() > 200 || text.len() > 400 {
        return;
    }
    let (tokens, characters): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    if let Ok(parsed) = TypeGlob::parse(glob) {
        let found = parsed.matches(text);
        if !glob.contains('[') {
            assert_eq!(found, fits(&tokens, &characters, true), "{glob:?} {text:?}");
        }
    }
    if let Ok(parsed) = Wildcard::parse(glob) {
        let found = parsed.fits(text);
        if !glob.contains('\\') {
            assert_eq!(found, fits(&tokens, &characters, false), "{glob:?} {text:?}");
        }
    }
    if let Ok(parsed) = FileGlobs::parse([glob]) {
        let found = parsed.fit(text);
        let simple = !glob.contains(['[', '{', '/', '!', '\\']) && !glob.contains("**") && !text.contains('/');
        if simple && !text.starts_with("./") {
            assert_eq!(found, fits(&tokens, &characters, true), "{glob:?} {text:?}");
        }
    }
});
