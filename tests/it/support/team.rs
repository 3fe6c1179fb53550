//! A project, its user, and their team's server; whatever happens, no token is to be seen afterwards.

use super::sync_server::SyncServer;
use super::{Ran, TestProject, marked, wait_until, write};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long a fact may take.
pub const SOON: Duration = Duration::from_secs(10);

/// A project and the team it belongs to. Every test that uses one holds as well that no token of the server is in what
/// was printed, in the project, or in the user's folders, where the credentials are not.
pub struct Team {
    pub server: SyncServer,
    pub project: TestProject,
    said: RefCell<String>,
}

impl Team {
    /// Nobody is signed in, no project takes part, and batches follow each other without a pause.
    pub fn new() -> Self {
        Self::of(TestProject::new())
    }

    /// As [`Team::new`], for any project.
    pub fn of(project: TestProject) -> Self {
        let team = Team { server: SyncServer::start(), project, said: RefCell::default() };
        team.settings("interval: 0s");
        team
    }

    /// As [`Team::of`], with a copy of the feature `028-event-sync` in `kitty-specs`.
    pub fn kitty(project: TestProject) -> Self {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kitty/flat");
        for path in files(&fixture) {
            let name = path.strip_prefix(&fixture).unwrap().to_string_lossy().into_owned();
            project.file(&format!("kitty-specs/{name}"), fs::read(path).unwrap());
        }
        Self::of(project)
    }

    /// Signed in, and the project takes part.
    pub fn ready(self) -> Self {
        self.login();
        self.enable();
        self
    }

    /// Writes `sync: {…}` of the user's settings.
    pub fn settings(&self, sync: &str) {
        let folder = self.project.home().join(".config/knockon");
        fs::create_dir_all(&folder).unwrap();
        write(&folder.join("settings.yaml"), format!("version: '1.0'\nsync: {{{sync}}}\n"), 0o600);
    }

    /// A file with the newest tokens.
    pub fn token_file(&self) -> String {
        let path = self.project.home().join("tokens.json");
        self.server.write_token_file(&path).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn login(&self) {
        let (url, tokens) = (self.server.url(), self.token_file());
        self.ok(&["sync", "login", "--server", &url, "--team", "demo", "--token-file", &tokens]);
    }

    pub fn enable(&self) {
        self.ok(&["sync", "enable"]);
    }

    /// Gets new tokens from the server, as a user does who signs in there.
    pub fn new_tokens(&self) {
        let body = json!({ "refresh": self.server.tokens().1 }).to_string();
        let answered = ureq::post(format!("{}/api/v1/token/refresh/", self.server.url())).send(body).unwrap();
        assert_eq!(answered.status().as_u16(), 200);
    }

    /// Runs knockon.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.heard(self.project.run(arguments))
    }

    /// Runs knockon with more in its environment.
    pub fn run_with(&self, variable: (&str, &str), arguments: &[&str]) -> Ran {
        let output = self.project.command(arguments).env(variable.0, variable.1).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap_or(-1);
        self.heard(Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) })
    }

    /// Runs knockon and expects it to end with 0.
    pub fn ok(&self, arguments: &[&str]) -> Ran {
        self.ends(arguments, 0)
    }

    /// Runs knockon and expects it to end so.
    pub fn ends(&self, arguments: &[&str], code: i32) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        ran
    }

    /// Runs knockon, expects 0, and reads its output as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.ok(arguments);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
    }

    /// Remembers what was said.
    pub fn heard(&self, ran: Ran) -> Ran {
        self.said.borrow_mut().extend([ran.stdout.as_str(), ran.stderr.as_str()]);
        ran
    }

    /// A work package moves; the id of its event, as the server has it.
    pub fn event(&self) -> String {
        self.event_of(&[])
    }

    pub fn event_of(&self, more: &[&str]) -> String {
        let line = ["wp", "status-changed", "--wp-id", "WP01", "--from", "planned", "--to", "doing", "--json"];
        let document = self.json(&[&line[..], more].concat());
        document["event"]["event_id"].as_str().unwrap().trim_start_matches("evt_").to_owned()
    }

    pub fn events(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.event()).collect()
    }

    /// Sends what is queued, and waits for whoever is at it already.
    pub fn send(&self) {
        self.ok(&["sync", "now", "--quiet"]);
    }

    /// `sync now --json`, which is to end so.
    pub fn now(&self, code: i32) -> Value {
        let ran = self.ends(&["sync", "now", "--json"], code);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    pub fn status(&self) -> Value {
        self.json(&["sync", "status", "--json"])
    }

    /// The ids in the queue, by the file itself.
    pub fn queued(&self) -> Vec<String> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let store = Connection::open_with_flags(self.state().join("knockon.db"), flags).unwrap();
        store.busy_timeout(SOON).unwrap();
        let mut query = store.prepare("SELECT event_id FROM sync_event ORDER BY id").unwrap();
        let ids = query.query_map([], |row| row.get(0)).unwrap();
        ids.collect::<Result<_, _>>().unwrap()
    }

    /// `id: reason` of each dead letter.
    pub fn dead(&self) -> Vec<(String, String)> {
        let letters = self.json(&["sync", "dead", "list", "--json"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let letters = letters["dead_letters"].as_array().unwrap().iter();
        letters.map(|letter| (text(&letter["event_id"]).replace("evt_", ""), text(&letter["reason"]))).collect()
    }

    /// The user's folder for state.
    pub fn state(&self) -> PathBuf {
        self.project.home().join(".local/state/knockon")
    }

    /// The processes of this user that nobody waits for.
    pub fn background(&self) -> Vec<String> {
        marked(&format!("HOME={}", self.project.home().display()))
    }

    /// `type of id` of what the server has, in order of arrival.
    pub fn told(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let events = self.server.events().into_iter();
        events
            .map(|taken| format!("{} {}", text(&taken.event["event_type"]), text(&taken.event["aggregate_id"])))
            .collect()
    }

    /// Ends them.
    pub fn end_background(&self) {
        let mark = format!("HOME={}", self.project.home().display());
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.windows(mark.len()).any(|window| window == mark.as_bytes()) {
                let line = format!("kill -TERM {}", entry.file_name().to_string_lossy());
                // It may have ended meanwhile.
                let _ = Command::new("/bin/sh").args(["-c", &line]).stderr(std::process::Stdio::null()).status();
            }
        }
        wait_until("the end of the background", || self.background().is_empty());
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.end_background();
        no_token("what was printed", self.said.borrow().as_bytes());
        let of_user = files(&self.project.home()).into_iter().filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name != "tokens.json" && name != "credentials.json"
        });
        for path in of_user.chain(files(&self.project.root())) {
            no_token(&path.to_string_lossy(), &fs::read(&path).unwrap());
        }
    }
}

/// That nothing looks like a token of the test server.
pub fn no_token(place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for kind in ["access-", "refresh-", "live-"] {
        for (at, _) in text.match_indices(kind) {
            let digits = text[at + kind.len()..].chars().take_while(char::is_ascii_hexdigit).count();
            assert!(digits < 16, "a token is in {place}: {kind}…");
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files(&entry.path())),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found.sort();
    found
}
