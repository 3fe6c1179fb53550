//! Texts of an answer that are too long for whoever reads it: they go to a file, and its path takes their place.

use crate::delivery::Answer;
use crate::event::EventId;
use crate::sys;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The longest text that stays in an answer, in characters (as coding agents have it).
const LONGEST: usize = 10_000;
/// How much of a longer one stays.
const SHOWN: usize = 2_000;
/// How long such files are kept.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Puts the long texts of an answer into files of `folder`, a folder of the user's own.
pub(crate) fn shorten_answer(answer: &mut Answer, folder: Option<&Path>, event: EventId, hook: &str) {
    let stop = answer.stop.as_mut().and_then(Option::as_mut);
    let texts = [
        ("stop-reason", stop),
        ("reason", answer.reason.as_mut()),
        ("system-message", answer.system_message.as_mut()),
        ("context", answer.additional_context.as_mut()),
    ];
    for (name, text) in texts {
        let Some(text) = text else { continue };
        let Some((end, _)) = text.char_indices().nth(SHOWN).filter(|_| text.chars().nth(LONGEST).is_some()) else {
            continue;
        };
        let file = format!("{event}-{hook}-{name}.txt");
        let rest = match folder.map(|folder| keep(folder, &file, text).map(|()| folder.join(&file))) {
            Some(Ok(path)) => format!("all of it is in {}", path.display()),
            Some(Err(error)) => format!("the rest could not be kept: {error}"),
            None => "the rest could not be kept: set HOME or XDG_STATE_HOME".into(),
        };
        let characters = text.chars().count();
        text.truncate(end);
        text.push_str(&format!("\n… {characters} characters; {rest}"));
    }
}

fn keep(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    sys::make_private_folder(folder)?;
    let old = |entry: &fs::DirEntry| {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > KEPT))
    };
    for entry in fs::read_dir(folder)?.flatten().filter(old) {
        // One that another process was quicker to remove is gone as well.
        let _ = fs::remove_file(entry.path());
    }
    let path = folder.join(name);
    // An earlier attempt may have left one.
    let _ = fs::remove_file(&path);
    sys::create_private(&path)?.write_all(text.as_bytes())
}
