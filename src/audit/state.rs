//! What state the files of a log are in, looked at without changing anything.

use super::append::{AuditError, AuditLog};
use super::end::last_line_of;
use super::lines::whole_end;
use super::place::CURRENT;
use super::rotate::time_in;
use super::side;
use crate::sys::{self, Holder, Owner};
use crate::time::Timestamp;
use std::ffi::OsStr;
use std::path::PathBuf;

/// What state the files of a log are in.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// How many there are.
    pub files: usize,
    /// How many bytes they have.
    pub bytes: u64,
    /// What someone else could change, and why.
    pub distrust: Vec<(PathBuf, String)>,
    /// Whether the one that grows ends in the middle of a line.
    pub torn: bool,
    /// Who holds its lock at this moment.
    pub holder: Option<Holder>,
    /// How many files with records are beside the log.
    pub waiting: usize,
    /// How many of them had something in them that was no record.
    pub unreadable: usize,
    /// Whether the one that grows is much larger than it should be.
    pub oversized: bool,
    /// Why nothing can be recorded, if nothing can.
    pub closed: Option<String>,
}

impl AuditLog {
    /// Looks at the files; nothing when there are none.
    ///
    /// # Errors
    /// They cannot be opened.
    pub fn state(&self) -> Result<Option<State>, AuditError> {
        let place = self.place()?;
        let Some(folder) = place.folder()? else { return Ok(None) };
        let segments = place.segments(&folder)?;
        let failed = |error| AuditError::Io(place.path(), error);
        let mut state = State {
            files: segments.len(),
            bytes: segments.iter().map(|of| of.size).sum(),
            waiting: side::count(&folder),
            unreadable: side::count_unreadable(&folder),
            closed: folder.is_closed(OsStr::new(CURRENT)),
            ..State::default()
        };
        let names = segments.iter().map(|segment| segment.name()).chain([".".to_owned()]);
        for name in names {
            let owner = folder.owner(OsStr::new(&name)).ok();
            let why = if name == "." { owner.and_then(Owner::distrust) } else { owner.and_then(sys::not_private) };
            if let Some(why) = why {
                state.distrust.push((place.path_of(&name), why));
            }
        }
        if let Some(current) = segments.first().filter(|segment| segment.number == 0) {
            state.torn = whole_end(&current.file, current.size).map_err(failed)? < current.size;
            state.oversized = current.size > self.settings().max_size.saturating_mul(2);
            if let Err(error) = last_line_of(current) {
                state.closed = Some(error.to_string());
            }
            let free = sys::try_lock(&current.file).map_err(failed)?;
            if free {
                // Let go of at once: nobody is to wait for somebody who only looks.
                sys::unlock(&current.file).map_err(failed)?;
            } else {
                state.holder = sys::lock_holder(&current.file);
            }
        }
        Ok(Some(state).filter(|state| state.files > 0 || state.waiting > 0))
    }

    /// When the last record was written; nothing when there is none.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn last_time(&self) -> Result<Option<Timestamp>, AuditError> {
        let segments = self.segments()?;
        let Some(current) = segments.first().filter(|segment| segment.name() == CURRENT) else { return Ok(None) };
        let line = last_line_of(current).map_err(|error| AuditError::Io(self.path(), error))?;
        Ok(line.and_then(|line| time_in(&line)))
    }
}
