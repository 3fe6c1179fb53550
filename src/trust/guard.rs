//! Decides hook by hook: once for all that a configuration names, and again for a hook's own script right
//! before it is started.

use super::manifest::{Changed, ContentHash, Manifest};
use super::owners::{distrust_of_file, distrust_of_script};
use super::{TrustStore, Verdict, hash_for, verdict};
use crate::config::{Loaded, Origin, ScriptFile};
use crate::project::Project;

/// What was decided so far about the configurations of one event.
#[derive(Debug)]
pub struct Guard<'a> {
    project: &'a Project,
    loaded: &'a Loaded,
    given: Option<&'a ContentHash>,
    store: &'a TrustStore,
    /// By file. One decision a file: its hooks stand and fall together.
    decided: Vec<Option<(Verdict, Option<Manifest>)>>,
}

impl<'a> Guard<'a> {
    /// A guard that has decided nothing yet. `given` is a hash that takes the place of the store.
    pub fn new(
        project: &'a Project,
        loaded: &'a Loaded,
        given: Option<&'a ContentHash>,
        store: &'a TrustStore,
    ) -> Self {
        Guard { project, loaded, given, store, decided: vec![None; loaded.files.len()] }
    }

    /// Whether hook `index` may run, as far as that can be told without hashing its script again.
    pub fn verdict(&mut self, index: usize) -> Verdict {
        match self.loaded.file_of(&self.loaded.hooks[index]).origin {
            Origin::Project => self.decide(index).0.clone(),
            Origin::User | Origin::Commit => self.may_start(index),
        }
    }

    /// Whether hook `index` may be started now. Looks at its script once more: a hook before it could have
    /// changed it.
    pub fn may_start(&mut self, index: usize) -> Verdict {
        let loaded = self.loaded;
        let loaded_hook = &loaded.hooks[index];
        let file = loaded.file_of(loaded_hook);
        let is_first = self.decided[loaded_hook.file].is_none();
        let (verdict, manifest) = self.decide(index);
        if is_first && manifest.is_some() && file.scripts.len() == 1 {
            // Its script was hashed this very moment.
            return verdict.clone();
        }
        let Some(path) = loaded_hook.hook.action.script() else { return verdict.clone() };
        match (verdict, manifest) {
            (Verdict::Trusted, Some(manifest)) => match manifest.still_holds(file, path) {
                Ok(()) => Verdict::Trusted,
                Err(Changed::Content) => Verdict::Changed(vec![path.as_str().to_owned()]),
                Err(Changed::Unsafe(why)) => Verdict::Refused(why),
            },
            // The user's own: whatever it holds, as long as nobody else could have put it there.
            (Verdict::Trusted, None) => match ScriptFile::open(&file.hooks_folder, path) {
                Ok(script) => distrust_of_script(file, path, &script).map_or(Verdict::Trusted, Verdict::Refused),
                // The runner says what is wrong with it.
                Err(_) => Verdict::Trusted,
            },
            (verdict, _) => verdict.clone(),
        }
    }

    /// The hash of the content that was trusted for a hook, and that of its script: nothing of the user's own hooks, which
    /// need no trust.
    pub fn hashes(&self, index: usize) -> Option<(String, Option<String>)> {
        let hook = &self.loaded.hooks[index];
        let (_, manifest) = self.decided[hook.file].as_ref()?;
        let manifest = manifest.as_ref()?;
        let script = hook.hook.action.script().and_then(|path| manifest.script_hash(path));
        Some((manifest.hash().to_string(), script.map(|hash| format!("sha256:{hash}"))))
    }

    /// The bytes of a hook's script, when they are what was trusted; of the user's own, what they are now.
    pub fn trusted_bytes(&mut self, index: usize) -> Option<Vec<u8>> {
        let loaded = self.loaded;
        let loaded_hook = &loaded.hooks[index];
        let file = loaded.file_of(loaded_hook);
        let path = loaded_hook.hook.action.script()?;
        match self.decide(index) {
            (Verdict::Trusted, Some(manifest)) => manifest.bytes_of(file, path),
            (Verdict::Trusted, None) => Manifest::of(file).bytes_of(file, path),
            _ => None,
        }
    }

    fn decide(&mut self, index: usize) -> &(Verdict, Option<Manifest>) {
        let at = self.loaded.hooks[index].file;
        let file = &self.loaded.files[at];
        self.decided[at].get_or_insert_with(|| match file.origin {
            Origin::Project => {
                let given = self.given.map(|given| hash_for(self.project, self.loaded, given, file));
                verdict(file.project(self.project), file, given.as_ref(), self.store)
            }
            Origin::User | Origin::Commit => {
                (distrust_of_file(self.project, file).map_or(Verdict::Trusted, Verdict::Refused), None)
            }
        })
    }
}
