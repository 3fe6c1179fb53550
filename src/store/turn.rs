//! Whose turn it is to write: SQLite lets in one at a time, and whoever asks at the right moment.

use super::{Store, part_of};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use std::cell::Cell;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

/// How long to wait for another process that writes.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// How long a writer is passed over at most, while others get their turn.
const PASSED_OVER: Duration = Duration::from_secs(30);

thread_local! {
    /// Since when this thread waits for others that write.
    static WAITS_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Waits for others that write, up to [`BUSY`], in steps short enough that 32 of them pass each other quickly.
pub(super) fn wait_when_busy(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(|tries: i32| {
        if tries == 0 {
            WAITS_SINCE.set(Some(Instant::now()));
        }
        // Counted steps would take twice as long where a busy machine lets each of them sleep longer.
        let waits = WAITS_SINCE.get().is_some_and(|since| since.elapsed() < BUSY);
        if waits {
            std::thread::sleep(Duration::from_micros(200_u64 << tries.clamp(0, 2)));
        }
        waits
    }))
}

impl Store {
    /// Begins to write, as the only one. SQLite lets in whoever asks at the right moment: of many writers on a slow disk one
    /// may be passed over for long, and waits on as long as others get anywhere.
    pub(super) fn take_turn(&self) -> rusqlite::Result<Transaction<'_>> {
        let until = Instant::now() + PASSED_OVER;
        let mut seen = self.log_changed();
        loop {
            // Immediate: a deferred transaction that turns into a writer fails where another writes (SQLITE_BUSY).
            match Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate) {
                Err(error)
                    if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                        && Instant::now() < until
                        && std::mem::replace(&mut seen, self.log_changed()) != seen => {}
                turn => return turn,
            }
        }
    }

    /// When the log was written to last, and how long it is.
    fn log_changed(&self) -> Option<(SystemTime, u64)> {
        let log = fs::metadata(part_of(&self.path, "-wal")).ok()?;
        Some((log.modified().ok()?, log.len()))
    }
}
