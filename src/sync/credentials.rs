//! What signing in leaves behind: where to send events and with which tokens, kept for the user alone.
//!
//! `<state>/sync/credentials.json`, folder 0700 and file 0600. A server that rotates refresh tokens takes each of them
//! once: whoever refreshes holds the lock beside the file from reading it until the new tokens are written.

use super::server_url::ServerUrl;
use super::token::{Token, quoted};
use crate::project::{CREDENTIALS, UserFolders};
use crate::sys::{self, LockError};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most bytes of the file.
const MAX_BYTES: usize = 64 * 1024;
/// How long a writer waits for another one, unless that one is asking the server for a token.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// The versions of the wire that may be chosen; the first one is taken unless another is named.
pub const WIRE_VERSIONS: [&str; 2] = ["1.0", "3.0"];

/// Where events go, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The team server.
    pub server: ServerUrl,
    /// The team's short name; nothing is sent before it is known.
    pub team: Option<String>,
    /// Goes along with every request.
    pub access: Token,
    /// Buys the next access token.
    pub refresh: Token,
    /// One of [`WIRE_VERSIONS`].
    pub wire_version: String,
    /// When the user signed in; a refresh does not change it.
    pub signed_in_at: Timestamp,
}

/// The form of the file.
#[derive(Serialize, Deserialize)]
struct Stored {
    server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    access: Token,
    refresh: Token,
    wire_version: String,
    signed_in_at: String,
}

impl Stored {
    fn of(credentials: &Credentials) -> Self {
        Stored {
            server: credentials.server.to_string(),
            team: credentials.team.clone(),
            access: credentials.access.clone(),
            refresh: credentials.refresh.clone(),
            wire_version: credentials.wire_version.clone(),
            signed_in_at: credentials.signed_in_at.to_string(),
        }
    }

    fn credentials(self) -> Option<Credentials> {
        Some(Credentials {
            server: ServerUrl::parse(&self.server).ok()?,
            team: self.team.filter(|team| !team.is_empty()),
            access: self.access,
            refresh: self.refresh,
            wire_version: Some(self.wire_version).filter(|version| WIRE_VERSIONS.contains(&version.as_str()))?,
            signed_in_at: Timestamp::parse(&self.signed_in_at)?,
        })
    }
}

/// Why there are no credentials to use, or why they could not be kept.
#[derive(Debug)]
pub enum CredentialError {
    /// Nobody signed in, or somebody signed out.
    SignedOut,
    /// The file or its folder is not the user's alone, which counts as signed out.
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// In which way.
        why: String,
        /// The mode that it should have.
        mode: u32,
    },
    /// The file is not as it was written, which counts as signed out.
    Damaged(PathBuf),
    /// Neither `XDG_STATE_HOME` nor `HOME` is set.
    NoFolder,
    /// Another process was changing them all the time.
    Busy(Duration),
    /// The system refused.
    Io(PathBuf, io::Error),
}

impl CredentialError {
    /// Whether signing in helps: nothing else is wrong.
    pub fn is_signed_out(&self) -> bool {
        match self {
            CredentialError::SignedOut | CredentialError::Exposed { .. } | CredentialError::Damaged(_) => true,
            CredentialError::NoFolder | CredentialError::Busy(_) | CredentialError::Io(..) => false,
        }
    }
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CredentialError::SignedOut => f.write_str("nobody is signed in; run `knockon sync login`"),
            CredentialError::Exposed { path, why, mode } => write!(
                f,
                "{} {why}, so it counts as signed out; run `chmod {mode:o} {}`, or sign in again with new tokens",
                path.display(),
                quoted(path)
            ),
            CredentialError::Damaged(path) => {
                write!(f, "{} is damaged, so it counts as signed out; run `knockon sync login`", path.display())
            }
            CredentialError::NoFolder => {
                f.write_str("there is no place for the credentials: set HOME or XDG_STATE_HOME")
            }
            CredentialError::Busy(waited) => {
                write!(f, "another process changed the credentials for {}; try again", crate::time::human(*waited))
            }
            CredentialError::Io(path, error) => write!(f, "{} cannot be used: {error}", path.display()),
        }
    }
}

impl std::error::Error for CredentialError {}

/// Where the credentials of one user are kept.
#[derive(Clone, Debug)]
pub struct CredentialStore {
    folder: PathBuf,
}

