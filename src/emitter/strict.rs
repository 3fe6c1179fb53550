//! `--strict`: whether the content that was reviewed decides, found out before anything is matched.

use super::Emitter;
use crate::config::{Origin, Severity};
use crate::event::Event;
use crate::matcher::Match;
use crate::project::Layout;
use crate::registry;
use crate::text::one_line;
use crate::trust::{Verdict, hash_for, hash_of_all, verdict};
use std::fmt;

/// Why it is not the reviewed content that decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreviewed {
    /// The configuration or the policy has an error, or a file that was named does not exist.
    Invalid(String),
    /// The content is not trusted, is not that of the given hash, or is absent.
    Untrusted(String),
}

impl fmt::Display for Unreviewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreviewed::Invalid(why) | Unreviewed::Untrusted(why) => f.write_str(why),
        }
    }
}

impl Emitter {
    /// Why it is not the content that was reviewed that decides: all of it with `strict`, else whether it is that of the
    /// given hash, if one was given.
    pub fn unreviewed(&self) -> Option<&Unreviewed> {
        let check = || match (self.options.strict, &self.options.trust_hash) {
            (true, _) => self.check_reviewed().err(),
            (false, Some(_)) => self.check_given_hash().err(),
            (false, None) => None,
        };
        self.unreviewed.get_or_init(check).as_ref()
    }

    /// Whether the content is that of the given hash, compared on bytes.
    fn check_given_hash(&self) -> Result<(), Unreviewed> {
        let Some(given) = &self.options.trust_hash else { return Ok(()) };
        match hash_of_all(&self.project, self.loaded()) {
            None => Err(Unreviewed::Untrusted(self.absent("but a trust hash was given"))),
            Some(hash) if hash == *given => Ok(()),
            Some(hash) => Err(Unreviewed::Untrusted(format!(
                "the content of {} has the hash {hash}, not {given}; `knockon trust --print-hash --json` lists its files",
                self.project_paths()
            ))),
        }
    }

    /// Whether exactly the content that the user reviewed decides about events, whatever an event is. Reads and hashes the
    /// whole configuration with its scripts.
    ///
    /// # Errors
    /// It does not. A given hash is compared first, on bytes: content that differs is not looked at for errors.
    fn check_reviewed(&self) -> Result<(), Unreviewed> {
        self.check_given_hash()?;
        if let Some(refused) = self.project.refused() {
            return Err(Unreviewed::Untrusted(one_line(&refused.to_string())));
        }
        let file = self.loaded().project_file();
        let mut errors = self.problems().iter().filter(|problem| problem.severity == Severity::Error);
        if let Some(error) = errors.next() {
            return Err(Unreviewed::Invalid(one_line(&error.to_string())));
        }
        if let Some(ignored) = &self.ignored {
            let ignored = one_line(&ignored.path.to_string_lossy());
            return Err(Unreviewed::Invalid(format!("there are two configurations, and {ignored} is not read")));
        }
        if let Some(error) = self.policy_problem() {
            return Err(Unreviewed::Invalid(one_line(&error.to_string())));
        }
        let given = self.options.trust_hash.as_ref();
        for file in self.loaded().project_files().filter(|file| file.origin == Origin::Project) {
            let given = given.map(|given| hash_for(&self.project, self.loaded(), given, file));
            match verdict(file.project(&self.project), file, given.as_ref(), &self.store).0 {
                Verdict::Trusted => {}
                Verdict::Refused(why) => return Err(Unreviewed::Untrusted(one_line(&why))),
                verdict => {
                    let (path, verdict) = (file.path.to_string_lossy(), verdict.to_string());
                    return Err(Unreviewed::Untrusted(format!("{}: {}", one_line(&path), one_line(&verdict))));
                }
            }
        }
        match file.filter(|file| file.origin == Origin::Project) {
            Some(_) => match self.lost_nested().filter(|_| given.is_none()) {
                Some(root) => {
                    let root = one_line(&root);
                    let why = format!("{root} was trusted as a project, and has no hooks.yaml any more");
                    Err(Unreviewed::Untrusted(why))
                }
                None => Ok(()),
            },
            None if file.is_none() && self.was_trusted() => {
                Err(Unreviewed::Untrusted(self.absent("but this project was trusted")))
            }
            // Nothing was ever reviewed here, or a commit was named.
            None => Ok(()),
        }
    }

    /// Whether the trust store knows this project, or one of the folders above: the project as it was.
    fn was_trusted(&self) -> bool {
        let roots = self.project.start().ancestors();
        let others = self.project.in_other_worktrees();
        let named = self.project.named_ancestors();
        let roots = roots.chain(others.iter().chain(&named).map(|other| other.as_path()));
        self.options.commit.is_none() && !self.store.of_projects(roots, Layout::CONFIG_FILES).is_empty()
    }

    /// A project between here and where it was looked for, which was trusted and is none any more.
    fn lost_nested(&self) -> Option<String> {
        let between = self.project.below_root();
        if self.options.config.is_some() || between.clone().next().is_none() {
            return None;
        }
        self.store.of_projects(between, Layout::CONFIG_FILES).into_iter().next().map(|record| record.project)
    }

    /// With `strict`, an event that no hook is for and whose type is probably mistyped: the hooks that were reviewed should
    /// have got it.
    pub(super) fn mistyped(&self, event: &Event, matches: &[Match]) -> Option<Unreviewed> {
        let meant = registry::probably(event.kind()).filter(|_| self.options.strict && matches.is_empty())?;
        let kind = event.kind();
        Some(Unreviewed::Invalid(format!(
            "no hook matches `{kind}`, and no such type is known; did you mean `{meant}`?"
        )))
    }

    /// The configurations that a hash stands for, the outermost first.
    fn project_paths(&self) -> String {
        let paths = self.loaded().project_files().map(|file| one_line(&file.path.to_string_lossy()));
        paths.collect::<Vec<_>>().join(" and ")
    }

    fn absent(&self, rest: &str) -> String {
        format!("{} has no hooks.yaml, {rest}", one_line(&self.project.root_text()))
    }
}
