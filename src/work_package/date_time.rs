//! A date-time of RFC 3339, with any offset, as the sync wire has it.

use crate::time::Timestamp;

/// Reads a `date-time` of RFC 3339, 5.6; nothing for any other text. Milliseconds since 1970, which may be before it;
/// a leap second counts as the one before.
fn read(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (date, rest) = bytes.split_at_checked(10)?;
    let (b'T' | b't', time) = rest.split_first()? else { return None };
    let (clock, rest) = time.split_at_checked(8)?;
    if date[4] != b'-' || date[7] != b'-' || clock[2] != b':' || clock[5] != b':' {
        return None;
    }
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
    let (hour, minute, second) = (number(&clock[..2])?, number(&clock[3..5])?, number(&clock[6..])?);
    let fits = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if !fits || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (millis, offset) = fraction(rest)?;
    let offset = offset_minutes(offset)?;
    let minutes = hour * 60 + minute - offset;
    // Leap seconds are put in at the end of a day in UTC.
    if second == 60 && minutes.rem_euclid(24 * 60) != 24 * 60 - 1 {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + minutes * 60 + second.min(59);
    Some(seconds * 1000 + millis)
}

/// Whether a text is a `date-time` of RFC 3339.
pub(super) fn is_date_time(text: &str) -> bool {
    read(text).is_some()
}

/// The same point in time as our events write it; one outside the years 1970 to 9999 counts as 1970.
pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    read(text).map(|millis| Timestamp::from_millis(u64::try_from(millis).unwrap_or(0)))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

/// The milliseconds behind the point, and what follows them.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = rest.split_first() else { return Some((0, rest)) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at(length);
    let place = |at: usize| digits.get(at).map_or(0, |digit| i64::from(digit - b'0'));
    (length > 0).then(|| (place(0) * 100 + place(1) * 10 + place(2), rest))
}

fn offset_minutes(offset: &[u8]) -> Option<i64> {
    match offset {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', ten, one] if hours.len() == 2 => {
            let (hours, minutes) = (number(hours)?, number(&[*ten, *one])?);
            let total = (hours <= 23 && minutes <= 59).then_some(hours * 60 + minutes)?;
            Some(if *sign == b'-' { -total } else { total })
        }
        _ => None,
    }
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_any_offset_and_fraction() {
        for (text, ours) in [
            ("2025-12-02T15:30:45Z", "2025-12-02T15:30:45.000Z"),
            ("2025-12-02t15:30:45.1z", "2025-12-02T15:30:45.100Z"),
            ("2025-12-02T15:30:45.123987+00:00", "2025-12-02T15:30:45.123Z"),
            ("2025-12-02T00:30:45-05:30", "2025-12-02T06:00:45.000Z"),
            ("2025-01-01T00:30:00+01:00", "2024-12-31T23:30:00.000Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000Z"),
            ("1969-12-31T23:59:59Z", "1970-01-01T00:00:00.000Z"),
            ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00.000Z"),
        ] {
            assert_eq!(timestamp(text).unwrap().to_string(), ours, "{text}");
        }
        for text in [
            "",
            "2025-12-02",
            "2025-12-02T15:30:45",
            "2025-12-02 15:30:45Z",
            "2025-12-02T15:30Z",
            "2025-02-29T15:30:45Z",
            "2025-13-01T15:30:45Z",
            "2025-12-02T24:00:00Z",
            "2025-12-02T15:30:45.Z",
            "2025-12-02T15:30:45+0100",
            "2025-12-02T15:30:45+24:00",
            "2025-12-02T15:30:60Z",
            "2025-12-02T15:30:45Zx",
            "2025-12-02T15:30:4\u{660}Z",
        ] {
            assert!(!is_date_time(text), "{text}");
        }
    }

    #[test]
    fn days_are_those_of_our_own_calendar() {
        for millis in (0..4_000_000_000_000u64).step_by(86_400_000 * 13 + 977) {
            let time = Timestamp::from_millis(millis);
            assert_eq!(timestamp(&time.to_string()), Some(time));
        }
    }
}
