//! Points in time for people, in UTC as the log has them.

use crate::time::Timestamp;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// 1 January 1970 was the first of these.
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const DAY_MS: u64 = 24 * 3_600_000;

/// The parts of `2025-12-02T15:30:45.123Z`: year, month's name, day of the month, `15:30:45`.
fn parts(at: Timestamp) -> (String, &'static str, String, String) {
    let text = at.to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default().to_owned();
    let month = part(5..7).parse::<usize>().unwrap_or(1);
    let month = MONTHS[(month.max(1) - 1).min(11)];
    (part(0..4), month, part(8..10).trim_start_matches('0').to_owned(), part(11..19))
}

/// `Tuesday, 2 December 2025`
pub(super) fn day(at: Timestamp) -> String {
    let (year, month, day, _) = parts(at);
    format!("{}, {day} {month} {year}", DAYS[(at.as_millis() / DAY_MS % 7) as usize])
}

/// Which day, so that two can be compared.
pub(super) fn day_number(at: Timestamp) -> u64 {
    at.as_millis() / DAY_MS
}

/// `15:30:45`
pub(super) fn clock(at: Timestamp) -> String {
    parts(at).3
}

/// `2 Dec 2025, 15:30`
pub(super) fn moment(at: Timestamp) -> String {
    let (year, month, day, clock) = parts(at);
    format!("{day} {} {year}, {}", &month[..3], clock.get(..5).unwrap_or_default())
}

/// `2 Dec, 15:30:45`
pub(super) fn short(at: Timestamp) -> String {
    let (_, month, day, clock) = parts(at);
    format!("{day} {}, {clock}", &month[..3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_names() {
        for (text, wanted) in [
            ("1970-01-01T00:00:00.000Z", "Thursday, 1 January 1970"),
            ("2024-02-29T23:59:59.999Z", "Thursday, 29 February 2024"),
            ("2025-12-02T15:30:45.123Z", "Tuesday, 2 December 2025"),
        ] {
            assert_eq!(day(Timestamp::parse(text).unwrap()), wanted);
        }
        let at = Timestamp::parse("2025-12-02T15:30:45.123Z").unwrap();
        assert_eq!((moment(at).as_str(), short(at).as_str()), ("2 Dec 2025, 15:30", "2 Dec, 15:30:45"));
    }
}
