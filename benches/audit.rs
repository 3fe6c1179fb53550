//! What the audit log costs: appends beside bare writes of the same bytes, by one process and by 32, and how fast a large
//! log is asked and checked. `cargo bench --bench audit` prints the table of `docs/performance.md`.

mod support;

use knockon::audit::{AuditLog, AuditRecord, Query};
use knockon::event::{Event, EventDraft, EventId};
use knockon::time::Timestamp;
use knockon::{Project, UserFolders};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Rounds of each figure; the median is told.
const ROUNDS: usize = 7;
/// Appends of all writers of a round together.
const APPENDS: usize = 64_000;
/// The size of the large log.
const LARGE: u64 = 1 << 30;

/// How a writer writes.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// `write` on a file that is open for appending.
    Bare,
    /// [`AuditLog::append`]: locked, linked and let go, each record.
    Append,
    /// [`AuditLog::append_and_hold`]: the lock is let go after 128 KiB.
    Hold,
}

impl Way {
    const ALL: [(Way, &'static str, &'static str); 3] = [
        (Way::Bare, "bare", "bare write"),
        (Way::Append, "append", "append, the lock for each record"),
        (Way::Hold, "hold", "append, the lock for up to 128 KiB"),
    ];
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, way, folder, count] = &arguments[..]
        && word == "--writer"
    {
        let (way, ..) = Way::ALL.into_iter().find(|(_, name, _)| name == way).expect("a way of this bench");
        return writer(way, Path::new(folder), count.parse().expect("a number"));
    }
    if !support::is_asked() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder is needed");
    appends(folder.path());
    large(folder.path());
}

fn open(folder: &Path) -> AuditLog {
    let of = |name: &str| Some(folder.join(name));
    let user =
        UserFolders { home: None, config: of("config"), state: of("state"), cache: None, ..UserFolders::default() };
    AuditLog::of(&Project::at(&folder.join("project")).expect("it was made"), &user)
}

fn event() -> Event {
    let now = Timestamp::now();
    let draft = EventDraft::new("task.completed".parse().expect("a type")).context("task_id", "task-123");
    draft.stamp(EventId::generate(now), now, "/home/you/shop").expect("a valid event")
}

/// One writer: says that it is ready, waits for the word to begin, writes, and ends.
fn writer(way: Way, folder: &Path, count: usize) {
    let event = event();
    let record = AuditRecord::given_up(&event, "run-tests", "exit 3", Timestamp::now());
    let log = open(folder);
    let line = {
        let mut body = Vec::new();
        record.write(&mut body);
        let body = String::from_utf8(body).expect("JSON");
        format!("{{\"seq\":12345,\"prev\":\"{}\",{}\n", "0".repeat(64), &body[1..])
    };
    let mut file = File::options().create(true).append(true).open(folder.join("bare.log")).expect("a file");
    let write = |file: &mut File| match way {
        Way::Bare => file.write_all(line.as_bytes()).expect("it is written"),
        Way::Append => log.append(&record).expect("it is written"),
        Way::Hold => log.append_and_hold(&record).expect("it is written"),
    };
    write(&mut file);
    log.release().expect("it was held");
    println!("{}", line.len());
    let mut go = String::new();
    std::io::stdin().read_line(&mut go).expect("the word");
    for _ in 0..count {
        write(&mut file);
    }
    log.release().expect("it was held");
}

