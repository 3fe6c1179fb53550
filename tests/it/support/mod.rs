//! A hermetic project: its own folders for user, state and configuration, a clean environment, and the
//! binary under test.

pub mod browser;
pub mod crowd;
#[allow(dead_code, reason = "it is one server for all tests and for an example; each uses its part")]
#[path = "../../support/sync_server.rs"]
pub mod sync_server;
pub mod team;

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A project in a temporary folder.
pub struct TestProject {
    folder: TempDir,
    hooks: &'static str,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl TestProject {
    /// A project with `.knockon/`.
    pub fn new() -> Self {
        Self::with_hooks_folder(".knockon")
    }

    /// A project with `.flowspec/hooks/`.
    pub fn flowspec() -> Self {
        Self::with_hooks_folder(".flowspec/hooks")
    }

    /// A folder without any marker.
    pub fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        make_folder(&folder.path().join("project"));
        fs::create_dir_all(folder.path().join("home")).unwrap();
        TestProject { folder, hooks: ".knockon" }
    }

    fn with_hooks_folder(hooks: &'static str) -> Self {
        let project = TestProject { hooks, ..Self::bare() };
        make_folder(&project.root().join(hooks));
        project
    }

    /// A project whose hooks.yaml has `hooks` under `hooks:`, trusted.
    pub fn trusted(hooks: &str) -> Self {
        let project = Self::new();
        project.hooks(hooks);
        project.trust();
        project
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("project")
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("home")
    }

    pub fn hooks_folder(&self) -> PathBuf {
        self.root().join(self.hooks)
    }

    /// Writes hooks.yaml with `hooks`, a YAML list.
    pub fn hooks(&self, hooks: &str) {
        self.config(format!("version: \"1.0\"\ndefaults: {{shell: /bin/sh}}\nhooks:\n{hooks}"));
    }

    /// Writes hooks.yaml into a folder that may be new.
    pub fn config_in(&self, folder: &str, text: &str) {
        make_folder(&self.root().join(folder));
        write(&self.root().join(folder).join("hooks.yaml"), text, 0o644);
    }

    /// Writes hooks.yaml.
    pub fn config(&self, text: impl AsRef<[u8]>) {
        write(&self.hooks_folder().join("hooks.yaml"), text, 0o644);
    }

    /// Writes an executable script into the hooks folder.
    pub fn script(&self, name: &str, text: &str) {
        write(&self.hooks_folder().join(name), text, 0o755);
    }

    /// Writes a file of the project.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root().join(name);
        make_folder(path.parent().unwrap());
        write(&path, text, 0o644);
        path
    }

    /// A file of the project, as text.
    pub fn read(&self, name: &str) -> String {
        let path = self.root().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn exists(&self, name: &str) -> bool {
        self.root().join(name).exists()
    }

    /// Trusts what is there. A log that begins with that is removed again: tests count what comes after it.
    pub fn trust(&self) {
        let log = self.hooks_folder().join("audit.log");
        let is_first = !log.exists();
        let hash = self.ok(&["trust", "--print-hash"]).stdout;
        self.ok(&["trust", "--hash", hash.trim()]);
        if is_first {
            let _ = fs::remove_file(log);
            let _ = fs::remove_dir_all(self.home().join(".local/state/knockon/seals"));
        }
    }

    /// knockon with the hermetic environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.program(env!("CARGO_BIN_EXE_knockon"), arguments)
    }

    /// Any program with the hermetic environment; a shell script finds knockon in `$KNOCKON_BINARY`.
    pub fn program(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.root()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.home()).env("LANG", "C.UTF-8");
        command.env("KNOCKON_BINARY", env!("CARGO_BIN_EXE_knockon"));
        command
    }

    /// Runs knockon.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Runs knockon with `input` on standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A command that refuses its input early closes the pipe; that is no failure of the test.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let ran = finish(child);
        writer.join().unwrap();
        ran
    }

    /// Runs knockon on a terminal of its own (util-linux `script`), types `answer`, and returns the exit
    /// code and what the terminal showed.
    pub fn on_a_terminal(&self, arguments: &str, answer: &str) -> (i32, String) {
        let line = format!("\"$KNOCKON_BINARY\" {arguments}");
        let mut terminal = self.program("script", &["-qec", &line, "/dev/null"]);
        terminal.env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = terminal.spawn().unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        let ran = finish(child);
        (ran.code, ran.stdout)
    }

    /// Runs knockon and expects it to end with 0.
    pub fn ok(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran
    }

    /// Runs knockon, expects 0, and reads its output as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.ok(arguments);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
    }

    /// The audit log, record by record, without those of what the user decided (`trust` and the like).
    pub fn audit(&self) -> Vec<Value> {
        let decided =
            |record: &Value| ["trusted", "untrusted", "sealed"].iter().any(|status| record["status"] == *status);
        self.audit_whole().into_iter().filter(|record| !decided(record)).collect()
    }

    /// The audit log, record by record.
    pub fn audit_whole(&self) -> Vec<Value> {
        let numbered = (1..10).rev().map(|number| format!("audit.log.{number}"));
        let names = numbered.chain(["audit.log".to_owned()]);
        let text = |name: String| fs::read_to_string(self.hooks_folder().join(name)).unwrap_or_default();
        let text: String = names.map(text).collect();
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let records: Vec<Value> = text.lines().map(read).collect();
        let is_ours = |record: &&Value| record["event_type"].is_string() || record["host"].is_string();
        records.iter().filter(is_ours).for_each(check_record);
        records
    }

    /// `hook status` of every record that has a hook, and the status of the others.
    pub fn audit_story(&self) -> Vec<String> {
        let story = |record: &Value| match record["hook"].as_str() {
            Some(hook) => format!("{hook} {}", record["status"].as_str().unwrap()),
            None => record["status"].as_str().unwrap().to_owned(),
        };
        self.audit().iter().map(story).collect()
    }
}

