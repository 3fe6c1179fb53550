//! When to try again after the live connection was lost, and when to give up on it. Pure.

use std::fmt;
use std::time::Duration;

/// How often it is tried, before events go in batches only.
pub const MOST_ATTEMPTS: u32 = 10;
/// The delay before the first attempt.
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// No delay is longer, but for the jitter.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// Each delay is this much shorter or longer, at most.
const JITTER_MILLIS: u64 = 1000;
/// A connection that lasted this long begins the count anew; one that is lost sooner is as good as none.
const STEADY: Duration = LONGEST_DELAY;

/// How the live connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveState {
    /// Events go out as they are made.
    Connected,
    /// It was lost, and is tried again.
    Reconnecting {
        /// From 1 to [`MOST_ATTEMPTS`].
        attempt: u32,
        /// How long to wait before it.
        after: Duration,
    },
    /// It was tried often enough: events go in batches.
    BatchMode,
}

impl fmt::Display for LiveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LiveState::Connected => "Connected",
            LiveState::Reconnecting { .. } => "Reconnecting",
            LiveState::BatchMode => "Offline - Batch Mode",
        })
    }
}

/// Counts attempts: 10 of them, min(500 ms × 2ⁿ, 30 s) ± 1 s apart, then batch mode.
#[derive(Clone, Debug)]
pub struct Reconnect {
    failures: u32,
    state: LiveState,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self::new()
    }
}

impl Reconnect {
    /// Nothing was tried yet: the first attempt is due at once.
    pub fn new() -> Self {
        Reconnect { failures: 0, state: LiveState::Reconnecting { attempt: 1, after: Duration::ZERO } }
    }

    /// How it is doing.
    pub fn state(&self) -> LiveState {
        self.state
    }

    /// An attempt succeeded.
    pub fn connected(&mut self) -> LiveState {
        self.state = LiveState::Connected;
        self.state
    }

    /// An attempt failed, or the connection was lost after it had `lasted` so long. `random` spreads the attempts of
    /// many machines.
    pub fn lost(&mut self, lasted: Duration, random: u64) -> LiveState {
        if lasted >= STEADY {
            self.failures = 0;
        }
        self.state = if self.failures >= MOST_ATTEMPTS {
            LiveState::BatchMode
        } else {
            let after = delay(self.failures, random);
            self.failures += 1;
            LiveState::Reconnecting { attempt: self.failures, after }
        };
        self.state
    }

    /// It makes no sense to go on, such as when the server wants another sign-in.
    pub fn give_up(&mut self) -> LiveState {
        self.failures = MOST_ATTEMPTS;
        self.state = LiveState::BatchMode;
        self.state
    }

    /// Begins anew, such as when a batch got through or the user signed in.
    pub fn again(&mut self) -> LiveState {
        *self = Self::new();
        self.state
    }
}

fn delay(failures: u32, random: u64) -> Duration {
    let doubled = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(failures));
    let later = Duration::from_millis(random % (2 * JITTER_MILLIS + 1));
    (doubled.min(LONGEST_DELAY) + later).saturating_sub(Duration::from_millis(JITTER_MILLIS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `random` that changes nothing.
    const MIDDLE: u64 = JITTER_MILLIS;

    fn after(state: LiveState) -> u128 {
        match state {
            LiveState::Reconnecting { after, .. } => after.as_millis(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn ten_attempts_then_batch_mode() {
        let mut reconnect = Reconnect::new();
        assert_eq!(after(reconnect.state()), 0);
        let delays: Vec<u128> = (0..10).map(|_| after(reconnect.lost(Duration::ZERO, MIDDLE))).collect();
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
        for _ in 0..3 {
            assert_eq!(reconnect.lost(Duration::ZERO, MIDDLE), LiveState::BatchMode);
        }
        assert_eq!(after(reconnect.again()), 0);
    }

    #[test]
    fn a_delay_is_at_most_a_second_off_and_never_negative() {
        for failures in [0, 1, 5, 6, 9, 31, 32, 64, u32::MAX] {
            let exact = delay(failures, MIDDLE).as_millis();
            for random in (0..4000).chain(u64::MAX - 4000..=u64::MAX) {
                let delay = delay(failures, random).as_millis();
                assert!(delay.abs_diff(exact) <= 1000 && delay <= 31_000, "{failures} {random}: {delay}");
            }
        }
        assert_eq!((delay(0, 0).as_millis(), delay(0, 2000).as_millis()), (0, 1500));
    }

    #[test]
    fn only_a_connection_that_lasted_begins_the_count_anew() {
        let mut reconnect = Reconnect::new();
        for attempt in 1..=MOST_ATTEMPTS {
            assert_eq!(reconnect.connected(), LiveState::Connected);
            let lost = reconnect.lost(Duration::from_secs(1), MIDDLE);
            assert!(matches!(lost, LiveState::Reconnecting { attempt: told, .. } if told == attempt));
        }
        reconnect.connected();
        assert_eq!(reconnect.lost(Duration::from_secs(1), MIDDLE), LiveState::BatchMode);
        reconnect.connected();
        assert_eq!(after(reconnect.lost(STEADY, MIDDLE)), 500);
        assert_eq!(reconnect.give_up(), LiveState::BatchMode);
        assert_eq!(reconnect.lost(Duration::ZERO, MIDDLE), LiveState::BatchMode);
    }

    #[test]
    fn states_are_told_in_the_words_of_the_contract() {
        let told =
            [LiveState::Connected, Reconnect::new().state(), LiveState::BatchMode].map(|state| state.to_string());
        assert_eq!(told, ["Connected", "Reconnecting", "Offline - Batch Mode"]);
    }
}
