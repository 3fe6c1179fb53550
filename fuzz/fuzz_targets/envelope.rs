//! An envelope of the sync wire is an event or an error that says where; what is accepted goes back as it came.

#![no_main]

use knockon::Event;
use knockon::work_package::{Kind, Origin, WireVersion, from_wire, to_wire};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let event = match from_wire(text, "/p") {
        Ok(event) => event,
        Err(broken) => {
            assert!(!broken.is_empty() && broken.iter().all(|violation| !violation.problem.contains('\n')));
            return;
        }
    };
    assert!(Event::parse(event.bytes().to_vec()).is_ok());
    assert!(Kind::of(event.kind()).is_some());
    let origin = Origin {
        team_slug: "team".into(),
        replaces_team: false,
        project_uuid: Some("6b0f3c5e-3a1f-4f53-9a51-0d8a9c1c2b3d".into()),
        project_slug: Some("p".into()),
        build_id: Some("b".into()),
        repo_slug: Some("o/r".into()),
    };
    let mut came_back = false;
    for version in [WireVersion::V1, WireVersion::V3] {
        let Ok(wire) = to_wire(&event, &origin, version) else { continue };
        let again = from_wire(&wire, "/p").expect("what goes out can be read");
        assert_eq!(again.id(), event.id());
        let value = |text: &str| serde_json::from_str::<Value>(text);
        let (Ok(sent), Ok(received)) = (value(&wire), value(text)) else {
            // A number that no f64 holds is a number all the same.
            came_back = true;
            continue;
        };
        came_back |= sent == received;
    }
    assert!(came_back, "{}", event.json().text());
});
