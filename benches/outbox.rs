//! What an event costs that is queued for the team, and how fast a queue empties: whole processes, the queue in this process
//! and by 32 writers, and `sync now` to a server on this machine.
//!
//! `cargo bench --bench outbox` prints the tables of `docs/performance.md` and keeps them in `target/bench/outbox.md`;
//! `-- 100` asks for so many rounds of the processes. The floor is measured in the same rounds: one fdatasync of 4 KiB.
//! The static build is measured after `scripts/build-release`.

mod support;
#[expect(dead_code, reason = "it is one server for all tests, an example and this; each uses its part")]
#[path = "../tests/support/sync_server.rs"]
mod sync_server;

use knockon::store::{Fate, Made, Place, SyncQueue};
use knockon::time::Timestamp;
use knockon::work_package::{Status, StatusChanged};
use knockon::{Emitter, EmitterOptions, EventDraft, EventId, Project, UserFolders, drafts};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Goal, Summary, binaries, median};

/// Rounds of the processes, and of what is done in this one.
const ROUNDS: usize = 60;
/// Rounds of the writers and of the sync.
const FEW: usize = 5;
/// Events of all writers of a round together.
const WRITTEN: usize = 6_400;
/// Events that are sent.
const QUEUED: usize = 20_000;
/// Events that are settled, or read, at once.
const BATCH: usize = 500;
/// What the goal says, in events a second.
const WANTED: f64 = 20_000.0;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["--writer", folder, count] => return writer(Path::new(folder), count.parse().expect("a number")),
        ["--server", kind, tokens] => return server(kind, Path::new(tokens)),
        _ if !support::is_asked() => return,
        _ => {}
    }
    let rounds = support::number_given(ROUNDS);
    // On the disk that the build is on: a temporary folder may be in memory, where nothing is durable.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let root = folder.path().canonicalize().expect("it was made a moment ago");
    let mut summary = Summary::new("outbox", &format!("rounds: {rounds}, interleaved, medians"));
    let mut goals = processes(&root.join("processes"), rounds, &mut summary);
    in_process(&root.join("in-process"), rounds * 5, &mut summary);
    writers(&root.join("writers"), &mut summary);
    goals.extend(sync(&root.join("sync"), &mut summary));
    summary.goals(&goals);
    summary.keep();
}

/// A user with a project that agreed to sync.
struct Home {
    home: PathBuf,
    project: PathBuf,
}

impl Home {
    fn new(root: &Path, settings: &str) -> Self {
        let (home, project) = (root.join("home"), root.join("project"));
        fs::create_dir_all(project.join(".knockon")).expect("the folder can be written");
        let place = Home { home, project };
        let config = place.user().config.expect("it is set");
        fs::create_dir_all(&config).expect("the folder can be written");
        fs::write(config.join("settings.yaml"), format!("version: '1.0'\n{settings}")).expect("it can be written");
        place.queue().decide(&Project::at(&place.project).expect("it was made"), true).expect("it can be written");
        place
    }

    fn user(&self) -> UserFolders {
        let of = |name: &str| Some(self.home.join(name));
        UserFolders {
            home: Some(self.home.clone()),
            config: of(".config/knockon"),
            state: of(".local/state/knockon"),
            cache: of(".cache/knockon"),
            ..UserFolders::default()
        }
    }

    fn state(&self) -> PathBuf {
        self.user().state.expect("it is set")
    }

    fn queue(&self) -> SyncQueue {
        SyncQueue::open(&self.user()).expect("the store can be opened")
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.project).env_clear().env("HOME", &self.home);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn enqueue(&self, queue: &mut SyncQueue) {
        let root = self.project.to_str().expect("the temporary folder's name is text");
        let id = EventId::generate(Timestamp::now());
        let make = |causality| moved().placed(causality).stamp(id, Timestamp::now(), root).map(Made::from);
        let made = queue.enqueue(Place { project: &self.project, told: None, most: None }, make);
        made.expect("the store can be written").expect("a valid event");
    }
}

fn moved() -> EventDraft {
    let (wp_id, feature_slug) = ("WP01".to_owned(), Some("001-user-auth".to_owned()));
    let (previous_status, new_status) = (Status::Planned, Status::Doing);
    StatusChanged { wp_id, previous_status, new_status, changed_by: None, feature_slug }.draft()
}