/// How long it takes so many writers to write all, and how long a line is.
fn round(way: &str, folder: &Path, writers: usize) -> (Duration, usize) {
    let program = std::env::current_exe().expect("this program");
    let count = (APPENDS / writers).to_string();
    let start = || {
        let mut command = Command::new(&program);
        command.args(["--writer", way]).arg(folder).arg(&count).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().expect("a writer")
    };
    let mut children: Vec<Child> = (0..writers).map(|_| start()).collect();
    let mut length = 0;
    for child in &mut children {
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("ready");
        length = line.trim().parse().expect("a length");
    }
    let began = Instant::now();
    for child in &mut children {
        child.stdin.take().expect("piped").write_all(b"go\n").expect("it waits");
    }
    for mut child in children {
        assert!(child.wait().expect("it was started").success());
    }
    (began.elapsed(), length)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn prepare(root: &Path, name: &str, audit: &str) -> std::path::PathBuf {
    let folder = root.join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("project/.knockon")).expect("a folder");
    fs::create_dir_all(folder.join("config")).expect("a folder");
    fs::write(folder.join("config/settings.yaml"), format!("version: '1.0'\naudit: {audit}\n")).expect("a file");
    folder
}

fn appends(root: &Path) {
    println!("\n| writers | | appends/s | of bare write |\n|---|---|---|---|");
    for writers in [1, 32] {
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); Way::ALL.len()];
        let mut length = 0;
        for _ in 0..ROUNDS {
            for (index, (_, name, _)) in Way::ALL.iter().enumerate() {
                let folder = prepare(root, name, "{max_size: 1GB}");
                let (time, line) = round(name, &folder, writers);
                times[index].push(time);
                length = line;
                let found = open(&folder).verify(&[]).expect("it can be read");
                assert!(found.faults.is_empty(), "{:?}", found.faults);
                let wanted = if index == 0 { 0 } else { (APPENDS / writers + 1) * writers };
                assert_eq!(found.records, wanted as u64, "nothing is lost");
            }
        }
        let bare = median(times[0].clone());
        for (index, (_, _, what)) in Way::ALL.iter().enumerate() {
            let time = median(times[index].clone());
            let rate = APPENDS as f64 / time.as_secs_f64();
            println!("| {writers} | {what} | {rate:.0} | {:.2} |", bare.as_secs_f64() / time.as_secs_f64());
        }
        println!("(a line has {length} bytes)");
    }
}

fn large(root: &Path) {
    let folder = prepare(root, "large", "{max_size: 1000GB}");
    let log = open(&folder);
    let event = event();
    let now = Timestamp::now();
    let began = Instant::now();
    for number in 0.. {
        let record = match number % 3 {
            0 => AuditRecord::emitted(&event, None, Duration::from_micros(300), now),
            _ => AuditRecord::given_up(&event, "run-tests", "exit 3", now),
        };
        log.append_and_hold(&record).expect("it is written");
        if number % 4096 == 0 && fs::metadata(log.path()).expect("it is there").len() >= LARGE {
            break;
        }
    }
    log.release().expect("it was held");
    let size = fs::metadata(log.path()).expect("it is there").len();
    println!("\na log of {} MB, written in {:.1} s", size / 1_000_000, began.elapsed().as_secs_f64());
    drop(log);

    let time = |what: &mut dyn FnMut()| {
        let once = |_| {
            let began = Instant::now();
            what();
            began.elapsed()
        };
        median((0..ROUNDS).map(once).collect())
    };
    let tail = time(&mut || {
        let log = open(&folder);
        let snapshot = log.snapshot().expect("it can be read");
        let found = log.select(&snapshot, &Query::default(), Some(20), |_| Ok(())).expect("it can be read");
        assert_eq!(found.records, 20);
    });
    let verify = time(&mut || {
        let found = open(&folder).verify(&[]).expect("it can be read");
        assert!(found.faults.is_empty() && found.bytes == size, "{:?}", found.faults);
    });
    let bytes = fs::read(open(&folder).path()).expect("it can be read");
    let hash = time(&mut || {
        std::hint::black_box(blake3::hash(std::hint::black_box(&bytes)));
    });
    let speed = |time: Duration| size as f64 / 1e6 / time.as_secs_f64();
    println!("\n| | |\n|---|---|");
    println!("| the last 20 records | {:.2} ms |", tail.as_secs_f64() * 1e3);
    println!("| verify | {:.0} MB/s |", speed(verify));
    println!("| BLAKE3 of the file in memory, one thread | {:.0} MB/s |", speed(hash));
}
