//! Matching against a naive loop over the same rules: `cargo bench --bench matcher [kinds] [mix] [reading]`.
//!
//! Events come as JSON text of about 350 bytes and are read in full, as `emit` does. The naive loop tests
//! one rule after the other; both run in the same process on the same events, and the table says how many
//! times quicker the index is.

mod rules;
mod support;

use knockon::cache::ConfigCache;
use knockon::config;
use knockon::json::Json;
use knockon::matcher::{Index, IndexBuilder, Matcher, Rule};
use knockon::project::UserKey;
use knockon::{Event, Project, UserFolders};
use rules::{Kind, condition, event, loaded};
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

const SIZES: [usize; 4] = [1, 100, 10_000, 100_000];
const EVENTS: usize = 2_000;
/// Each figure is the median of this many measurements.
const ROUNDS: usize = 15;

fn main() {
    if !support::is_asked() {
        return;
    }
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let asked = |section: &str| named.is_empty() || named.iter().any(|name| name == section);
    if asked("kinds") {
        kinds();
    }
    if asked("mix") {
        mix();
    }
    if asked("reading") {
        reading();
    }
}

/// Rules that are all of one kind, against the naive loop.
fn kinds() {
    println!("## Matching\n");
    println!("Events a second from JSON text on one core; in brackets, how many times quicker than the naive loop in");
    println!("the same run. Compile: from parsed hooks to the index.\n");
    println!("| rules | kind | one hit an event | 1 % of the rules hit | compile |");
    println!("|---|---|---|---|---|");
    for kind in [Kind::LiteralTypes, Kind::TypeGlobs, Kind::EqualityFilters] {
        for size in SIZES {
            let one = Bench::of(kind, size, 1);
            let many = Bench::of(kind, size, (size / 100).max(1));
            println!(
                "| {size} | {kind:?} | {} | {} | {:.1} ms |",
                one.compared(),
                many.compared(),
                one.compile.as_secs_f64() * 1e3
            );
        }
    }
}