/// One fdatasync, of a file that grows or of one that has its size.
struct Floor {
    file: File,
    length: u64,
    grows: bool,
}

impl Floor {
    fn new(path: &Path, grows: bool) -> Self {
        let options = File::options().create(true).truncate(true).write(true).open(path);
        let mut file = options.expect("the folder can be written");
        file.write_all(&[b'x'; 4096]).expect("the disk has room");
        file.sync_all().expect("the disk takes it");
        Floor { file, length: 4096, grows }
    }

    fn time(&mut self) -> Duration {
        let began = Instant::now();
        let at = if self.grows { self.length } else { 0 };
        self.file.write_all_at(&[b'y'; 4096], at).expect("the disk has room");
        self.file.sync_data().expect("the disk takes it");
        self.length += 4096;
        began.elapsed()
    }
}

const FDATASYNC: &str = "write of 4 KiB at the end of a file, fdatasync (f)";
const IN_PLACE: &str = "the same, in place";
const PLAIN: &str = "not queued: task.completed";
const DURABLE: &str = "not queued, `--durable`: task.completed";
const QUEUING: &str = "queued, durable: emit WPCreated";
const CREATED: &str = "queued, durable: wp created";

type Timed<'a> = (String, Box<dyn FnMut() -> Duration + 'a>);

/// The medians, in microseconds, of what takes turns.
fn interleaved(mut subjects: Vec<Timed<'_>>, rounds: usize) -> Vec<(String, f64)> {
    let mut times = vec![Vec::new(); subjects.len()];
    for round in 0..=rounds {
        for ((_, subject), times) in subjects.iter_mut().zip(&mut times) {
            let took = subject();
            // The first round warms the caches.
            if round > 0 {
                times.push(took);
            }
        }
    }
    let median = |(name, _): Timed<'_>, times| (name, median(times).as_secs_f64() * 1e6);
    subjects.into_iter().zip(times).map(|(subject, times)| median(subject, times)).collect()
}

fn floors(root: &Path) -> Vec<Timed<'static>> {
    fs::create_dir_all(root).expect("the folder can be written");
    [(FDATASYNC, "grows", true), (IN_PLACE, "stays", false)]
        .into_iter()
        .map(|(name, file, grows)| {
            let mut floor = Floor::new(&root.join(file), grows);
            (name.to_owned(), Box::new(move || floor.time()) as Box<dyn FnMut() -> Duration>)
        })
        .collect()
}

fn processes(root: &Path, rounds: usize, summary: &mut Summary) -> Vec<Goal> {
    let place = &Home::new(root, "");
    let mut subjects = floors(root);
    let created = ["wp", "created", "--wp-id", "WP01", "--title", "Login", "--feature-slug", "001-user-auth"];
    let named = |build: &str, case: &str| format!("{build} build, {case}");
    let fields = ["wp_id=WP01", "title=Login", "feature_slug=001-user-auth"];
    let emitted = ["emit", "WPCreated"].into_iter().chain(fields.into_iter().flat_map(|field| ["--context", field]));
    let cases: [(&str, Vec<&str>); 4] = [
        (PLAIN, vec!["emit", "task.completed", "--task-id", "task-1"]),
        (DURABLE, vec!["emit", "--durable", "task.completed", "--task-id", "task-1"]),
        (QUEUING, emitted.collect()),
        (CREATED, created.to_vec()),
    ];
    for (build, knockon) in binaries() {
        for (case, arguments) in &cases {
            let (knockon, arguments) = (knockon.clone(), arguments.clone());
            let run = move || {
                let mut command = place.command(&knockon, &arguments);
                let began = Instant::now();
                let status = command.status();
                let took = began.elapsed();
                assert!(status.is_ok_and(|status| status.success()), "{arguments:?}");
                took
            };
            subjects.push((named(build, case), Box::new(run)));
        }
    }
    let medians = interleaved(subjects, rounds);
    let queued = place.queue().standing().expect("it can be read").depth;
    assert_eq!(queued, (2 * binaries().len() * (rounds + 1)) as u64, "nothing is lost");
    let of = |name: &str| medians.iter().find(|(own, _)| own == name).map(|(_, micros)| *micros);
    let floor = of(FDATASYNC).unwrap_or(f64::NAN);
    summary.table(&["whole process", "µs", "× (f)", "× not queued"]);
    for (name, micros) in &medians {
        let plain = name.split_once(", ").and_then(|(build, _)| of(&format!("{build}, {PLAIN}")));
        let ratio = plain.map_or("–".to_owned(), |plain| format!("{:.2}", micros / plain));
        summary.row(&[name, &format!("{micros:.0}"), &format!("{:.1}", micros / floor), &ratio]);
    }
    let more = |(build, _): &(&str, PathBuf)| {
        let more = of(&named(build, QUEUING))? - of(&named(build, PLAIN))?;
        let wanted = format!("{build} build: a queued event takes at most (f) longer");
        Some(Goal::at_most(&wanted, more / floor, 1.0, "× (f)"))
    };
    binaries().iter().filter_map(more).collect()
}

