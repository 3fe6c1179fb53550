//! Many events in a row: the audit log is locked once for all that follow each other without a hook.

use super::{EmitReport, Emitter};
use crate::audit::{AuditError, AuditLog, AuditRecord};
use crate::config::Durability;
use crate::event::EventDraft;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many rows are under way.
#[derive(Debug, Default)]
pub(super) struct Rows(AtomicUsize);

impl Rows {
    /// Records something; in a row, others are let in later.
    pub(super) fn append(&self, audit: &AuditLog, record: &AuditRecord<'_>) -> Result<(), AuditError> {
        let in_a_row = self.0.load(Ordering::Relaxed) > 0;
        // A record that has to be on the disk is waited for one by one.
        if in_a_row && audit.settings().durability == Durability::Relaxed {
            audit.append_and_hold(record)
        } else {
            audit.append(record)
        }
    }

    /// Lets others in before hooks run, which takes time.
    ///
    /// # Errors
    /// See [`AuditLog::release`].
    pub(super) fn pause(&self, audit: &AuditLog) -> Result<(), AuditError> {
        if self.0.load(Ordering::Relaxed) > 0 { audit.release() } else { Ok(()) }
    }
}

/// A row that is under way.
struct Row<'a>(&'a Emitter);

impl Drop for Row<'_> {
    fn drop(&mut self) {
        self.0.rows.0.fetch_sub(1, Ordering::Relaxed);
        // What cannot be brought to the disk now is told by the next one who writes.
        let _ = self.0.audit.release();
    }
}

impl Emitter {
    /// Emits events one after the other, as [`Emitter::emit`] does, and hands each report to `told`: for whoever has many
    /// of them. The audit log stays locked from one event to the next, as long as no hook runs and for 128 KiB at
    /// most; other processes that want to write wait that long, so `drafts` and `told` must not.
    ///
    /// ```
    /// use knockon::{Emitter, EmitterOptions, Project, UserFolders, drafts};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let root = folder.path();
    /// let emitter = Emitter::open(Project::at(root)?, &UserFolders::default(), EmitterOptions::default());
    /// let tasks = ["task-1", "task-2", "task-3"];
    /// let mut failed = 0;
    /// emitter.emit_all(tasks.map(drafts::task_completed), |report| failed += usize::from(!report.all_successful()));
    /// assert_eq!(failed, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn emit_all(&self, drafts: impl IntoIterator<Item = EventDraft>, mut told: impl FnMut(EmitReport)) {
        self.rows.0.fetch_add(1, Ordering::Relaxed);
        let row = Row(self);
        for draft in drafts {
            told(row.0.emit(draft));
        }
    }
}
