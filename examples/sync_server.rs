//! A team server on this machine, to try sync with: `cargo run --example sync_server`, then what it says.
//!
//! It is the one that the tests use. It forgets everything when it ends (Ctrl-C).

#[expect(dead_code, reason = "it is one server for all tests and for this example; each uses its part")]
#[path = "../tests/support/sync_server.rs"]
mod sync_server;

use knockon::text::one_line;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use sync_server::{Endpoint, Fault, SyncServer, Taken, Way};

const USAGE: &str = "\
usage: cargo run --example sync_server -- [options]

  --port N              where to listen on 127.0.0.1 [default: any free port]
  --token-file FILE     where to write the tokens for `knockon sync login` [default: sync-tokens.json in the temporary folder]
  --chaos PERCENT       let so many percent of the requests go wrong
  --seed N              another mixture of what goes wrong [default: 1]
  --fault NAME          let every batch go wrong: a status (500, 401), a status with its Retry-After (503:5), or one of
                        drop, drop-reply, cut-reply, slow, half-json, html, wrong-ids, silence, huge, redirect
  --times N             only the first N batches, with --fault
  --poison ID           refuse every batch with this event (400)
  --status ID=STATUS    answer this event so, such as rejected or pending
  --access-uses N       an access token is good for N requests, then it has to be refreshed";

struct Options {
    port: u16,
    token_file: PathBuf,
    chaos: Option<u32>,
    seed: u64,
    fault: Option<Fault>,
    times: Option<usize>,
    poison: Vec<String>,
    statuses: Vec<(String, String)>,
    access_uses: Option<u32>,
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        port: 0,
        token_file: std::env::temp_dir().join("sync-tokens.json"),
        chaos: None,
        seed: 1,
        fault: None,
        times: None,
        poison: Vec::new(),
        statuses: Vec::new(),
        access_uses: None,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value\n\n{USAGE}"))?;
        let wrong = || format!("{name} {value}: this is not understood\n\n{USAGE}");
        match name.as_str() {
            "--port" => options.port = value.parse().map_err(|_| wrong())?,
            "--token-file" => options.token_file = value.into(),
            "--chaos" => options.chaos = Some(value.parse().ok().filter(|percent| *percent <= 100).ok_or_else(wrong)?),
            "--seed" => options.seed = value.parse().map_err(|_| wrong())?,
            "--fault" => options.fault = Some(Fault::named(&value).ok_or_else(wrong)?),
            "--times" => options.times = Some(value.parse().map_err(|_| wrong())?),
            "--poison" => options.poison.push(value),
            "--status" => {
                let (id, status) = value.split_once('=').ok_or_else(wrong)?;
                options.statuses.push((id.to_owned(), status.to_owned()));
            }
            "--access-uses" => options.access_uses = Some(value.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    if std::env::args().skip(1).any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    match serve(&options) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("the server cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> std::io::Result<std::convert::Infallible> {
    let server = SyncServer::start_at(options.port)?;
    server.write_token_file(&options.token_file)?;
    server.limit_access(options.access_uses, None);
    if let Some(percent) = options.chaos {
        server.chaos(percent, options.seed);
    }
    match (&options.fault, options.times) {
        (Some(fault), Some(times)) => server.fault_next(Endpoint::Batch, fault.clone(), times),
        (fault, _) => server.fault_always(Endpoint::Batch, fault.clone()),
    }
    options.poison.iter().for_each(|id| server.poison(id));
    options.statuses.iter().for_each(|(id, status)| server.answer(id, status, usize::MAX));
    println!("A team server listens at {} until you press Ctrl-C. In another terminal:\n", server.url());
    let file = options.token_file.display();
    println!("  knockon sync login --server {} --team demo --token-file '{file}'\n", server.url());
    let mut shown = 0;
    loop {
        if server.wait_for_events(shown + 1, Duration::from_secs(3600)) {
            for taken in server.events_after(shown) {
                shown += 1;
                println!("{shown:>6}  {}", line(&taken));
            }
        }
    }
}

/// `WPStatusChanged  WP01  planned → doing  (batch, team demo, clock 7)`
fn line(Taken { event, way, .. }: &Taken) -> String {
    let text = |value: &serde_json::Value| value.as_str().map(one_line).unwrap_or_default();
    let payload = &event["payload"];
    let change = match (payload["previous_status"].as_str(), payload["new_status"].as_str()) {
        (Some(from), Some(to)) => format!("  {} → {}", one_line(from), one_line(to)),
        _ => String::new(),
    };
    let way = match way {
        Way::Batch => "batch",
        Way::Live => "live",
    };
    let (kind, about) = (text(&event["event_type"]), text(&event["aggregate_id"]));
    format!("{kind}  {about}{change}  ({way}, team {}, clock {})", text(&event["team_slug"]), event["lamport_clock"])
}