fn in_process(root: &Path, rounds: usize, summary: &mut Summary) {
    let (place, other) = (Home::new(root, ""), Home::new(&root.join("other"), ""));
    let project = Project::at(&place.project).expect("it was made");
    let emitter = Emitter::open(project, &place.user(), EmitterOptions::default());
    let timed = |draft: EventDraft, queued: bool| {
        let began = Instant::now();
        let report = emitter.emit(draft);
        let took = began.elapsed();
        assert!(report.refused.is_none() && report.sync.is_some() == queued, "{report:?}");
        took
    };
    let mut queue = place.queue();
    let mut subjects = floors(root);
    subjects.push((
        "`Emitter::emit`, not queued".into(),
        Box::new(|| timed(drafts::task_completed("task-123").feature("user-auth"), false)),
    ));
    subjects.push(("`Emitter::emit`, queued".into(), Box::new(|| timed(moved(), true))));
    let enqueue = || {
        let began = Instant::now();
        place.enqueue(&mut queue);
        began.elapsed()
    };
    subjects.push(("`SyncQueue::enqueue`".into(), Box::new(enqueue)));
    let open = |place: &Home| {
        let began = Instant::now();
        place.enqueue(&mut place.queue());
        began.elapsed()
    };
    subjects.push(("opened, enqueued, closed; another has it open".into(), Box::new(|| open(&place))));
    subjects.push(("opened, enqueued, closed; nobody has".into(), Box::new(|| open(&other))));
    let medians = interleaved(subjects, rounds);
    let floor = medians[0].1;
    summary.table(&["in one process", "µs", "× (f)"]);
    for (name, micros) in &medians {
        summary.row(&[name, &format!("{micros:.1}"), &format!("{:.2}", micros / floor)]);
    }
    drop(emitter);

    let mut reads = Vec::new();
    let rows: Vec<i64> = {
        let (mut rows, mut after) = (Vec::new(), 0);
        loop {
            let began = Instant::now();
            let due = queue.due(after, None, BATCH).expect("it can be read").events;
            reads.push(began.elapsed() / u32::try_from(due.len().max(1)).expect("a batch"));
            let Some(last) = due.last() else { break rows };
            after = last.row;
            rows.extend(due.iter().map(|queued| queued.row));
        }
    };
    let mut settled = Vec::new();
    for rows in rows.chunks_exact(BATCH) {
        let fates: Vec<(i64, Fate)> = rows.iter().map(|row| (*row, Fate::Taken)).collect();
        let began = Instant::now();
        queue.settle(&fates, Timestamp::now()).expect("it can be written");
        settled.push(began.elapsed());
    }
    reads.truncate(settled.len());
    summary.table(&["batches of 500", "µs an event", "events/s"]);
    let each = [("`due`", median(reads)), ("`settle`, durable", median(settled) / BATCH as u32)];
    for (name, took) in each {
        let micros = took.as_secs_f64() * 1e6;
        summary.row(&[&name, &format!("{micros:.2}"), &format!("{:.0}", 1e6 / micros)]);
    }
}

