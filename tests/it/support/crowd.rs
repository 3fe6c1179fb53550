//! A project whose work-package events go to a sync test server, and processes that make such events.

use super::TestProject;
use super::sync_server::SyncServer;
use knockon::store::SyncQueue;
use knockon::work_package::Created;
use knockon::{EmitReport, Emitter, EmitterOptions, EventDraft, Project, UserFolders};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a process is told that is to make events: in which way, and how many.
const EMITTER: &str = "KNOCKON_TEST_EMITTER";

/// An event that somebody was told is made: its id and its time of the clock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acknowledged {
    pub id: String,
    pub lamport: u64,
}

/// A project that takes part, and its team's server.
pub struct Crowd {
    pub project: TestProject,
    pub server: SyncServer,
}

impl Crowd {
    /// A project that agreed and whose user is not signed in; batches of so many bytes follow each other at once.
    pub fn new(batch_size: &str) -> Self {
        let project = TestProject::new();
        project.config("version: '1.0'\nhooks: []\n");
        let crowd = Crowd { project, server: SyncServer::start() };
        crowd.settings(batch_size);
        crowd.project.ok(&["sync", "enable"]);
        crowd
    }

    pub fn settings(&self, batch_size: &str) {
        let folder = self.project.home().join(".config/knockon");
        fs::create_dir_all(&folder).unwrap();
        let settings = format!("version: '1.0'\nsync: {{interval: 0s, batch_size: {batch_size}}}\n");
        fs::write(folder.join("settings.yaml"), settings).unwrap();
    }

    pub fn sign_in(&self) {
        let tokens = self.project.home().join("tokens.json");
        self.server.write_token_file(&tokens).unwrap();
        let (url, tokens) = (self.server.url(), tokens.to_str().unwrap().to_owned());
        self.project.ok(&["sync", "login", "--server", &url, "--team", "demo", "--token-file", &tokens]);
    }

    /// The folder with the store.
    pub fn state(&self) -> PathBuf {
        self.project.home().join(".local/state/knockon")
    }

    pub fn user(&self) -> UserFolders {
        let home = self.project.home();
        UserFolders::from_environment(|name| (name == "HOME").then(|| home.clone().into()))
    }

    pub fn queue(&self) -> SyncQueue {
        SyncQueue::open(&self.user()).unwrap()
    }

