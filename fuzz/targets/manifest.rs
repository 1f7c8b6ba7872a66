//! A manifest: any text is read or refused, with errors of limited length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_contract::Manifest;

/// The maximum length of errors about a manifest.
const LONGEST: usize = 64 << 10;

fuzz_target!(|text: &str| {
    match Manifest::parse(text) {
        Ok(manifest) => {
            // A manifest that was read can be displayed and rendered.
            let _ = manifest.configuration.to_json_schema();
            assert!(!manifest.name.as_str().is_empty());
        }
        Err(error) => {
            let said: usize = error.problems().iter().map(|problem| problem.to_string().len()).sum();
            assert!(said <= LONGEST + 16 * text.len(), "{said} bytes are said of {} bytes", text.len());
        }
    }
});