impl CredentialStore {
    /// The store of a user.
    ///
    /// # Errors
    /// The user has no folder for state.
    pub fn of(user: &UserFolders) -> Result<Self, CredentialError> {
        let state = user.state.as_ref().ok_or(CredentialError::NoFolder)?;
        Ok(CredentialStore { folder: state.join(CREDENTIALS).parent().unwrap_or(state).to_owned() })
    }

    /// The file, for messages.
    pub fn path(&self) -> PathBuf {
        self.folder.join(Path::new(CREDENTIALS).file_name().unwrap_or_default())
    }

    /// What is stored.
    ///
    /// # Errors
    /// Nobody is signed in, or it counts as that; or the file cannot be read.
    pub fn read(&self) -> Result<Credentials, CredentialError> {
        let path = self.path();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => CredentialError::SignedOut,
            _ => CredentialError::Io(path.clone(), error),
        };
        check_private(&self.folder, 0o700).map_err(|error| match error {
            CredentialError::Io(_, error) => failed(error),
            error => error,
        })?;
        let Some(file) = sys::open_private(&path).map_err(failed)? else {
            // There is none, it is not the user's alone, or it is no file: the first look told only that much.
            check_private(&path, 0o600).map_err(|error| match error {
                CredentialError::Io(_, error) => failed(error),
                error => error,
            })?;
            return Err(CredentialError::Damaged(path));
        };
        let bytes = sys::read_capped(&file, MAX_BYTES).map_err(failed)?;
        let stored = (bytes.len() <= MAX_BYTES).then(|| serde_json::from_slice::<Stored>(&bytes).ok()).flatten();
        stored.and_then(Stored::credentials).ok_or(CredentialError::Damaged(path))
    }

    /// Signs in: what was stored before is replaced.
    ///
    /// # Errors
    /// They cannot be kept for the user alone.
    pub fn save(&self, credentials: &Credentials) -> Result<(), CredentialError> {
        let _lock = self.lock(LOCK_WAIT)?;
        self.replace(credentials)
    }

    /// Signs out; returns whether anything was stored.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(&self) -> Result<bool, CredentialError> {
        let path = self.path();
        if !self.folder.is_dir() {
            return Ok(false);
        }
        // A lock that cannot be had, or a folder that is not as it should be, must not keep secrets on the disk.
        let lock = self.lock(LOCK_WAIT);
        if lock.is_ok() {
            self.sweep();
        }
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(CredentialError::Io(path, error)),
        }
    }

    /// What is stored by now, if that has other tokens, or is for another server, than what a caller holds.
    ///
    /// # Errors
    /// As [`CredentialStore::read`].
    pub fn reread_if_changed(&self, held: &Credentials) -> Result<Option<Credentials>, CredentialError> {
        let stored = self.read()?;
        let same = stored.access == held.access && stored.refresh == held.refresh && stored.server == held.server;
        Ok((!same).then_some(stored))
    }

    /// Keeps the tokens that `held.refresh` bought, and returns what is stored then. Without a new refresh token the old
    /// one goes on. When somebody signed in anew meanwhile, that stays.
    ///
    /// # Errors
    /// Somebody signed out meanwhile, or they cannot be written.
    pub fn save_refreshed(
        &self,
        held: &Credentials,
        access: Token,
        refresh: Option<Token>,
    ) -> Result<Credentials, CredentialError> {
        let _lock = self.lock(LOCK_WAIT)?;
        self.keep_refreshed(held, access, refresh)
    }

    /// Refreshes as one step among all processes of the user: takes the lock, returns what another process has
    /// brought meanwhile, and only otherwise calls `exchange`, which asks the server for an access token and maybe a
    /// refresh token. `most` is how long another process may take for its own exchange.
    ///
    /// # Errors
    /// What `exchange` says, or that the credentials cannot be read or kept.
    pub fn refresh<E: From<CredentialError>>(
        &self,
        held: &Credentials,
        most: Duration,
        exchange: impl FnOnce(&Credentials) -> Result<(Token, Option<Token>), E>,
    ) -> Result<Credentials, E> {
        let _lock = self.lock(most)?;
        if let Some(newer) = self.reread_if_changed(held)? {
            return Ok(newer);
        }
        let (access, refresh) = exchange(held)?;
        Ok(self.keep_refreshed(held, access, refresh)?)
    }

    /// Under the lock.
    fn keep_refreshed(
        &self,
        held: &Credentials,
        access: Token,
        refresh: Option<Token>,
    ) -> Result<Credentials, CredentialError> {
        let mut stored = self.read()?;
        if stored.refresh == held.refresh && stored.server == held.server {
            stored.access = access;
            stored.refresh = refresh.unwrap_or(stored.refresh);
            self.replace(&stored)?;
        }
        Ok(stored)
    }

    /// Ends when the file is dropped.
    fn lock(&self, most: Duration) -> Result<File, CredentialError> {
        sys::make_private_folder(&self.folder).map_err(|error| CredentialError::Io(self.folder.clone(), error))?;
        check_private(&self.folder, 0o700)?;
        let path = self.folder.join("credentials.lock");
        let file = sys::update_private(&path).map_err(|error| CredentialError::Io(path.clone(), error))?;
        match sys::lock_exclusive(&file, most) {
            Ok(()) => Ok(file.into_file()),
            Err(LockError::Busy(waited)) => Err(CredentialError::Busy(waited)),
            Err(LockError::Io(error)) => Err(CredentialError::Io(path, error)),
        }
    }

    /// Under the lock.
    fn replace(&self, credentials: &Credentials) -> Result<(), CredentialError> {
        let path = self.path();
        let failed = |error| CredentialError::Io(path.clone(), error);
        let bytes = serde_json::to_vec(&Stored::of(credentials)).map_err(|error| failed(error.into()))?;
        self.sweep();
        sys::replace_private(&path, &bytes).map_err(failed)
    }

    /// Removes what a writer that was killed left beside the file: there are tokens in it, and another process of the
    /// same number could not write. Under the lock.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let left = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"credentials.new-"));
        // What cannot be removed is told when it is in the way.
        left.for_each(|entry| drop(fs::remove_file(entry.path())));
    }
}