/// The rules that other matchers were measured with.
fn mix() {
    println!("\nThe mix of rules of the peers' table: 55 % type and field, 20 % type and two fields, 15 % globs, 10 %");
    println!("lists and prefixes; one hit an event. Compile: from parsed hooks to the index; build: the index alone.");
    println!("The yardstick, measured in turns with the matcher: the same texts into a tree of `serde_json::Value`.\n");
    println!(
        "| rules | from text, all of it checked | of the naive loop | of the yardstick | of the cost at 100 rules | text checked before | compile | build |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut base = None;
    for size in SIZES {
        let bench = Bench::of(Kind::Mix, size, 1);
        let [whole, naive, yardstick, checked] =
            in_turns([&|| bench.index_speed(), &|| bench.naive_speed(), &|| bench.yardstick(), &|| {
                bench.checked_speed()
            }]);
        if size == 100 {
            base = Some(whole);
        }
        let ratio = base.map_or("–".to_owned(), |base| format!("{:.2} ×", base / whole));
        println!(
            "| {size} | {} | {} | {} | {ratio} | {} | {:.1} ms | {:.1} ms |",
            thousands(whole),
            times(whole / naive),
            times(whole / yardstick),
            thousands(checked),
            bench.compile.as_secs_f64() * 1e3,
            bench.build.as_secs_f64() * 1e3
        );
    }
}

/// From text to index.
fn reading() {
    println!("\n## Reading hooks.yaml\n");
    println!("Files on disk, at most 1,000 hooks each, the others included. Cold: found, parsed, validated and");
    println!("compiled. From the cache: found, compared, and the hooks for one event taken out and compiled.\n");
    println!("| hooks | cold | a hook | from the cache | in bytes |");
    println!("|---|---|---|---|---|");
    for size in [10, 1_000, 10_000] {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let bytes = write_configuration(folder.path(), size);
        let (cold, cached) = (time_cold(folder.path(), size), time_cached(folder.path(), size));
        println!(
            "| {size} | {:.2} ms | {:.1} µs | {:.3} ms | {bytes} |",
            cold.as_secs_f64() * 1e3,
            cold.as_secs_f64() * 1e6 / size as f64,
            cached.as_secs_f64() * 1e3
        );
    }
}

struct Bench {
    rules: Vec<Rule>,
    matcher: Matcher,
    compile: Duration,
    build: Duration,
    events: Vec<String>,
}

impl Bench {
    /// `size` rules, `shared` of which have the same condition.
    fn of(kind: Kind, size: usize, shared: usize) -> Self {
        let conditions: Vec<(String, String)> = (0..size).map(|n| condition(kind, n, n / shared)).collect();
        let loaded = loaded(&conditions);
        let mut times: Vec<Duration> = Vec::new();
        let mut matcher = None;
        for _ in 0..3 {
            let started = Instant::now();
            let compiled = Matcher::compile(&loaded).0;
            times.push(started.elapsed());
            matcher = Some(compiled);
        }
        let mut problems = Vec::new();
        let file = &loaded.files[0];
        let rules = loaded.hooks.iter().flat_map(|hook| &hook.hook.events);
        let rules: Vec<Rule> = rules.filter_map(|entry| Rule::compile(file, entry, &mut problems)).collect();
        assert!(problems.is_empty(), "{problems:?}");
        let build = median_of(3, || {
            let rules = rules.clone();
            let started = Instant::now();
            let mut builder = IndexBuilder::default();
            for (hook, rule) in rules.into_iter().enumerate() {
                builder.add(hook as u32, 0, rule);
            }
            black_box(builder.build());
            started.elapsed()
        });
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let events = (0..EVENTS).map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let n = random as usize % size;
            event(kind, n, n / shared)
        });
        let events: Vec<String> = events.collect();
        let matcher = matcher.expect("it was compiled three times");
        for text in events.iter().step_by(100) {
            let event = Event::parse(text.clone().into_bytes()).unwrap();
            let naive = rules.iter().filter(|rule| rule.holds(&event)).count();
            assert_eq!(matcher.index().find(&event).len(), naive, "{text}");
            assert!(naive >= 1, "{text}");
        }
        times.sort();
        Bench { rules, matcher, compile: times[1], build, events }
    }

    fn index(&self) -> &Index {
        self.matcher.index()
    }

    /// Events a second with the index, from text to hits.
    fn index_speed(&self) -> f64 {
        speed(&self.events, |text| {
            let event = Event::parse(text.clone().into_bytes()).unwrap();
            self.index().find(&event).len()
        })
    }

    /// The same for text that was checked before.
    fn checked_speed(&self) -> f64 {
        let checked: Vec<(String, Json<'_>)> = self
            .events
            .iter()
            .map(|text| {
                let json = Json::parse(text.as_bytes()).unwrap();
                (json.get("event_type").unwrap().as_str().unwrap().into_owned(), json)
            })
            .collect();
        speed(&checked, |(kind, json)| self.index().find_in(kind, *json).len())
    }

    /// Events a second with a loop over the rules.
    fn naive_speed(&self) -> f64 {
        let few = (20_000_000 / self.rules.len().max(1) / 100).clamp(3, EVENTS);
        speed(&self.events[..few], |text| {
            let event = Event::parse(text.clone().into_bytes()).unwrap();
            self.rules.iter().filter(|rule| rule.holds(&event)).count()
        })
    }

    /// The same texts into trees, which is what most matchers begin with.
    fn yardstick(&self) -> f64 {
        speed(&self.events, |text| {
            let value: serde_json::Value = serde_json::from_str(text).expect("the bench writes JSON");
            value.as_object().map_or(0, serde_json::Map::len)
        })
    }

    fn compared(&self) -> String {
        let [index, naive] = in_turns([&|| self.index_speed(), &|| self.naive_speed()]);
        format!("{} ({})", thousands(index), times(index / naive))
    }
}

/// How many of `inputs` are done a second.
fn speed<T>(inputs: &[T], mut run: impl FnMut(&T) -> usize) -> f64 {
    let started = Instant::now();
    for input in inputs {
        black_box(run(black_box(input)));
    }
    inputs.len() as f64 / started.elapsed().as_secs_f64()
}

