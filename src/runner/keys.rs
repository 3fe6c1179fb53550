//! Where keys and passwords usually are, which a sandboxed hook does not read.

use std::path::{Path, PathBuf};

/// Where keys usually are, below the home folder.
const KEYS_AT_HOME: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".netrc",
    ".git-credentials",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".vault-token",
    ".password-store",
    ".config/knockon",
    ".cache/knockon",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".gem/credentials",
    ".m2/settings.xml",
    ".config/gcloud",
    ".config/gh",
    ".config/git/credentials",
    ".config/op",
    ".config/rclone",
    ".config/sops",
    ".local/share/keyrings",
    ".local/state/knockon",
    ".mozilla",
    ".config/chromium",
    ".config/google-chrome",
    ".bash_history",
    ".zsh_history",
];
/// And below the root.
const KEYS_OF_MACHINE: &[&str] = &["/etc/shadow", "/etc/gshadow", "/etc/ssl/private", "/etc/sudoers", "/etc/sudoers.d"];

/// All of these places, whether there is something or not.
pub(super) fn usual_places(home: Option<&Path>) -> Vec<PathBuf> {
    let at_home = home.into_iter().flat_map(|home| KEYS_AT_HOME.iter().map(|path| home.join(path)));
    at_home.chain(KEYS_OF_MACHINE.iter().map(PathBuf::from)).collect()
}