/// One writer: says that it is ready, waits for the word to begin, writes, and ends.
fn writer(root: &Path, count: usize) {
    let place = Home { home: root.join("home"), project: root.join("project") };
    let mut queue = place.queue();
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).expect("the word");
    let mut longest = Duration::ZERO;
    for _ in 0..count {
        let began = Instant::now();
        place.enqueue(&mut queue);
        longest = longest.max(began.elapsed());
    }
    println!("{}", longest.as_micros());
}

fn writers(root: &Path, summary: &mut Summary) {
    let program = std::env::current_exe().expect("this program");
    let mut floor = Floor::new(
        &{
            fs::create_dir_all(root).expect("it can be written");
            root.join("floor")
        },
        true,
    );
    let mut rounds: [Vec<(Duration, Duration)>; 2] = Default::default();
    let mut syncs = Vec::new();
    for round in 0..FEW {
        syncs.extend((0..200).map(|_| floor.time()));
        for (kind, writers) in [1, 32].into_iter().enumerate() {
            let root = root.join(format!("{round}-{writers}"));
            let place = Home::new(&root, "");
            let count = (WRITTEN / writers).to_string();
            let start = || {
                let mut command = Command::new(&program);
                command.arg("--writer").arg(&root).arg(&count).stdin(Stdio::piped()).stdout(Stdio::piped());
                command.spawn().expect("a writer")
            };
            let mut children: Vec<Child> = (0..writers).map(|_| start()).collect();
            let line = |lines: &mut dyn BufRead| {
                let mut line = String::new();
                lines.read_line(&mut line).expect("it tells");
                line
            };
            let mut tell: Vec<_> = children
                .iter_mut()
                .map(|child| BufReader::new(child.stdout.take().expect("piped")))
                .inspect(|_| ())
                .collect();
            tell.iter_mut().for_each(|lines| assert_eq!(line(lines), "ready\n"));
            let began = Instant::now();
            for child in &mut children {
                child.stdin.take().expect("piped").write_all(b"go\n").expect("it waits");
            }
            let longest = tell.iter_mut().map(|lines| line(lines).trim().parse().expect("a number")).max();
            for mut child in children {
                assert!(child.wait().expect("it was started").success());
            }
            rounds[kind].push((began.elapsed(), Duration::from_micros(longest.unwrap_or(0))));
            let standing = place.queue().standing().expect("it can be read");
            assert_eq!((standing.depth, standing.clock.value), (WRITTEN as u64, WRITTEN as u64), "nothing is lost");
        }
    }
    let floor = 1.0 / median(syncs).as_secs_f64();
    summary.table(&["writers", "durable events/s", "of fdatasync", "longest wait, ms"]);
    summary.row(&[&"1, fdatasync (f)", &format!("{floor:.0}"), &"1.00", &"–"]);
    for (rounds, name) in rounds.into_iter().zip(["1", "32 processes"]) {
        let (times, waits): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
        let rate = WRITTEN as f64 / median(times).as_secs_f64();
        let wait = median(waits).as_secs_f64() * 1e3;
        summary.row(&[&name, &format!("{rate:.0}"), &format!("{:.2}", rate / floor), &format!("{wait:.1}")]);
    }
}

/// A server as a process of its own.
struct Serving {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    url: String,
}

impl Serving {
    fn start(kind: &str, tokens: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--server", kind]).arg(tokens).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a server");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut url = String::new();
        lines.read_line(&mut url).expect("it tells");
        Serving { child, lines, url: url.trim().to_owned() }
    }

    /// How many events it has.
    fn end(mut self) -> usize {
        drop(self.child.stdin.take());
        let mut count = String::new();
        self.lines.read_line(&mut count).expect("it tells");
        assert!(self.child.wait().expect("it was started").success());
        count.trim().parse().expect("a number")
    }
}