/// The medians of measurements that take turns, so that what disturbs the machine disturbs all of them.
fn in_turns<const N: usize>(measurements: [&dyn Fn() -> f64; N]) -> [f64; N] {
    let mut results = [(); N].map(|()| Vec::new());
    for _ in 0..ROUNDS {
        for (result, measure) in results.iter_mut().zip(measurements) {
            result.push(measure());
        }
    }
    results.map(|mut speeds| {
        speeds.sort_by(f64::total_cmp);
        speeds[ROUNDS / 2]
    })
}

/// Writes a project with `size` hooks; returns how many bytes they take.
fn write_configuration(folder: &Path, size: usize) -> usize {
    let hooks = folder.join(".knockon");
    std::fs::create_dir(&hooks).expect("the folder is fresh");
    let parts: Vec<Vec<usize>> = (0..size).collect::<Vec<_>>().chunks(1_000).map(<[usize]>::to_vec).collect();
    let mut bytes = 0;
    for (at, numbers) in parts.iter().enumerate() {
        let mut text = String::from("version: \"1.1\"\n");
        let (name, included) = match at {
            0 => ("hooks.yaml".to_owned(), 1..parts.len()),
            at => (format!("part-{at}.yaml"), 0..0),
        };
        if !included.is_empty() {
            let names: Vec<String> = included.map(|at| format!("part-{at}.yaml")).collect();
            let _ = writeln!(text, "include: [{}]", names.join(", "));
        }
        text.push_str("hooks:\n");
        for n in numbers {
            let _ = write!(
                text,
                "  - name: hook-{n}\n    events:\n      - type: task.completed\n        filter: {{task_id: task-{n}}}\n    command: echo {n}\n"
            );
        }
        bytes += text.len();
        std::fs::write(hooks.join(name), text).expect("the folder can be written");
    }
    bytes
}

fn time_cold(folder: &Path, size: usize) -> Duration {
    let project = Project::at(folder).expect("the folder is there");
    median(|| {
        let config::Located { found, problems, .. } = config::find(&project, &UserFolders::default(), None);
        let loaded = config::read(&found, problems);
        let compiled = Matcher::compile(&loaded);
        assert_eq!((loaded.hooks.len(), loaded.problems.len(), compiled.1.len()), (size, 0, 0));
        black_box(compiled);
    })
}

fn time_cached(folder: &Path, size: usize) -> Duration {
    let project = Project::at(folder).expect("the folder is there");
    let user =
        UserFolders { cache: Some(folder.join("cache")), state: Some(folder.join("state")), ..UserFolders::default() };
    let cache = ConfigCache::of(&user, UserKey::of(&user), None);
    let config::Located { found, problems, .. } = config::find(&project, &user, None);
    let loaded = config::read(&found, problems);
    let compiled = Matcher::compile(&loaded).0;
    cache.keep(&found, &loaded, &compiled, &[]);
    let event = Event::parse(event(Kind::EqualityFilters, 0, size / 2).into_bytes()).unwrap();
    median(|| {
        let found = config::find(&project, &user, None).found;
        let kept = cache.find(found).expect("it was kept");
        let (loaded, matcher, _) = kept.part(&event).expect("it was kept whole");
        assert_eq!((loaded.hooks.len(), matcher.matches(&event).len()), (1, 1));
        black_box(matcher);
    })
}

fn median(mut run: impl FnMut()) -> Duration {
    median_of(ROUNDS, || {
        let started = Instant::now();
        run();
        started.elapsed()
    })
}

fn median_of(rounds: usize, run: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = std::iter::repeat_with(run).take(rounds).collect();
    times.sort();
    times[rounds / 2]
}

fn thousands(speed: f64) -> String {
    if speed >= 10_000.0 { format!("{:.0} k", speed / 1e3) } else { format!("{:.1} k", speed / 1e3) }
}

fn times(ratio: f64) -> String {
    if ratio >= 10.0 { format!("{ratio:.0} ×") } else { format!("{ratio:.1} ×") }
}
