//! What benches share: the programs of the floor, projects to emit in, and the summary that is kept.

#![allow(dead_code, reason = "each bench uses a part of it")]

use knockon::time::Timestamp;
use std::fmt::{self, Write as _};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A static program without libc that ends at once.
pub const NO_OP: &str = ".globl _start\n_start: xor %edi, %edi\n mov $60, %eax\n syscall\n";

/// Builds a program from assembly.
pub fn assemble(root: &Path, name: &str, source: &str) -> PathBuf {
    let (input, output) = (root.join(format!("{name}.s")), root.join(name));
    fs::write(&input, source).expect("the temporary folder can be written");
    let built = Command::new("cc").args(["-nostdlib", "-static", "-s", "-o"]).args([&output, &input]).status();
    assert!(built.is_ok_and(|status| status.success()), "cc is needed to build the floor programs");
    output
}

/// Whether this is `cargo bench`, and no test that happens to include benches (`cargo test --all-targets`).
pub fn is_asked() -> bool {
    let is_given = |name: &str| std::env::args().any(|argument| argument == name);
    is_given("--bench") && !is_given("--test")
}

/// The binary of this bench, and the one of `scripts/build-release` where it was built.
pub fn binaries() -> Vec<(&'static str, PathBuf)> {
    let released = |libc: &str| {
        let path = format!("target/static/x86_64-unknown-linux-{libc}/release/knockon");
        Some(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).filter(|path| path.exists())
    };
    let mut found = vec![("plain", PathBuf::from(env!("CARGO_BIN_EXE_knockon")))];
    found.extend(released("musl").or_else(|| released("gnu")).map(|path| ("static", path)));
    found
}

/// The one in the middle.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The number that was given (`cargo bench --bench emit -- 200`), or `usual`.
pub fn number_given(usual: usize) -> usize {
    std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(usual)
}

/// What the hooks of a project are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hooks {
    /// How many there are.
    pub count: usize,
    /// How many of them wait for `task.completed`; the others for something that does not happen.
    pub matching: usize,
    /// How many run side by side; one after the other where nothing is said.
    pub side_by_side: Option<usize>,
}

impl Hooks {
    /// Hooks that wait for something that does not happen.
    pub fn idle(count: usize) -> Self {
        Hooks { count, ..Hooks::default() }
    }

    /// Hooks that all run, one after the other.
    pub fn running(count: usize) -> Self {
        Hooks { count, matching: count, side_by_side: None }
    }

    fn yaml(self) -> String {
        let mut text = String::from("version: \"1.0\"\n");
        if let Some(limit) = self.side_by_side {
            text.push_str(&format!("concurrency: {limit}\n"));
        }
        text.push_str("hooks:\n");
        for number in 0..self.count {
            let kind = if number < self.matching { "task.completed" } else { "plan.created" };
            text.push_str(&format!("  - name: hook-{number}\n    events:\n      - type: {kind}\n    script: no-op\n"));
        }
        text
    }

    /// A project with these hooks, which all run `program`; without a `hooks.yaml` when there are none.
    pub fn make_project(self, project: &Path, program: &Path) {
        let folder = project.join(".knockon");
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let mut files = vec![project.to_owned(), folder.clone()];
        if self.count > 0 {
            let (config, script) = (folder.join("hooks.yaml"), folder.join("no-op"));
            fs::write(&config, self.yaml()).expect("the temporary folder can be written");
            fs::copy(program, &script).expect("the program was made a moment ago");
            files.extend([config, script]);
        }
        // What others could write to is not run, and a umask may let them.
        for path in files {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
    }
}

/// What a bench has found: printed, and kept in `target/bench/` as Markdown.
pub struct Summary {
    name: &'static str,
    text: String,
}

impl Summary {
    /// A summary of the bench `name`, to be made before anything is measured: it tells how busy others keep the machine.
    /// `how` says what is repeated how often.
    pub fn new(name: &'static str, how: &str) -> Self {
        let date = Timestamp::now().to_string();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (date, kernel) = (&date[..date.len().min(10)], kernel.trim());
        let busy = busy_percent(Duration::from_millis(500));
        let text = format!(
            "# cargo bench --bench {name}\n\n{date}, Linux {kernel}, cores: {cores}, {how}.\n\
             Others kept the cores {busy:.0} % busy right before.\n"
        );
        Summary { name, text }
    }

    /// Begins a table.
    pub fn table(&mut self, columns: &[&str]) {
        let lines = vec!["---"; columns.len()].join("|");
        self.line(&format!("\n| {} |\n|{lines}|", columns.join(" | ")));
    }

    /// Adds a row to the table.
    pub fn row(&mut self, cells: &[&dyn fmt::Display]) {
        let cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    /// Adds a line of text.
    pub fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{line}");
    }

    /// Adds what was to be reached, and what was.
    pub fn goals(&mut self, goals: &[Goal]) {
        self.table(&["goal", "measured", "met"]);
        for Goal { wanted, measured, is_met } in goals {
            self.row(&[wanted, measured, if *is_met { &"yes" } else { &"**no**" }]);
        }
    }

    /// Prints it and writes it to its file.
    pub fn keep(self) {
        println!("{}", self.text);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
        let path = folder.join(format!("{}.md", self.name));
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, &self.text));
        match written {
            Ok(()) => println!("kept in target/bench/{}.md", self.name),
            Err(error) => println!("not kept in target/bench/{}.md: {error}", self.name),
        }
    }
}

/// How busy all processors are together during `span`, this process left out as it sleeps.
fn busy_percent(span: Duration) -> f64 {
    // The times since the start of the machine: user, nice, system, idle, waiting for input and output, … (proc(5)).
    let times = || -> Vec<f64> {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let numbers = text.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
        numbers.filter_map(|number| number.parse().ok()).collect()
    };
    let before = times();
    std::thread::sleep(span);
    let spent: Vec<f64> = times().iter().zip(&before).map(|(now, before)| now - before).collect();
    let idle: f64 = spent.iter().skip(3).take(2).sum();
    100.0 * (1.0 - idle / spent.iter().sum::<f64>())
}

/// Something that was to be reached.
pub struct Goal {
    /// What.
    pub wanted: String,
    /// What there is.
    pub measured: String,
    /// Whether that is enough.
    pub is_met: bool,
}

impl Goal {
    /// At most, or less than, `limit`: both in `unit`.
    pub fn at_most(wanted: &str, measured: f64, limit: f64, unit: &str) -> Self {
        Goal { wanted: wanted.to_owned(), measured: format!("{measured:.3} {unit}"), is_met: measured <= limit }
    }
}
