//! Any bytes are a configuration or an error that says where; never a panic, never a place outside of the text.

#![no_main]

use knockon::config::{Severity, parse};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let mut problems = Vec::new();
    let config = parse(Path::new("hooks.yaml"), bytes, &mut problems);
    assert!(config.is_some() || problems.iter().any(|problem| problem.severity == Severity::Error));
    // To YAML a carriage return alone ends a line, too.
    let lines = bytes.split(|byte| b"\r\n".contains(byte)).count();
    for problem in &problems {
        assert!(!problem.to_string().contains('\n'));
        if let Some(span) = problem.span {
            // A parser may place a fault at the end of the text, behind its last line.
            assert!(span.line >= 1 && span.column >= 1 && span.line <= lines + 1, "{problem}");
        }
    }
});
