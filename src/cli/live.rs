//! What hooks do, told while they do it: lines with the hook's name before them, or one JSON object a line.

use super::ending::{EndedDocument, Show};
use super::terminal::{Paint, Terminal};
use crate::config::{Hook, OutputMode};
use crate::delivery::{Outcome, Stream};
use crate::dispatch::Watcher;
use crate::event::Event;
use crate::time::Timestamp;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashMap;

/// The longest line that is waited for; a longer one is shown in parts.
const LONGEST_LINE: usize = 8 * 1024;

/// Shows what happens.
pub(super) struct Live<'t> {
    show: Show,
    state: RefCell<State<'t>>,
}

struct State<'t> {
    terminal: &'t mut Terminal,
    /// The id of the event whose hooks run.
    event: String,
    /// Lines without an end so far, by hook and stream.
    open: HashMap<(String, &'static str), Vec<u8>>,
}

impl<'t> Live<'t> {
    pub(super) fn new(show: Show, terminal: &'t mut Terminal) -> Self {
        Live { show, state: RefCell::new(State { terminal, event: String::new(), open: HashMap::new() }) }
    }

    /// Whether the output of a hook is shown while it comes.
    fn shows(&self, hook: &Hook) -> bool {
        self.show.is_live(hook.output) && !self.show.json
    }
}

impl Show {
    /// Whether output of this mode is shown while it comes.
    pub(super) fn is_live(self, output: OutputMode) -> bool {
        match output {
            OutputMode::Live => true,
            OutputMode::OnFailure | OutputMode::Always => self.verbose,
            OutputMode::Never => false,
        }
    }
}

impl Watcher for Live<'_> {
    fn begins(&self, event: &Event) {
        self.state.borrow_mut().event = event.id().to_string();
    }

    fn started(&self, hook: &Hook, attempt: u32) {
        if self.show.lines {
            let name = hook.name.as_str();
            let record = json!({ "kind": "started", "hook": name, "hook_name": name, "attempt": attempt });
            self.state.borrow_mut().record(record);
        }
    }

    fn output(&self, hook: &Hook, stream: Stream, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        if self.show.lines {
            state.piece(hook.name.as_str(), stream, bytes);
        } else if self.shows(hook) {
            state.take(hook.name.as_str(), stream, bytes);
        }
    }

    fn ended(&self, hook: &Hook, attempt: u32, outcome: &Outcome) {
        let mut state = self.state.borrow_mut();
        for stream in Stream::BOTH {
            match state.open.remove(&(hook.name.to_string(), stream.as_str())) {
                Some(rest) if self.show.lines => state.json(hook.name.as_str(), stream, &rest),
                Some(rest) => state.line(hook.name.as_str(), stream, &rest),
                None => {}
            }
        }
        if self.show.lines {
            let ended = EndedDocument::of(hook.name.as_str(), attempt, outcome);
            state.record(serde_json::to_value(ended).unwrap_or_default());
        }
    }
}

impl State<'_> {
    /// Prints a record with the event it is about, and the time.
    fn record(&mut self, mut record: Value) {
        record["event_id"] = self.event.as_str().into();
        record["time"] = Timestamp::now().to_string().into();
        self.terminal.json_now(&record);
    }

    /// Tells what came, but for the beginning of a character whose rest is still to come.
    fn piece(&mut self, hook: &str, stream: Stream, bytes: &[u8]) {
        let mut open = self.open.remove(&(hook.to_owned(), stream.as_str())).unwrap_or_default();
        open.extend_from_slice(bytes);
        let rest = open.split_off(whole_characters(&open));
        if !open.is_empty() {
            self.json(hook, stream, &open);
        }
        if !rest.is_empty() {
            self.open.insert((hook.to_owned(), stream.as_str()), rest);
        }
    }

    fn json(&mut self, hook: &str, stream: Stream, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let stream = stream.as_str();
        self.record(json!({ "kind": "output", "hook": hook, "hook_name": hook, "stream": stream, "text": text }));
    }

    /// Shows the lines that are whole, and keeps the rest.
    fn take(&mut self, hook: &str, stream: Stream, bytes: &[u8]) {
        let mut open = self.open.remove(&(hook.to_owned(), stream.as_str())).unwrap_or_default();
        open.extend_from_slice(bytes);
        let mut rest = open.as_slice();
        while let Some(end) =
            rest.iter().position(|&byte| byte == b'\n').or(Some(LONGEST_LINE).filter(|&end| end < rest.len()))
        {
            // A line that is cut is cut between characters.
            let end = if rest[end] == b'\n' { end } else { whole_characters(&rest[..end]).max(1) };
            let (line, after) = rest.split_at(end);
            self.line(hook, stream, line);
            rest = after.strip_prefix(b"\n").unwrap_or(after);
        }
        if !rest.is_empty() {
            let rest = rest.to_vec();
            self.open.insert((hook.to_owned(), stream.as_str()), rest);
        }
    }

    fn line(&mut self, hook: &str, stream: Stream, line: &[u8]) {
        let paint = match stream {
            Stream::Stdout => Paint::Dim,
            Stream::Stderr => Paint::Warn,
        };
        let name = self.terminal.paint(paint, &format!("{hook} |"));
        let line = String::from_utf8_lossy(line);
        let line = self.terminal.of_hook(line.strip_suffix('\r').unwrap_or(&line)).into_owned();
        self.terminal.line_now(format!("{name} {line}").trim_end());
    }
}

/// How many of the bytes there are without the beginning of a character at their end.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        // What is broken in the middle may be broken at the end, too: at most three bytes can still become something.
        Err(_) => {
            let begins = |back: &usize| bytes.get(bytes.len() - back).is_some_and(|byte| *byte >= 0xc0);
            let at = (1..=bytes.len().min(3)).find(begins).map(|back| bytes.len() - back);
            let open =
                at.filter(|at| std::str::from_utf8(&bytes[*at..]).is_err_and(|error| error.error_len().is_none()));
            open.unwrap_or(bytes.len())
        }
        Ok(_) => bytes.len(),
    }
}
