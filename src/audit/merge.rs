//! What a process does with records while another one is stuck with the lock, and with those that others left.

use super::append::{AuditError, AuditLog, Inner, LEASE};
use super::place::Place;
use super::side::{Side, Waiting};
use std::time::Duration;

impl AuditLog {
    /// Keeps the record that was begun in a file of this process's own.
    pub(super) fn keep_beside(&self, inner: &mut Inner, place: &Place) -> Result<(), AuditError> {
        let side = match &mut inner.side {
            Some(side) => side,
            none => none.insert(Side::new(&place.make_folder()?, place)?),
        };
        let signed = self.signer().map(|signer| signer.sign_record(inner.line.body()));
        let record = signed.as_deref().unwrap_or(inner.line.body());
        side.append(record, self.is_durable()).map_err(|error| AuditError::Io(place.path(), error))
    }

    /// Puts what others, or we, could not write into the log where it belongs. What this user did not write is not signed.
    pub(super) fn merge(&self, inner: &mut Inner) -> Result<(), AuditError> {
        let place = self.place()?;
        let own = inner.side.take();
        let Some(open) = inner.open() else { return Ok(()) };
        let mut waiting = match Waiting::find(place, &open.folder, own)? {
            Some(waiting) => waiting,
            None => return Ok(()),
        };
        let signer = self.signer();
        // The line that is being written comes behind those that were kept.
        let own = std::mem::take(&mut inner.line);
        let merged = loop {
            let is_own = match waiting.next(signer, inner.line.begin()) {
                Ok(Some(is_own)) => is_own,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            // The lock is kept, however many there are.
            if let Some(open) = &mut inner.open {
                open.lease = LEASE;
            }
            if let Err(error) = self.write(inner, place, signer.filter(|_| is_own)) {
                break Err(error);
            }
        };
        inner.line = own;
        merged
    }

    /// Puts what is beside the log into it, when the lock is to be had at once.
    pub fn merge_what_waits(&self) {
        let Ok(place) = self.place() else { return };
        if !matches!(place.folder(), Ok(Some(folder)) if Waiting::is_there(&folder)) {
            return;
        }
        let _ = self.gave_up.set(Duration::ZERO);
        let mut inner = self.inner();
        let _ = self.hold(&mut inner);
        let _ = self.unlock(&mut inner);
    }
}
