//! What an envelope says of the project it comes from, as its files tell.

use crate::sys;
use crate::work_package::Origin;
use std::path::Path;

/// The most bytes of a file that is looked into.
const MOST_BYTES: usize = 64 * 1024;
/// The most characters of a name.
const LONGEST: usize = 100;

/// What the files of a project say; what they do not say is left out.
pub(super) fn origin(project: &Path, team: &str) -> Origin {
    let remote = text(&project.join(".git/config")).as_deref().and_then(remote_of);
    let repo_slug = remote.as_deref().and_then(repo_slug);
    let named = repo_slug.as_deref().and_then(|slug| slug.rsplit('/').next()).map(str::to_owned);
    let folder = || project.file_name().map(|name| name.to_string_lossy().into_owned());
    Origin {
        team_slug: team.to_owned(),
        replaces_team: false,
        project_uuid: text(&project.join(".kittify/config.yaml")).as_deref().and_then(uuid_of),
        project_slug: named.or_else(folder).map(|name| kebab(&name)).filter(|slug| !slug.is_empty()),
        build_id: None,
        repo_slug,
    }
}

fn text(path: &Path) -> Option<String> {
    String::from_utf8(sys::read_regular(path, MOST_BYTES).ok()?).ok()
}

/// The URL of `origin` in git's configuration (git-config(1)), without user and password.
fn remote_of(config: &str) -> Option<String> {
    let section = config.lines().map(str::trim).skip_while(|line| *line != "[remote \"origin\"]").skip(1);
    let mut section = section.take_while(|line| !line.starts_with('['));
    let url = section.find_map(|line| line.strip_prefix("url")?.trim_start().strip_prefix('='))?.trim();
    Some(url.to_owned())
}

/// `owner/name` of a remote: the last two parts of its path.
fn repo_slug(url: &str) -> Option<String> {
    let path = url.trim_end_matches('/').trim_end_matches(".git");
    // Of `host:owner/name` and `https://user:password@host/owner/name` alike.
    let mut parts = path.rsplit(['/', ':']).take(2).filter(|part| is_name(part));
    let (name, owner) = (parts.next()?, parts.next()?);
    Some(format!("{owner}/{name}"))
}

fn is_name(part: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !part.is_empty() && part.len() <= LONGEST && part.bytes().all(allowed)
}

/// The UUID that spec-kitty keeps under `project:`.
fn uuid_of(config: &str) -> Option<String> {
    let project = config.lines().skip_while(|line| line.trim_end() != "project:").skip(1);
    let mut project = project.take_while(|line| line.starts_with([' ', '#']) || line.trim().is_empty());
    let uuid = project.find_map(|line| line.trim().strip_prefix("uuid:"))?.trim().trim_matches(['"', '\'']);
    let form = "00000000-0000-0000-0000-000000000000";
    let fits = |(byte, wanted): (u8, u8)| if wanted == b'-' { byte == b'-' } else { byte.is_ascii_hexdigit() };
    (uuid.len() == form.len() && uuid.bytes().zip(form.bytes()).all(fits)).then(|| uuid.to_ascii_lowercase())
}

/// A name in lower-case letters, digits and single hyphens.
fn kebab(name: &str) -> String {
    let words = name.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-");
    slug.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_project_say_what_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("My_Project 2");
        std::fs::create_dir_all(root.join(".git")).unwrap();
        std::fs::create_dir_all(root.join(".kittify")).unwrap();
        let bare = origin(&root, "team");
        assert_eq!(
            (bare.project_slug.as_deref(), bare.repo_slug, bare.project_uuid),
            (Some("my-project-2"), None, None)
        );
        let uuid = "550E8400-e29b-41d4-a716-446655440000";
        std::fs::write(root.join(".kittify/config.yaml"), format!("vcs: git\nproject:\n  slug: x\n  uuid: '{uuid}'\n"))
            .unwrap();
        for url in [
            "git@github.com:acme/Rocket.git",
            "https://me:secret@git.example/acme/Rocket.git",
            "ssh://git.example/acme/Rocket/",
        ] {
            let config = format!(
                "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = {url}\n\tfetch = +refs\n[branch \"main\"]\n"
            );
            std::fs::write(root.join(".git/config"), config).unwrap();
            let origin = origin(&root, "team");
            assert_eq!(
                (origin.repo_slug.as_deref(), origin.project_slug.as_deref()),
                (Some("acme/Rocket"), Some("rocket"))
            );
            assert_eq!(origin.project_uuid, Some(uuid.to_ascii_lowercase()));
        }
    }
}
