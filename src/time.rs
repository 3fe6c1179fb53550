//! Points in time as events carry them, and spans of time as people read them.

use crate::text::Written;
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

    /// Whether a text is a date-time of RFC 3339, with any fraction and offset.
    pub fn is_rfc3339(text: &str) -> bool {
        let Some((head, rest)) = text.split_at_checked(19) else { return false };
        let form = b"0000-00-00T00:00:00";
        let head_fits = head.bytes().zip(form).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b't' | b' '),
            _ => byte == *form,
        });
        let rest_of = |rest: &str| rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).to_owned();
        let offset = match rest.strip_prefix('.') {
            Some(fraction) if fraction.starts_with(|digit: char| digit.is_ascii_digit()) => rest_of(fraction),
            Some(_) => return false,
            None => rest.to_owned(),
        };
        let offset_fits = match offset.as_bytes() {
            b"Z" | b"z" => true,
            [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|digit| digit.is_ascii_digit()),
            _ => false,
        };
        if !head_fits || !offset_fits {
            return false;
        }
        // The fraction says nothing about whether the rest is a date.
        let plain = format!("{}T{}{offset}", &head[..10], &head[11..]);
        plain.to_uppercase().parse::<jiff::Timestamp>().is_ok()
    }

    /// The time as it is written: by hand, because every event and every record has one.
    pub fn written(self) -> Written<24> {
        let millis = self.as_millis();
        let (days, of_day) = (millis / 86_400_000, millis % 86_400_000);
        let (year, month, day) = civil(days);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |at: usize, digits: usize, mut number: u64| {
            for place in (at..at + digits).rev() {
                text[place] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        put(0, 4, year);
        put(5, 2, month);
        put(8, 2, day);
        put(11, 2, of_day / 3_600_000);
        put(14, 2, of_day / 60_000 % 60);
        put(17, 2, of_day / 1000 % 60);
        put(20, 3, of_day % 1000);
        Written(text)
    }
}

/// The date of a day since 1970-01-01, up to the year 9999: Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
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
        f.write_str(self.written().as_str())
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
        "h" => number.checked_mul(3600).map(Duration::from_secs),
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
    fn writes_every_day_as_a_calendar_does() {
        for day in (0..2_932_896_u64).step_by(7).chain([58, 59, 60, 365, 11_016, 11_017, 2_932_896 - 1]) {
            let now = Timestamp::from_millis(day * 86_400_000 + 86_399_999);
            assert_eq!(now.to_string(), format!("{:.3}", now.0));
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
    fn a_text_of_any_characters_is_a_time_or_none() {
        let time = "2025-12-01T15:30:45.123Z";
        assert!(Timestamp::is_rfc3339(time));
        for at in 0..time.len() {
            for put in ["\u{36b}", "\u{20ac}", "\u{1f980}", ""] {
                for taken in 0..=put.len().min(time.len() - at) {
                    let text = format!("{}{put}{}", &time[..at], &time[at + taken..]);
                    assert!(!Timestamp::is_rfc3339(&text) || text.is_ascii(), "{text}");
                }
            }
        }
    }

    #[test]
    fn spans_carry_their_unit() {
        for (micros, text) in [(412, "0.4 ms"), (312_400, "312 ms"), (1_240_000, "1.2 s"), (125_000_000, "2 min 5 s")] {
            assert_eq!(human(Duration::from_micros(micros)), text);
        }
    }
}
