//! What a plain YAML word means: YAML 1.1 as PyYAML reads it, which flowspec's files are written for.
//!
//! Left out are its dates and base-60 numbers, which nobody means in a configuration of hooks.

use super::tree::Value;
use granit_parser::{ScalarStyle, Tag};
use std::borrow::Cow;

/// The value of a scalar.
///
/// # Errors
/// Its tag is not understood or does not fit; the text says so.
pub(super) fn resolve(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let Some(tag) = tag else {
        let value = if style == ScalarStyle::Plain { plain(&text) } else { None };
        return Ok(value.unwrap_or_else(|| Value::Text(text.into_owned())));
    };
    let shown = crate::text::one_line(&tag.original());
    let fitting = match tag.core_suffix() {
        Some("str") => return Ok(Value::Text(text.into_owned())),
        Some("null") => plain(&text).filter(|value| matches!(value, Value::Null)),
        Some("bool") => plain(&text).filter(|value| matches!(value, Value::Boolean(_))),
        Some("int") => plain(&text).filter(|value| matches!(value, Value::Integer(_))),
        Some("float") => number(&text).map(Value::Float),
        _ => return Err(format!("the tag {shown} is not understood")),
    };
    fitting.ok_or_else(|| format!("this does not fit its tag {shown}"))
}

/// What a word without quotes means, unless it is a string.
fn plain(text: &str) -> Option<Value> {
    // Most words begin with a letter that begins no other kind.
    let first = text.bytes().next();
    match first {
        None => return Some(Value::Null),
        Some(b'~' | b'n' | b'N' | b'y' | b'Y' | b't' | b'T' | b'f' | b'F' | b'o' | b'O') => {}
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => return integer(text).map(Value::Integer).or_else(|| float(text)),
        Some(_) => return None,
    }
    match text {
        "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(Value::Boolean(true)),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(Value::Boolean(false)),
        _ => None,
    }
}

fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().next()?.is_ascii_alphanumeric() {
        return None;
    }
    let value = if digits.contains('_') {
        i128::from_str_radix(&digits.replace('_', ""), radix)
    } else {
        i128::from_str_radix(digits, radix)
    };
    value.ok().map(|value| if negative { -value } else { value })
}

fn float(text: &str) -> Option<Value> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Some(Value::Float(sign * f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" => return Some(Value::Float(f64::NAN)),
        _ => {}
    }
    let numeric = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-' | b'_');
    let is_number = unsigned.bytes().all(numeric)
        && unsigned.contains(['.', 'e', 'E'])
        && unsigned.bytes().any(|byte| byte.is_ascii_digit());
    is_number.then(|| number(text)).flatten().map(Value::Float)
}

fn number(text: &str) -> Option<f64> {
    let value: f64 = if text.contains('_') { text.replace('_', "").parse() } else { text.parse() }.ok()?;
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_pyyaml_says() {
        let text = |text: &str| Value::Text(text.into());
        for (word, value) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("null", Value::Null),
            ("yes", Value::Boolean(true)),
            ("Off", Value::Boolean(false)),
            ("y", text("y")),
            ("nO", text("nO")),
            ("0", Value::Integer(0)),
            ("-12", Value::Integer(-12)),
            ("1_000", Value::Integer(1000)),
            ("0x1F", Value::Integer(31)),
            ("0o17", Value::Integer(15)),
            ("017", Value::Integer(15)),
            ("08", text("08")),
            ("1.5", Value::Float(1.5)),
            ("1e3", Value::Float(1000.0)),
            (".5", Value::Float(0.5)),
            ("-.inf", Value::Float(f64::NEG_INFINITY)),
            ("1.0.0", text("1.0.0")),
            ("12:30", text("12:30")),
            ("2025-12-02", text("2025-12-02")),
            ("-", text("-")),
            ("1e999", text("1e999")),
            ("task.completed", text("task.completed")),
            ("+", text("+")),
            ("0x", text("0x")),
        ] {
            let resolved = resolve(word.into(), ScalarStyle::Plain, None).unwrap();
            assert_eq!(resolved, value, "{word}");
            let quoted = resolve(word.into(), ScalarStyle::SingleQuoted, None).unwrap();
            assert_eq!(quoted, text(word));
        }
    }
}
