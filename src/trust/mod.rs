//! May exactly this content run? Only when the user said so, for these very bytes.
//!
//! `manifest` hashes a configuration together with every script it names, `store` remembers what the
//! user trusted, outside of every project, `review` shows what is to be trusted as a difference to
//! what was, `guard` decides hook by hook, right before each is started. Nothing inside a project can grant
//! trust.

mod guard;
mod manifest;
mod owners;
mod review;
mod store;

pub use guard::Guard;
pub use manifest::{Changed, ContentHash, Entry, Manifest};
pub use owners::open_to_others;
pub use review::{Review, ReviewLine, Tone};
pub use store::{StoreError, TrustStore, Trusted, TrustedGuard};

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
            Verdict::Changed(files) => {
                let (shown, rest) = files.split_at(files.len().min(3));
                write!(f, "changed since it was trusted: {}", shown.join(", "))?;
                match rest.len() {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Verdict::OtherHash => f.write_str("not the content that the given trust hash stands for"),
            Verdict::Refused(why) => f.write_str(why),
        }
    }
}

/// The hash that stands for all that a project runs: its configuration, and with `inherit: true` those of the projects around
/// it; nothing where there is none. It is the same in every checkout of a repository.
pub fn hash_of_all(project: &Project, loaded: &Loaded) -> Option<ContentHash> {
    loaded.project_file()?;
    let hashes: Vec<ContentHash> = loaded.project_files().map(|file| Manifest::of(file).hash()).collect();
    // Hooks act on paths below their project: where that lies, in the repository and in what it inherits from, is part of
    // what was reviewed.
    let place = project.place_in_repository();
    if let ([hash], "") = (&*hashes, &*place) {
        return Some(hash.clone());
    }
    let places =
        loaded.project_files().map(|file| file.inherited.as_ref().map_or(&*place, |inherited| &inherited.below));
    Some(ContentHash::of_several(hashes.iter().zip(places)))
}

/// The hash that `given` demands of the content of one file: its own if all is what `given` stands for; else none that it has.
pub fn hash_for(project: &Project, loaded: &Loaded, given: &ContentHash, file: &ConfigFile) -> ContentHash {
    if loaded.project_files().nth(1).is_none() && project.place_in_repository().is_empty() {
        return given.clone();
    }
    let own = Manifest::of(file).hash();
    if hash_of_all(project, loaded).as_ref() == Some(given) {
        return own;
    }
    // The hash of this content alone does not stand for it at this place.
    if own == *given { ContentHash::of_several([(given, "elsewhere")].into_iter()) } else { given.clone() }
}

/// Decides about the hooks of `file`, the project's configuration. `given` is the hash from the
/// command line or `KNOCKON_TRUST`; it takes the place of the store. The worktrees of one git repository share what was
/// trusted in one of them, where the hash is equal. With the verdict comes what was
/// hashed, when it came to that: content that nobody trusted is not read.
pub fn verdict(
    project: &Project,
    file: &ConfigFile,
    given: Option<&ContentHash>,
    store: &TrustStore,
) -> (Verdict, Option<Manifest>) {
    if let Some(why) = owners::distrust_of_file(project, file) {
        return (Verdict::Refused(why), None);
    }
    let trusted = match given {
        Some(_) => None,
        None => match store.find(project, &file.path) {
            Ok(trusted) => trusted,
            Err(error) => return (Verdict::Refused(error.to_string()), None),
        },
    };
    let in_worktrees = || store.of_other_worktrees(project, &file.path);
    let shared = if given.is_none() && trusted.is_none() { in_worktrees() } else { Vec::new() };
    if given.is_none() && trusted.is_none() && shared.is_empty() {
        return (Verdict::Untrusted, None);
    }
    let manifest = Manifest::of(file);
    let agrees = |others: &[Trusted]| others.iter().any(|other| other.hash == manifest.hash());
    let verdict = match (manifest.refusal(), given, trusted) {
        (Some(why), ..) => Verdict::Refused(why.to_owned()),
        (None, Some(given), _) if *given == manifest.hash() => Verdict::Trusted,
        (None, Some(_), _) => Verdict::OtherHash,
        (None, None, Some(trusted)) if trusted.hash == manifest.hash() || agrees(&in_worktrees()) => Verdict::Trusted,
        (None, None, Some(trusted)) => Verdict::Changed(manifest.changes_since(&trusted)),
        (None, None, None) if agrees(&shared) => Verdict::Trusted,
        (None, None, None) => Verdict::Untrusted,
    };
    (verdict, Some(manifest))
}