/// Whether a record is as its published schema says, with no field that the schema does not know.
fn check_record(record: &Value) {
    static SCHEMA: LazyLock<(jsonschema::Validator, Value)> = LazyLock::new(|| {
        let text = knockon::event::SCHEMAS.iter().find(|schema| schema.name == "audit").unwrap().text;
        let schema: Value = serde_json::from_str(text).unwrap();
        (jsonschema::validator_for(&schema).unwrap(), schema)
    });
    let (validator, schema) = &*SCHEMA;
    let problems: Vec<String> = validator.iter_errors(record).map(|problem| problem.to_string()).collect();
    assert!(problems.is_empty(), "{problems:?}: {record}");
    let unknown: Vec<&String> =
        record.as_object().unwrap().keys().filter(|key| schema["properties"].get(key).is_none()).collect();
    assert!(unknown.is_empty(), "{unknown:?} is not in the schema: {record}");
}

pub fn finish(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Writes a file with exactly this mode, whatever the umask.
pub fn write(path: &Path, text: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn make_folder(path: &Path) {
    fs::create_dir_all(path).unwrap();
    let mut folder = path.to_owned();
    while folder.file_name().is_some_and(|name| name != "project") {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        folder.pop();
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Waits for a fact, and fails when it does not come within ten seconds.
pub fn wait_until(what: &str, fact: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !fact() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Replaces what differs from run to run: event ids, hashes, times and the project's path.
pub fn stable(text: &str, project: &TestProject) -> String {
    let text = text.replace(&*project.root().to_string_lossy(), "/project");
    let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
    words
        .map(|word| {
            let core = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let end = &word[core.len()..];
            match core {
                id if id.starts_with("evt_") && id.len() == 30 => format!("evt_ID{end}"),
                hash if hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => format!("HASH{end}"),
                _ => word.to_owned(),
            }
        })
        .collect()
}

/// Starts knockon with every signal as usual: whoever started the tests may ignore some, as `nohup` and
/// background jobs do.
pub fn with_default_signals(project: &TestProject, arguments: &[&str]) -> Child {
    let start = "import os, signal, sys\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_DFL)\nos.execv(os.environ['KNOCKON_BINARY'], ['knockon'] + sys.argv[1:])";
    let mut command = project.program("python3", &[&["-c", start], arguments].concat());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

pub fn kill(signal: &str, child: &Child) {
    let line = format!("kill -{signal} {}", child.id());
    assert!(std::process::Command::new("/bin/sh").args(["-c", &line]).status().unwrap().success());
}

/// The processes that have `mark` in their environment, whoever their parent is by now.
pub fn marked(mark: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let of = processes.filter(|path| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        let marked = environment.windows(mark.len()).any(|window| window == mark.as_bytes());
        // What is dead and not yet removed has no environment any more.
        marked && !fs::read_to_string(path.join("stat")).unwrap_or_default().contains(") Z ")
    });
    of.map(|path| fs::read_to_string(path.join("cmdline")).unwrap_or_default().replace('\0', " ")).collect()
}

/// Starts processes that hide in every way there is: in the background, in a session of their own, as orphans
/// of orphans, and again and again under new ids.
pub const HIDING: &str = r#"#!/bin/bash
sleep 300 &
setsid sleep 301 &
(setsid bash -c '(setsid sleep 302 &) ; (sleep 303 &)' &)
setsid bash -c 'hop() { if [ $1 -lt 100000 ]; then sleep 0.03; exec setsid -f bash -c "$(declare -f hop); hop $(($1+1))"; fi; }; hop 0' &
trap '' TERM
touch up
"#;

/// A hook that forks all the time ends with all that it started, and the next hook runs.
pub fn fork_bomb(how: &str, count: u32) {
    let project = TestProject::new();
    let mark = format!("MARK=bomb-{}-{how}-{count}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    project.hooks(&format!(
        "- {{name: bomb, events: [{{type: a.b}}], command: [python3, bomb.py, '{count}', {how}], timeout: 1, env: {{{name}: {value}}}}}\n\
         - {{name: next, events: [{{type: a.b}}], command: touch next}}\n"
    ));
    project.file("bomb.py", include_str!("../../fixtures/fork_bomb.py"));
    project.trust();
    let begun = Instant::now();
    let document = project.json(&["emit", "a.b", "--json"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{how} {count}: {:?}", begun.elapsed());
    assert_eq!(document["results"][0]["status"], "timeout", "{how} {count}: {document}");
    assert!(project.exists("next"), "{how} {count}: the runner goes on");
    // What watches over it goes on alone if it needs longer, and the record says so.
    let survivors = document["results"][0]["survivors"] == serde_json::json!(true);
    assert!(survivors || marked(&mark).is_empty(), "{how} {count}: {document}");
    wait_until("the end of all", || marked(&mark).is_empty());
}
