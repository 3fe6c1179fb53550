//! The README's way to a team server, command by command as it stands there.

use crate::support::sync_server::SyncServer;
use crate::support::{TestProject, write};
use std::process::Stdio;

/// The commands of the README's block that begins with `knockon sync login`.
fn commands() -> Vec<&'static str> {
    let readme = include_str!("../../README.md");
    let blocks = readme.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.into_iter().find(|block| block.starts_with("knockon sync login")).unwrap().lines().collect()
}

#[test]
fn the_readme_leads_to_a_server_that_has_the_events() {
    let server = SyncServer::start();
    let project = TestProject::new();
    let tokens = project.home().join("tokens.json");
    server.write_token_file(&tokens).unwrap();
    let settings = project.home().join(".config/knockon");
    std::fs::create_dir_all(&settings).unwrap();
    // The first event may go out with the drain that it starts; the second need not wait for that.
    write(&settings.join("settings.yaml"), "version: '1.0'\nsync: {interval: 0s}\n", 0o644);
    for command in commands() {
        let line = command
            .replace("http://127.0.0.1:8787", &server.url())
            .replace("/tmp/tokens.json", &tokens.to_string_lossy())
            .replacen("knockon ", "\"$KNOCKON_BINARY\" ", 1);
        let mut shell = project.program("/bin/sh", &["-c", &line]);
        let output = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    }
    assert_eq!(server.ids().len(), 2, "each event once");
    let status = project.json(&["sync", "status", "--json"]);
    assert_eq!((&status["queued"], &status["team"]), (&0.into(), &"demo".into()));
}
