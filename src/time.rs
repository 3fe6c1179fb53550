//! Points in time as events carry them, and spans of time as people read them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time: UTC with whole milliseconds, written `2025-12-02T15:30:45.123Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The time of the system clock; a clock outside the years 1970 to 9999 counts as 1970.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_millis(u64::try_from(since.as_millis()).unwrap_or(0))
    }

    /// The point `millis` milliseconds after 1970-01-01T00:00:00Z.
    pub fn from_millis(millis: u64) -> Self {
        let millis = i64::try_from(millis).unwrap_or(0);
        Timestamp(jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millisecond()).unwrap_or(0)
    }

    /// Reads exactly the form that [`Timestamp`] is written in; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        const FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
        let fits = text.len() == FORM.len()
            && text.bytes().zip(FORM).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                _ => byte == *form,
            });
        // A leap second is a valid time (RFC 3339, 5.6) that jiff reads as second 59.
        fits.then(|| text.parse().ok()).flatten().map(Timestamp)
    }
}

impl Timestamp {
    /// Reads what a person writes: a time in RFC 3339, in UTC without a zone, or a date, which is its beginning in UTC.
    pub fn read(text: &str) -> Option<Self> {
        let whole = match text.len() {
            10 => format!("{text}T00:00:00Z"),
            // Without a zone it is UTC, as everything that is shown.
            19 => format!("{text}Z"),
            _ => text.to_owned(),
        };
        whole.parse().ok().map(Timestamp)
    }
}

/// Reads how long before `now`, such as `30m`, `2h`, `7d` or `2w`, or a time as [`Timestamp::read`] does.
pub fn read_since(text: &str, now: Timestamp) -> Option<Timestamp> {
    let Some(ago) = parse_span(text) else { return Timestamp::read(text) };
    let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
    Some(Timestamp::from_millis(now.as_millis().saturating_sub(ago)))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

/// A span of time for people: `0.4 ms`, `312 ms`, `1.2 s`, `2 min 5 s`.
pub fn human(span: Duration) -> String {
    let millis = span.as_secs_f64() * 1e3;
    match millis {
        ..9.95 => format!("{millis:.1} ms"),
        ..999.5 => format!("{millis:.0} ms"),
        ..59_950.0 => format!("{:.1} s", millis / 1e3),
        _ => format!("{} min {} s", span.as_secs() / 60, span.as_secs() % 60),
    }
}

/// Reads a duration such as `500ms`, `30s` or `5m`: a whole number and its unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

/// Reads a longer span, such as `90s`, `30m`, `2h`, `7d` or `2w`.
pub fn parse_span(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = match &text[digits..] {
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return parse_duration(text),
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
}

/// A duration as a configuration writes it: `30 s`, `500 ms`.
pub fn exact(span: Duration) -> String {
    match span.subsec_millis() {
        0 => format!("{} s", span.as_secs()),
        _ => format!("{} ms", span.as_millis()),
    }
}

/// A span of time in milliseconds, with microseconds behind the point, as the audit log keeps it.
pub fn millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_milliseconds_and_z() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_764_689_445_123, "2025-12-02T15:30:45.123Z"),
            (1_764_689_445_120, "2025-12-02T15:30:45.120Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
            assert_eq!(Timestamp::parse(text).unwrap().as_millis(), millis);
        }
    }

    #[test]
    fn reads_only_the_form_of_the_contract() {
        for text in [
            "2025-12-02T15:30:45Z",
            "2025-12-02T15:30:45.123456Z",
            "2025-12-02T15:30:45.123+00:00",
            "2025-12-02 15:30:45.123Z",
            "2025-13-02T15:30:45.123Z",
            "2025-02-30T15:30:45.123Z",
            "",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn reads_how_long_ago_or_when() {
        let now = Timestamp::parse("2025-12-02T15:30:45.123Z").unwrap();
        for (text, since) in [
            ("90s", "2025-12-02T15:29:15.123Z"),
            ("30m", "2025-12-02T15:00:45.123Z"),
            ("2h", "2025-12-02T13:30:45.123Z"),
            ("7d", "2025-11-25T15:30:45.123Z"),
            ("2w", "2025-11-18T15:30:45.123Z"),
            ("0d", "2025-12-02T15:30:45.123Z"),
            ("18446744073709551615s", "1970-01-01T00:00:00.000Z"),
            ("2025-11-30", "2025-11-30T00:00:00.000Z"),
            ("2025-11-30 10:00:00", "2025-11-30T10:00:00.000Z"),
            ("2025-11-30 10:00:00Z", "2025-11-30T10:00:00.000Z"),
            ("2025-11-30T10:00:00+02:00", "2025-11-30T08:00:00.000Z"),
        ] {
            assert_eq!(read_since(text, now).map(|time| time.to_string()).as_deref(), Some(since), "{text}");
        }
        for text in ["", "m", "7", "-7d", "7 d", "7D", "1.5h", "18446744073709551616s", "yesterday", "2025-13-01", "²d"]
        {
            assert_eq!(read_since(text, now), None, "{text}");
        }
    }

    #[test]
    fn spans_carry_their_unit() {
        for (micros, text) in [(412, "0.4 ms"), (312_400, "312 ms"), (1_240_000, "1.2 s"), (125_000_000, "2 min 5 s")] {
            assert_eq!(human(Duration::from_micros(micros)), text);
        }
    }
}
