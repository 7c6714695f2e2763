//! What is fuzzed: one function for each part that reads what clients send, one for numbered requests, one for the routing
//! table of tenants, and one for schemas. Each takes any bytes and panics where a promise is broken. So it checks more than that the code does not panic.
//!
//! `tests/fuzz` feeds them what a fuzzer makes up; a test below feeds them the corpus. This module exists only for
//! tests and fuzzing.

pub(crate) mod batch_encoder;
mod cloud_events;
mod headers;
mod json;
pub(crate) mod kafka_batch;
mod message;
mod numbering;
mod octets;
mod oracle;
pub(crate) mod packed;
mod parsed;
mod path;
/// The reference client's code for packed records.
#[path = "../../examples/clients/rust/packed.rs"]
pub(crate) mod reference;
mod schema;
mod sequence;
mod table;

pub use self::{
    cloud_events::cloud_events,
    json::{json, ndjson},
    kafka_batch::kafka_batch,
    message::message,
    numbering::numbering,
    octets::octets,
    packed::packed,
    path::path,
    schema::schema,
    sequence::sequence,
    table::table,
};

/// Takes any bytes; panics where a promise is broken.
pub type Target = fn(&[u8]);

/// All targets. A target's name is also that of its corpus folder, and of its program in `tests/fuzz/targets`.
pub const TARGETS: [(&str, Target); 12] = [
    ("cloud_events", cloud_events),
    ("json", json),
    ("kafka_batch", kafka_batch),
    ("message", message),
    ("ndjson", ndjson),
    ("numbering", numbering),
    ("octets", octets),
    ("packed", packed),
    ("path", path),
    ("schema", schema),
    ("sequence", sequence),
    ("table", table),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, panic::catch_unwind, path::Path};

    use super::*;

    fn names(folder: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let name = |entry: fs::DirEntry| {
            let path = entry.path();
            path.file_stem().expect("a name").to_string_lossy().into_owned()
        };
        entries.map(|entry| name(entry.expect("an entry"))).collect()
    }

    #[test]
    fn nothing_that_fuzzing_has_found_is_found_again() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz");
        let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(
            names(&fuzz.join("corpus")),
            known,
            "a corpus without a target, or the other way round"
        );
        assert_eq!(
            names(&fuzz.join("targets")),
            known,
            "a program without a target, or the other way round"
        );
        for (name, target) in TARGETS {
            let folder = fuzz.join("corpus").join(name);
            let files: Vec<_> = fs::read_dir(&folder)
                .expect("a corpus")
                .map(|file| file.expect("a file").path())
                .collect();
            assert!(files.len() >= 5, "{} has next to nothing in it", folder.display());
            for file in files {
                let bytes = fs::read(&file).expect("read");
                assert!(catch_unwind(|| target(&bytes)).is_ok(), "{}", file.display());
            }
        }
    }
}
