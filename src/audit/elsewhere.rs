//! Where records go while the project's log cannot be written: to the log that a project without a folder of ours has, in the
//! user's state folder. Readers look there, too.

use super::append::{AuditError, AuditLog};
use super::end::last_line_of;
use super::mac::Signer;
use super::place::{ELSEWHERE_NUMBER, Segment};
use super::record::AuditRecord;
use super::rotate::time_in;
use crate::project::{Layout, UserKey};
use std::path::PathBuf;

/// The log in the state folder, and why records went there.
#[derive(Debug)]
pub(super) struct Elsewhere {
    log: AuditLog,
    why: String,
}

impl AuditLog {
    /// The log of the same project in the user's state folder, where that is another one.
    pub(super) fn in_state_folder(&self) -> Option<AuditLog> {
        let bare = || AuditLog::with_key(&self.project.with_folder(Layout::Bare), &self.user, self.key.clone());
        (self.project.layout() != Layout::Bare).then(bare).filter(|log| log.place.is_some())
    }

    /// Writes a record there, because of what `why` says.
    ///
    /// # Errors
    /// `why`, when it cannot be written there either, or that is no help.
    pub(super) fn append_elsewhere(&self, record: &AuditRecord<'_>, why: AuditError) -> Result<(), AuditError> {
        if matches!(why, AuditError::NoPlace | AuditError::Lock(..)) {
            return Err(why);
        }
        let made = || Some(Box::new(Elsewhere { log: self.in_state_folder()?, why: why.to_string() }));
        match self.elsewhere.get_or_init(made) {
            Some(elsewhere) => elsewhere.log.append(record).map_err(|_| why),
            None => Err(why),
        }
    }

    /// The log that records went to instead of this one.
    pub(super) fn used_elsewhere(&self) -> Option<&AuditLog> {
        self.elsewhere.get()?.as_ref().map(|elsewhere| &elsewhere.log)
    }

    /// What to tell about records that were written, and not as they should be.
    pub fn warnings(&self) -> Vec<String> {
        let elsewhere = self.elsewhere.get().and_then(Option::as_ref).map(|elsewhere| {
            let Elsewhere { log, why } = &**elsewhere;
            let place = log.path();
            format!("{why}; records go to {} until it can be written again (`knockon doctor`)", place.display())
        });
        let unsigned = self.signer.get().and_then(|signer| signer.as_ref().err()).map(|why| {
            format!(
                "records are not signed, and `knockon audit verify` cannot say who wrote them: the key of this user cannot be read \
                 or made: {why}"
            )
        });
        elsewhere.into_iter().chain(unsigned).chain(self.stuck()).collect()
    }

    /// Signs what this user writes; nothing when there is no key, and none can be made.
    pub(super) fn signer(&self) -> Option<&Signer> {
        let of = |key: &UserKey| key.read_or_make().map(Signer::of);
        self.signer.get_or_init(|| of(&self.key)).as_ref().ok()
    }

    /// Checks what this user wrote; nothing when there is no key here.
    pub(super) fn checker(&self) -> Option<Signer> {
        self.key.read().map(Signer::of)
    }

    /// Puts the files in the state folder to those of the log, newest first: before them, when they have the last record.
    ///
    /// # Errors
    /// The log cannot be read, and there is none in the state folder.
    pub(super) fn with_elsewhere(
        &self,
        segments: Result<Vec<Segment>, AuditError>,
    ) -> Result<Vec<Segment>, AuditError> {
        let elsewhere = self.in_state_folder().and_then(|log| log.segments().ok()).unwrap_or_default();
        let elsewhere: Vec<Segment> = elsewhere
            .into_iter()
            .filter(|segment| segment.size > 0)
            .map(|segment| Segment { number: ELSEWHERE_NUMBER, ..segment })
            .collect();
        let mut segments = match segments {
            Err(_) if !elsewhere.is_empty() => return Ok(elsewhere),
            segments => segments?,
        };
        let last = |segments: &[Segment]| {
            let first = segments.first().filter(|segment| !segment.compressed)?;
            time_in(&last_line_of(first).ok()??)
        };
        let at = if last(&elsewhere) > last(&segments) { 0 } else { segments.len() };
        segments.splice(at..at, elsewhere);
        Ok(segments)
    }

    /// The logs that the project had, or would have, with another folder of ours, and that were sealed: what becomes of them shows
    /// here as well.
    pub(super) fn of_other_layouts(&self) -> Vec<AuditLog> {
        let own = self.project.layout();
        let others = [Layout::Flowspec, Layout::Knockon, Layout::Bare].into_iter().filter(|layout| *layout != own);
        let logs =
            others.map(|layout| AuditLog::with_key(&self.project.with_folder(layout), &self.user, self.key.clone()));
        let is_sealed = |log: &AuditLog| {
            let seals = log.seal.as_ref().and_then(|seal| seal.read().ok().flatten());
            seals.is_some_and(|seals| !seals.heads.is_empty())
        };
        logs.filter(|log| log.place.is_some() && is_sealed(log)).collect()
    }

    /// Where further records of the project are, if there are some.
    pub fn elsewhere(&self) -> Option<PathBuf> {
        let log = self.in_state_folder()?;
        log.segments().ok()?.iter().any(|segment| segment.size > 0).then(|| log.path())
    }
}