fn server(kind: &str, tokens: &Path) {
    let until_hung_up = || std::io::stdin().read_to_end(&mut Vec::new()).expect("it can be read");
    if kind == "axum" {
        let server = sync_server::SyncServer::start();
        server.write_token_file(tokens).expect("the folder can be written");
        println!("{}", server.url());
        until_hung_up();
        println!("{}", server.events().len());
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    fs::write(tokens, r#"{"access":"a","refresh":"r"}"#).expect("the folder can be written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(tokens, mode).expect("it is ours");
    println!("http://{}", listener.local_addr().expect("it has one"));
    let taken = std::sync::Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let takes = taken.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::with_capacity(1 << 16, stream.expect("a connection"));
            while let Some(ids) = read_batch(&mut stream) {
                let reply: Vec<String> =
                    ids.iter().map(|id| format!(r#"{{"event_id":"{id}","status":"success"}}"#)).collect();
                takes.lock().expect("nobody panics").extend(ids);
                let body = format!(r#"{{"results":[{}]}}"#, reply.join(","));
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.get_mut().write_all((head + &body).as_bytes()).expect("it listens");
            }
        }
    });
    until_hung_up();
    println!("{}", taken.lock().expect("nobody panics").len());
}

/// The ids of one batch; nothing when the other side has hung up.
fn read_batch(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().to_ascii_lowercase().strip_prefix("content-length: ") {
            Some(number) => length = number.parse().ok()?,
            None if line == "\r\n" => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).ok()?;
    let ids = text.split(r#"{"event_id":""#).skip(1);
    Some(ids.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect())
}

fn sync(root: &Path, summary: &mut Summary) -> Vec<Goal> {
    let settings = "sync: {interval: 0s}\n";
    let place = Home::new(root, settings);
    let mut queue = place.queue();
    for _ in 0..QUEUED {
        place.enqueue(&mut queue);
    }
    drop(queue);
    let (state, full) = (place.state(), root.join("full"));
    fs::rename(&state, &full).expect("both are in the root");
    let knockon = binaries().pop().expect("there is one").1;
    let tokens = root.join("tokens.json");
    let mut budgets: Vec<(&str, &str, &str, Vec<Duration>)> = Vec::new();
    for (budget, settings) in [("256 KiB", ""), ("512 KiB", ", batch_size: 512KiB")] {
        for kind in ["axum", "lean"] {
            budgets.push((kind, budget, settings, Vec::new()));
        }
    }
    for _ in 0..FEW {
        for (kind, _, settings, times) in &mut budgets {
            let _ = fs::remove_dir_all(&state);
            fs::create_dir(&state).expect("it was there");
            fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("it is ours");
            for file in fs::read_dir(&full).expect("it is there").filter_map(Result::ok) {
                if file.path().is_file() {
                    fs::copy(file.path(), state.join(file.file_name())).expect("the disk has room");
                }
            }
            let config = place.user().config.expect("it is set").join("settings.yaml");
            fs::write(config, format!("version: '1.0'\nsync: {{interval: 0s{settings}}}\n"))
                .expect("it can be written");
            let server = Serving::start(kind, &tokens);
            let tokens = tokens.to_str().expect("the temporary folder's name is text");
            let login = ["sync", "login", "--server", &server.url, "--team", "demo", "--token-file", tokens];
            let run = |arguments: &[&str]| {
                let output = place.command(&knockon, arguments).stderr(Stdio::piped()).output().expect("it was built");
                assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            };
            run(&login);
            let began = Instant::now();
            run(&["sync", "now", "--quiet"]);
            times.push(began.elapsed());
            assert_eq!(server.end(), QUEUED, "the server has each event once");
            assert_eq!(place.queue().standing().expect("it can be read").depth, 0, "the queue is empty");
        }
    }
    summary.table(&["`sync now` of 20,000 events, interval 0s", "batches of", "events/s", "µs an event"]);
    let mut goals = Vec::new();
    for (kind, budget, _, times) in budgets {
        let took = median(times).as_secs_f64();
        let rate = QUEUED as f64 / took;
        let name = if kind == "axum" { "the test server (axum)" } else { "a server that only reads ids and answers" };
        summary.row(&[&name, &budget, &format!("{rate:.0}"), &format!("{:.1}", took * 1e6 / QUEUED as f64)]);
        let wanted = format!("sync: ≥ 20,000 events/s, {name}, {budget}");
        goals.push(Goal { wanted, measured: format!("{rate:.0}"), is_met: rate >= WANTED });
    }
    goals
}
