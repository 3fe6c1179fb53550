//! hooks.yaml as people write it, right and wrong: `tests/fixtures/config`.

use crate::support::TestProject;
use std::path::{Path, PathBuf};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(folder);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}

#[test]
fn what_is_right_is_accepted() {
    let project = TestProject::bare();
    let files = files("valid");
    assert!(files.len() >= 25);
    for file in files {
        let ran = project.run(&["validate", "-f", file.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{}: {}", file.display(), ran.stdout);
    }
}

#[test]
fn each_fault_is_told_with_its_place_its_kind_and_a_way_out() {
    let project = TestProject::bare();
    let files = files("invalid");
    assert!(files.len() >= 150);
    let mut wrong = Vec::new();
    for file in files {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        let wanted = text.lines().next().unwrap().strip_prefix("# wants: ").unwrap().to_owned();
        let mut words = wanted.split_whitespace();
        let (place, code) = (words.next().unwrap(), words.next().unwrap());
        let ran = project.run(&["validate", "--json", "-f", file.to_str().unwrap()]);
        assert_eq!(ran.code, 2, "{}: {}", file.display(), ran.stdout);
        let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let errors: Vec<_> =
            document["problems"].as_array().unwrap().iter().filter(|problem| problem["severity"] == "error").collect();
        let error = &errors[0];
        let said =
            ["message", "label", "help"].map(|part| error[part].as_str().unwrap_or_default()).join(" ").to_lowercase();
        let fits = format!("{}:{}", error["line"], error["column"]) == place
            && error["code"] == code
            && words.all(|word| said.contains(&word.to_lowercase()))
            && errors.len() == 1;
        if !fits {
            wrong.push(format!("{}\n  wants {wanted}\n  got {errors:#?}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}
