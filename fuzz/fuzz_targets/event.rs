//! Any bytes are an event or an error; what is accepted comes back byte for byte, and is JSON to others too.

#![no_main]

use knockon::event::Event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Event::parse(bytes.to_vec()) {
        Ok(event) => {
            assert_eq!(event.bytes(), bytes);
            assert_eq!(event.context(), event.json().get("context"));
            if let Err(error) = serde_json::from_slice::<serde_json::Value>(bytes) {
                // A number that no f64 holds is a number all the same.
                assert!(error.to_string().contains("out of range"), "{error}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
