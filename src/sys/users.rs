//! Who this process runs as, and what the tables of users and groups of the system say (passwd(5), group(5)).

use std::path::PathBuf;
use std::sync::OnceLock;

/// The effective user id of this process, asked once: a program that changes its user does so before it uses this library.
pub fn user_id() -> u32 {
    static ID: OnceLock<u32> = OnceLock::new();
    *ID.get_or_init(|| rustix::process::geteuid().as_raw())
}

/// Whether user namespaces can be made here (user_namespaces(7)).
pub fn has_user_namespaces() -> bool {
    let most = std::fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    most.trim().parse::<u64>().is_ok_and(|most| most > 0)
}

/// The home folder of root, as the table of users says.
pub fn home_of_root() -> PathBuf {
    let users = table("/etc/passwd");
    let root = users.iter().find(|user| has(user, 2, 0)).and_then(|user| user.get(5));
    root.filter(|home| home.starts_with('/')).map_or_else(|| "/root".into(), PathBuf::from)
}

/// Whether a group is this user's own: their primary one, which no other user is in. What the files of the system do not
/// know, such as a group of a directory service, may have others in it.
pub fn is_private_group(gid: u32) -> bool {
    if gid != rustix::process::getegid().as_raw() {
        return false;
    }
    let (groups, users) = (table("/etc/group"), table("/etc/passwd"));
    let own: Vec<&str> = users.iter().filter(|user| has(user, 2, user_id())).map(|user| user[0].as_str()).collect();
    // A user's primary group has that user as a member, too.
    let shared = users.iter().any(|user| has(user, 3, gid) && !has(user, 2, user_id()));
    let mut group = groups.iter().filter(|group| has(group, 2, gid)).peekable();
    let is_known = group.peek().is_some();
    let others = group.any(|group| {
        let members = group.get(3).map(String::as_str).unwrap_or_default();
        members.split(',').map(str::trim).any(|member| !member.is_empty() && !own.contains(&member))
    });
    is_known && !shared && !others
}

/// The fields of each line of a table; nothing when it cannot be read.
fn table(path: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
}

/// Whether a field is this number.
fn has(fields: &[String], at: usize, id: u32) -> bool {
    fields.get(at).is_some_and(|text| text.parse() == Ok(id))
}