    /// The ids of what is queued and may be sent, in order.
    pub fn queued(&self) -> Vec<String> {
        let store = open(&self.state());
        let agreed = "SELECT project FROM consent WHERE agreed = 1";
        let query = format!("SELECT event_id FROM sync_event WHERE project IN ({agreed}) ORDER BY id");
        let mut query = store.prepare(&query).unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// Makes events in this process; returns them in order.
    pub fn emit(&self, count: usize) -> Vec<Acknowledged> {
        let project = Project::at(&self.project.root()).unwrap();
        let emitter = Emitter::open(project, &self.user(), EmitterOptions::default());
        let mut all = Vec::new();
        emitter.emit_all((0..count).map(draft), |report| all.push(acknowledged(&report).expect("it has a time")));
        all
    }

    /// What `wp created` says of an event that it made, if it was made and queued: with exit code, warnings and all.
    pub fn create(&self) -> (i32, Value, String) {
        let ran = self.project.run(&CREATE);
        (ran.code, serde_json::from_str(&ran.stdout).unwrap_or_default(), ran.stderr)
    }

    /// Empties the queue, however often that takes.
    #[track_caller]
    pub fn sync_until_empty(&self, most: usize) -> usize {
        for times in 1..=most {
            let ran = self.project.run(&["sync", "now", "--json"]);
            // Two 401 in a row are the end of a pass (4); nobody's sign-in is really gone.
            assert!([0, 1, 4, 69].contains(&ran.code), "{ran:?}");
            if self.queued().is_empty() {
                return times;
            }
        }
        panic!("after {most} times {} events are left", self.queued().len());
    }

    /// What the server has: how many are missing, and how many it has more than once.
    pub fn lost_and_doubled(&self, wanted: &[Acknowledged]) -> (usize, usize) {
        let ids = self.server.ids();
        let there: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
        let lost = wanted.iter().filter(|event| !there.contains(event.id.as_str())).count();
        (lost, ids.len() - there.len())
    }

    /// Starts a process that makes events: in one process by the library (`library`), by a process each (`commands`),
    /// or with a clock that is a bare JSON file (`naive`). `test` is the test of this binary that calls
    /// [`be_an_emitter`].
    pub fn start_emitter(&self, test: &str, way: &str, count: usize) -> Child {
        let program = std::env::current_exe().unwrap();
        let mut command = self.project.program(program.to_str().unwrap(), &["--exact", test, "--nocapture"]);
        emitter(&mut command, way, count)
    }

    /// How many dead letters there are.
    pub fn dead(&self) -> usize {
        self.queue().dead_letters().unwrap().len()
    }
}

/// The store in a folder, which is left as it is when this is closed.
pub fn open(state: &Path) -> Connection {
    let store = Connection::open(state.join("knockon.db")).unwrap();
    store.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    store
}

/// Nothing is wrong with the store in a folder.
#[track_caller]
pub fn sound(state: &Path, what: &str) {
    let checked: String = open(state).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(checked, "ok", "{what}");
}

/// One event by the command line.
pub const CREATE: [&str; 9] =
    ["wp", "created", "--wp-id", "WP01", "--title", "Login", "--feature-slug", "001-auth", "--json"];

/// Makes of a command that starts this binary one that makes events.
pub fn emitter(command: &mut Command, way: &str, count: usize) -> Child {
    let told = format!("{way} {count}");
    command.env(EMITTER, told).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// The n-th event: small enough that a thousand fit into the largest batch.
pub fn draft(number: usize) -> EventDraft {
    let wp_id = format!("WP{:02}", number % 100);
    Created { wp_id, title: "Login".into(), feature_slug: "001-auth".into(), dependencies: Vec::new() }.draft()
}

/// The event of a report, if it has a time and is queued.
pub fn acknowledged(report: &EmitReport) -> Option<Acknowledged> {
    let event = report.event.as_ref()?;
    let lamport = event.json().get("lamport_clock")?.text().parse().ok()?;
    Some(Acknowledged { id: event.id().ulid().to_owned(), lamport })
}

/// What a process is that [`Crowd::start_emitter`] started; nothing in a run of the tests.
pub fn be_an_emitter() {
    let Some(told) = std::env::var(EMITTER).ok() else { return };
    let (way, count) = told.split_once(' ').unwrap();
    let count: usize = count.parse().unwrap();
    let root = std::env::current_dir().unwrap();
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "\nready").unwrap();
    let mut say = |id: &str, lamport: u64| {
        // One write: a line is there as a whole, or not at all.
        stdout.write_all(format!("{id} {lamport}\n").as_bytes()).unwrap();
        stdout.flush().unwrap();
    };
    match way {
        "library" => {
            let project = Project::at(&root).unwrap();
            let emitter = Emitter::open(project, &UserFolders::of_this_process(), EmitterOptions::default());
            for number in 0..count {
                let report = emitter.emit(draft(number));
                let made = acknowledged(&report).unwrap_or_else(|| panic!("{:?}", report.warnings));
                say(&made.id, made.lamport);
            }
        }
        "commands" => {
            for _ in 0..count {
                let program = std::env::var_os("KNOCKON_BINARY").unwrap();
                let output = Command::new(program).args(CREATE).output().unwrap();
                assert!(output.status.success(), "{output:?}");
                let document: Value = serde_json::from_slice(&output.stdout).unwrap();
                let made = of_document(&document).unwrap_or_else(|| panic!("{output:?}"));
                say(&made.id, made.lamport);
            }
        }
        // A store as SQLite makes it when nobody asks it to wait for the disk; the tables are those of ours.
        "relaxed" => {
            let folder = UserFolders::of_this_process().state.unwrap();
            drop(SyncQueue::open(&UserFolders::of_this_process()).unwrap());
            let store = open(&folder);
            store.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000").unwrap();
            let insert = "INSERT INTO sync_event (id, event_id, project, event_type, event, queued_ms)
                SELECT rows, ?1, x'2f', 'wp.created', '{}', 0 FROM sync";
            for number in 0..count {
                let id = format!("{:010}{number:016}", std::process::id());
                store.execute_batch("BEGIN IMMEDIATE; UPDATE sync SET rows = rows + 1").unwrap();
                store.execute(insert, [&id]).unwrap();
                store.execute_batch("COMMIT").unwrap();
                say(&id, number as u64);
                // Not more than whoever listens can hear until the power goes.
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        }
        // What everybody writes first.
        "naive" => {
            let path = root.join("clock.json");
            for _ in 0..count {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let clock: Value = serde_json::from_str(&text).unwrap_or_default();
                let value = clock["value"].as_u64().unwrap_or(0) + 1;
                fs::write(&path, serde_json::json!({ "value": value }).to_string()).unwrap();
                say("naive", value);
            }
        }
        other => panic!("{other}"),
    }
}

/// The event that a command printed, if it has a time.
pub fn of_document(document: &Value) -> Option<Acknowledged> {
    let event = &document["event"];
    let id = event["event_id"].as_str()?.strip_prefix("evt_")?.to_owned();
    Some(Acknowledged { id, lamport: event["lamport_clock"].as_u64()? })
}

/// What an emitter says of an event in a line, if the line is whole.
pub fn of_line(line: &str) -> Option<Acknowledged> {
    let (id, lamport) = line.split_once(' ')?;
    let lamport = lamport.parse().ok()?;
    (id.len() == 26 || id == "naive").then(|| Acknowledged { id: id.to_owned(), lamport })
}

/// What an emitter said until its end.
pub fn said(child: &mut Child) -> Vec<Acknowledged> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).skip_while(|line| line != "ready").filter_map(|line| of_line(&line)).collect()
}

