//! One run of a group at a time, also across processes.
//!
//! A group is a file in the user's state folder; who is in it holds its lock (`flock`), which ends with the
//! process, whatever becomes of it.

use crate::config::OnBusy;
use crate::event::EventId;
use crate::project::Project;
use crate::sys;
use crate::text::hex;
use crate::time::Timestamp;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait before the next look at a group that is busy.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a run waits for its group at most: the caller must not hang with it.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The groups of one project.
#[derive(Debug)]
pub(super) struct Groups {
    folder: Option<PathBuf>,
    prefix: String,
}

/// A run and its group: in it, or waiting for it.
#[derive(Debug)]
pub(super) struct Entered {
    _lock: Option<File>,
    since: Instant,
    again_at: Option<Instant>,
    /// What stands in the file of those that wait, when a newer one takes the place of this one.
    token: Option<String>,
}

/// Why a run does not enter its group.
#[derive(Debug)]
pub(super) enum Kept {
    /// Its author wanted it so.
    Out(String),
    /// It waited as long as it may.
    TooLong(String),
    /// Nobody can tell whether the group is busy.
    Unknown(String),
}

impl Entered {
    /// Whether the run is in the group.
    pub(super) fn is_inside(&self) -> bool {
        self._lock.is_some()
    }

    /// When to ask again, unless the run is in the group.
    pub(super) fn again_at(&self) -> Option<Instant> {
        self.again_at
    }
}

impl Groups {
    pub(super) fn of(project: &Project, state: Option<&Path>) -> Self {
        Groups { folder: state.map(|state| state.join("groups")), prefix: project.key() }
    }

    /// Enters a group, or says when to ask again. `before` is what was said the last time.
    pub(super) fn enter(
        &self,
        group: &str,
        on_busy: OnBusy,
        before: Option<Entered>,
        now: Instant,
    ) -> Result<Entered, Kept> {
        let unknown =
            |error: io::Error| Kept::Unknown(format!("the lock of the group `{group}` cannot be used: {error}"));
        let folder = self.folder.as_deref().ok_or_else(|| unknown(io::ErrorKind::NotFound.into()))?;
        sys::make_private_folder(folder).map_err(unknown)?;
        let name = format!("{}-{}", self.prefix, hex(&Sha256::digest(group.as_bytes())[..16]));
        let lock = sys::open_or_create_private(&folder.join(format!("{name}.lock"))).map_err(unknown)?;
        let waiting = folder.join(format!("{name}.waiting"));
        let since = before.as_ref().map_or(now, |before| before.since);
        let token = before.and_then(|before| before.token);
        if token
            .as_ref()
            .is_some_and(|token| sys::read_regular(&waiting, 4096).is_ok_and(|newest| newest != token.as_bytes()))
        {
            return Err(Kept::Out(format!("a newer run took its place in the group `{group}`")));
        }
        if sys::try_lock(&lock).map_err(unknown)? {
            return Ok(Entered { _lock: Some(lock), since, again_at: None, token: None });
        }
        if on_busy == OnBusy::Drop {
            return Err(Kept::Out(format!("another run of the group `{group}` goes on")));
        }
        if now.duration_since(since) >= LONGEST_WAIT {
            return Err(Kept::TooLong(format!(
                "the group `{group}` was busy for {}",
                crate::time::human(LONGEST_WAIT)
            )));
        }
        let token = match (on_busy, token) {
            (OnBusy::Replace, None) => {
                let token = EventId::generate(Timestamp::now()).ulid().to_owned();
                sys::replace_private(&waiting, token.as_bytes()).map_err(unknown)?;
                Some(token)
            }
            (_, token) => token,
        };
        Ok(Entered { _lock: None, since, again_at: Some(now + LOOK_AGAIN), token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_in_at_a_time_and_the_newest_waits() {
        let folder = tempfile::tempdir().unwrap();
        let groups = Groups { folder: Some(folder.path().join("groups")), prefix: "p".into() };
        let now = Instant::now();
        let inside = groups.enter("g", OnBusy::Queue, None, now).unwrap();
        assert!(inside.is_inside());
        assert!(groups.enter("other", OnBusy::Drop, None, now).unwrap().is_inside());
        assert!(matches!(groups.enter("g", OnBusy::Drop, None, now), Err(Kept::Out(_))));
        let queued = groups.enter("g", OnBusy::Queue, None, now).unwrap();
        assert_eq!(queued.again_at(), Some(now + LOOK_AGAIN));
        let first = groups.enter("g", OnBusy::Replace, None, now).unwrap();
        let second = groups.enter("g", OnBusy::Replace, None, now).unwrap();
        assert!(matches!(groups.enter("g", OnBusy::Replace, Some(first), now), Err(Kept::Out(_))), "replaced");
        let second = groups.enter("g", OnBusy::Replace, Some(second), now).unwrap();
        drop(inside);
        let second = groups.enter("g", OnBusy::Replace, Some(second), now).unwrap();
        assert!(second.is_inside());
        let late = groups.enter("g", OnBusy::Queue, Some(queued), now + LONGEST_WAIT);
        assert!(matches!(late, Err(Kept::TooLong(_))));
        let nowhere = Groups { folder: None, prefix: "p".into() };
        assert!(matches!(nowhere.enter("g", OnBusy::Queue, None, now), Err(Kept::Unknown(_))));
    }
}