/// # Errors
/// It is not the user's alone, or cannot be looked at.
fn check_private(path: &Path, mode: u32) -> Result<(), CredentialError> {
    let owner = sys::owner(path).map_err(|error| CredentialError::Io(path.to_owned(), error))?;
    match sys::not_private(owner) {
        None => Ok(()),
        Some(why) => Err(CredentialError::Exposed { path: path.to_owned(), why, mode }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn token(text: &str) -> Token {
        Token::new(text).unwrap()
    }

    fn credentials(number: u32) -> Credentials {
        Credentials {
            server: ServerUrl::parse("https://team.example").unwrap(),
            team: Some("demo".into()),
            access: token(&format!("access-{number}")),
            refresh: token(&format!("refresh-{number}")),
            wire_version: WIRE_VERSIONS[0].into(),
            signed_in_at: Timestamp::from_millis(1_764_689_445_123),
        }
    }

    fn store() -> (tempfile::TempDir, CredentialStore) {
        let folder = tempfile::tempdir().unwrap();
        let user = UserFolders { state: Some(folder.path().join("state")), ..UserFolders::default() };
        let store = CredentialStore::of(&user).unwrap();
        (folder, store)
    }

    fn signed_in() -> (tempfile::TempDir, CredentialStore) {
        let (folder, store) = store();
        store.save(&credentials(1)).unwrap();
        (folder, store)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn change_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_saved_is_read_by_the_user_alone() {
        let (_folder, store) = store();
        assert!(matches!(store.read(), Err(CredentialError::SignedOut)));
        for kept in [credentials(1), Credentials { team: None, wire_version: "3.0".into(), ..credentials(2) }] {
            store.save(&kept).unwrap();
            assert_eq!(store.read().unwrap(), kept);
            assert_eq!((mode(&store.folder), mode(&store.path())), (0o700, 0o600));
        }
        assert!(store.remove().unwrap());
        assert!(matches!(store.read(), Err(CredentialError::SignedOut)));
        assert!(!store.remove().unwrap());
        assert!(matches!(CredentialStore::of(&UserFolders::default()), Err(CredentialError::NoFolder)));
    }

    #[test]
    fn what_others_can_read_counts_as_signed_out_and_says_what_to_do() {
        for bad in [0o640, 0o604, 0o620, 0o666] {
            let (_folder, store) = signed_in();
            change_mode(&store.path(), bad);
            let error = store.read().unwrap_err();
            assert!(error.is_signed_out());
            assert!(error.to_string().contains(&format!("`chmod 600 {}`", store.path().display())), "{error}");
            store.save(&credentials(2)).unwrap();
            assert_eq!(store.read().unwrap().access, token("access-2"), "signing in heals it");
        }
        let (_folder, store) = signed_in();
        change_mode(&store.folder, 0o755);
        for error in [store.read().unwrap_err(), store.save(&credentials(2)).unwrap_err()] {
            assert!(error.to_string().contains(&format!("`chmod 700 {}`", store.folder.display())), "{error}");
        }
        assert!(store.remove().unwrap(), "signing out always works");
    }

    #[test]
    fn a_damaged_file_counts_as_signed_out() {
        let whole = serde_json::to_string(&Stored::of(&credentials(1))).unwrap();
        let with = |from: &str, to: &str| whole.replace(from, to);
        for text in [
            String::new(),
            "x".into(),
            "[]".into(),
            whole[..whole.len() / 2].into(),
            with("https://", "http://"),
            with("\"1.0\"", "\"7.0\""),
            with("access-1", "access 1"),
            with("2025-", "20-"),
            format!("{whole}{}", " ".repeat(MAX_BYTES)),
        ] {
            let (_folder, store) = signed_in();
            fs::write(store.path(), &text).unwrap();
            let error = store.read().unwrap_err();
            assert!(matches!(error, CredentialError::Damaged(_)), "{text}: {error}");
            assert!(error.is_signed_out() && !format!("{error} {error:?}").contains("access"), "{error:?}");
        }
        let (_folder, store) = signed_in();
        fs::remove_file(store.path()).unwrap();
        fs::create_dir(store.path()).unwrap();
        change_mode(&store.path(), 0o700);
        assert!(matches!(store.read(), Err(CredentialError::Damaged(_))));
    }

    #[test]
    fn a_writer_that_was_killed_leaves_no_tokens_behind() {
        let (_folder, store) = signed_in();
        let left = store.folder.join(format!("credentials.new-{}", std::process::id()));
        fs::write(&left, "access").unwrap();
        store.save(&credentials(2)).unwrap();
        assert!(!left.exists());
        fs::write(&left, "access").unwrap();
        store.remove().unwrap();
        let mut names = fs::read_dir(&store.folder).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!((names.next(), names.next()), (Some("credentials.lock".into()), None));
    }

    #[test]
    fn a_refresh_keeps_what_it_brought_and_nothing_that_is_older() {
        let (_folder, store) = signed_in();
        let held = store.read().unwrap();
        assert!(store.reread_if_changed(&held).unwrap().is_none());
        let kept = store.save_refreshed(&held, token("access-2"), None).unwrap();
        assert_eq!(
            (&kept.access, &kept.refresh, kept.signed_in_at),
            (&token("access-2"), &held.refresh, held.signed_in_at)
        );
        assert_eq!(store.reread_if_changed(&held).unwrap().as_ref(), Some(&kept));

        let kept = store.save_refreshed(&kept, token("access-3"), Some(token("refresh-3"))).unwrap();
        assert_eq!(store.read().unwrap(), kept);
        let stale = store.save_refreshed(&held, token("stale"), Some(token("stale"))).unwrap();
        assert_eq!(stale, kept, "another process was first");

        store.save(&credentials(9)).unwrap();
        assert_eq!(store.save_refreshed(&kept, token("stale"), None).unwrap(), credentials(9), "signed in anew");
        store.remove().unwrap();
        let gone = store.save_refreshed(&credentials(9), token("stale"), None);
        assert!(matches!(gone, Err(CredentialError::SignedOut)), "signed out for good");
    }

    #[test]
    fn each_refresh_token_is_used_once_whoever_refreshes() {
        let (_folder, store) = signed_in();
        let held = store.read().unwrap();
        let exchanges = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let kept = store.refresh(&held, Duration::from_secs(30), |held| {
                        exchanges.fetch_add(1, Ordering::SeqCst);
                        assert_eq!(held.refresh, token("refresh-1"));
                        Ok::<_, CredentialError>((token("access-2"), Some(token("refresh-2"))))
                    });
                    assert_eq!(kept.unwrap().refresh, token("refresh-2"));
                });
            }
        });
        assert_eq!(exchanges.into_inner(), 1);
    }

    #[test]
    fn a_refresh_that_fails_leaves_what_was_there() {
        let (_folder, store) = signed_in();
        let failed = store.refresh(&credentials(1), Duration::from_secs(5), |_| Err(CredentialError::SignedOut));
        assert!(failed.is_err());
        assert_eq!(store.read().unwrap(), credentials(1));
        let lock = store.lock(LOCK_WAIT).unwrap();
        let busy = store.refresh(&credentials(1), Duration::from_millis(20), |_| Err(CredentialError::SignedOut));
        assert!(matches!(busy, Err(CredentialError::Busy(_))), "{busy:?}");
        drop(lock);
    }
}