/// How many times of the clock were given out more than once.
pub fn repeated<'a>(all: impl IntoIterator<Item = &'a Acknowledged>) -> usize {
    let mut times: BTreeMap<u64, usize> = BTreeMap::new();
    all.into_iter().for_each(|event| *times.entry(event.lamport).or_default() += 1);
    times.values().filter(|times| **times > 1).count()
}

/// Damages the store in one of several ways, and says in which: whole pages, single bytes, a file that is cut off.
pub fn damage(state: &Path, mut random: impl FnMut() -> u64) -> String {
    let mut upto = |most: usize| usize::try_from(random()).unwrap_or(usize::MAX) % most.max(1);
    let log = state.join("knockon.db-wal");
    // What is in the log is the newest; each run hits it now and then.
    let in_log = upto(3) == 0 && fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    let path = if in_log { log } else { state.join("knockon.db") };
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let mut bytes = fs::read(&path).unwrap();
    let (length, pages) = (bytes.len(), bytes.len() / 4096);
    let told = match upto(6) {
        0 => {
            bytes.truncate(upto(length));
            format!("{name} cut off at {} of {length}", bytes.len())
        }
        1 => {
            let at = upto(pages) * 4096;
            bytes[at..at + 4096].fill(0);
            format!("{name}: page {} zeroed", at / 4096)
        }
        2 | 3 => {
            let hit: Vec<usize> = (0..1 + upto(3)).map(|_| upto(pages)).collect();
            for page in &hit {
                bytes[page * 4096..(page + 1) * 4096].fill_with(|| upto(256) as u8);
            }
            format!("{name}: random pages {hit:?}")
        }
        _ => {
            let hit: Vec<usize> = (0..1 + upto(64)).map(|_| upto(length)).collect();
            for at in &hit {
                bytes[*at] = upto(256) as u8;
            }
            format!("{name}: {} random bytes", hit.len())
        }
    };
    fs::write(&path, bytes).unwrap();
    told
}

/// The damaged stores that lie aside.
pub fn aside(state: &Path) -> Vec<String> {
    let names = fs::read_dir(state).unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        names.filter(|name| name.contains("damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm")).collect();
    names.sort();
    names
}

/// What became of a damaged store, when all that could be asked of it was.
#[derive(Debug, Default)]
pub struct Damaged {
    /// Events that had been acknowledged before.
    pub before: usize,
    /// Those of them that the server has.
    pub arrived: usize,
    /// Events that were acknowledged after the damage and before it was seen, on a page that cannot be read.
    pub lost_since: usize,
    /// Whether the damage was seen, and the store moved aside.
    pub seen: bool,
}

/// Queues events, damages the store, and holds what is promised of that: no panic, no time twice, a word on where the
/// damaged file went, and everything that could be read reaches the server once.
pub fn survive_damage(events: usize, random: impl FnMut() -> u64) -> Damaged {
    let crowd = Crowd::new("512KiB");
    let mut made = crowd.emit(events);
    crowd.sign_in();
    let what = damage(&crowd.state(), random);
    let before = made.len();
    let mut told = String::new();
    for _ in 0..3 {
        let (code, document, stderr) = crowd.create();
        assert!(code == 0 && !stderr.contains("panicked"), "{what}: {code} {stderr}");
        told.push_str(&stderr);
        made.push(of_document(&document).unwrap_or_else(|| panic!("{what}: it has a place in order: {stderr}")));
    }
    assert_eq!(repeated(&made), 0, "{what}: {:?}", &made[before - 3..]);
    // Whoever was signed in may be among what was lost; the credentials are not.
    crowd.sign_in();
    for arguments in [&["sync", "enable"][..], &["sync", "now"], &["sync", "now"]] {
        let ran = crowd.project.run(arguments);
        assert!([0, 1].contains(&ran.code) && !ran.stderr.contains("panicked"), "{what}: {arguments:?}: {ran:?}");
        told.push_str(&ran.stderr);
    }
    // What came out changed, and still is an event, is the server's to refuse, or of a project that nobody knows.
    let unsent = "SELECT count(*) FROM sync_event WHERE retry_count = 0 AND project = ?1";
    let project = crowd.project.root().into_os_string().into_encoded_bytes();
    let unsent = open(&crowd.state()).query_row(unsent, [project], |row| row.get(0));
    assert_eq!(unsent, Ok(0), "{what}: {told}");
    let aside = aside(&crowd.state());
    // A drain in the background tells nobody.
    told.push_str(&crowd.project.run(&["doctor", "--json"]).stdout);
    for name in &aside {
        assert!(told.contains(name.as_str()), "{what}: {name} is told of: {told}");
    }
    let (_, doubled) = crowd.lost_and_doubled(&made);
    assert_eq!(doubled, 0, "{what}");
    let (lost_since, _) = crowd.lost_and_doubled(&made[before..]);
    // Unless the page it was written to turned out to be damaged as well.
    assert!(lost_since == 0 || !aside.is_empty(), "{what}: what was acknowledged after the damage arrives");
    let (lost, _) = crowd.lost_and_doubled(&made[..before]);
    Damaged { before, arrived: before - lost, lost_since, seen: !aside.is_empty() }
}
