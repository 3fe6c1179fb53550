//! May exactly this content run? Only when the user said so, for these very bytes.
//!
//! `manifest` hashes a configuration together with every script it names, `store` remembers what the
//! user trusted, outside of every project, `review` shows what is to be trusted as a difference to
//! what was. Nothing inside a project can grant trust.

mod manifest;
mod review;
mod store;

pub use manifest::{ContentHash, Entry, Manifest};
pub use review::review;
pub use store::{StoreError, TrustStore, Trusted};

use crate::config::{ConfigFile, Loaded};
use crate::project::Project;
use std::fmt;

/// Whether a project's hooks may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Exactly this content was trusted.
    Trusted,
    /// Nothing was trusted here so far.
    Untrusted,
    /// Something was trusted, and then changed: these files.
    Changed(Vec<String>),
    /// A hash was given, and it is not that of this content.
    OtherHash,
    /// It cannot be trusted as it stands, for instance because others can write to it.
    Refused(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Trusted => f.write_str("trusted"),
            Verdict::Untrusted => f.write_str("not trusted yet"),
            Verdict::Changed(files) => write!(f, "changed since it was trusted: {}", files.join(", ")),
            Verdict::OtherHash => f.write_str("not the content that the given trust hash stands for"),
            Verdict::Refused(why) => f.write_str(why),
        }
    }
}

/// Decides about the hooks of `file`, the project's configuration. `given` is the hash from the
/// command line or `KNOCKON_TRUST`; it takes the place of the store.
pub fn verdict(
    project: &Project,
    loaded: &Loaded,
    file: &ConfigFile,
    given: Option<&ContentHash>,
    store: &TrustStore,
) -> Verdict {
    let root = crate::sys::owner(project.root()).ok().and_then(crate::sys::Owner::distrust);
    if let Some(why) = root.map(|why| format!("{} {why}", project.root().display())).or_else(|| file.distrust.clone()) {
        return Verdict::Refused(why);
    }
    let folder = crate::sys::owner(&file.hooks_folder).ok().and_then(crate::sys::Owner::distrust);
    if let Some(why) = folder {
        return Verdict::Refused(format!("{} {why}", file.hooks_folder.display()));
    }
    let manifest = Manifest::of(loaded, file);
    if let Some(why) = manifest.refusal() {
        return Verdict::Refused(why.to_owned());
    }
    if let Some(given) = given {
        return if *given == manifest.hash() { Verdict::Trusted } else { Verdict::OtherHash };
    }
    match store.find(project, &file.path) {
        None => Verdict::Untrusted,
        Some(trusted) if trusted.hash == manifest.hash() => Verdict::Trusted,
        Some(trusted) => Verdict::Changed(manifest.changes_since(&trusted)),
    }
}
