//! The memory of compiled rules: `cargo bench --bench memory`. Apart from the other benches, because the allocator
//! that counts costs time.

mod rules;
mod support;

use knockon::Event;
use knockon::matcher::Matcher;
use peak_alloc::PeakAlloc;
use rules::{Kind, condition, event, loaded};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn main() {
    if !support::is_asked() {
        return;
    }
    println!("| rules | kind | memory | a rule | at most while compiling |");
    println!("|---|---|---|---|---|");
    for kind in [Kind::LiteralTypes, Kind::TypeGlobs, Kind::EqualityFilters, Kind::Mix] {
        for size in [1, 100, 10_000, 100_000] {
            let conditions: Vec<(String, String)> = (0..size).map(|n| condition(kind, n, n)).collect();
            let loaded = loaded(&conditions);
            let before = ALLOCATOR.current_usage();
            ALLOCATOR.reset_peak_usage();
            let matcher = Matcher::compile(&loaded).0;
            let (after, peak) = (ALLOCATOR.current_usage() - before, ALLOCATOR.peak_usage() - before);
            let event = Event::parse(event(kind, size / 2, size / 2).into_bytes()).expect("the bench writes events");
            assert_eq!(matcher.matches(&event).len(), 1);
            let (kib, most) = (after as f64 / 1024.0, peak as f64 / 1024.0);
            println!("| {size} | {kind:?} | {kib:.1} KiB | {} B | {most:.1} KiB |", after / size);
        }
    }
}
