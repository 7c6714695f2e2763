use std::sync::Arc;

use super::*;
use crate::conformance;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("routes.json")
    }

    fn store(&self) -> FileStore {
        FileStore::new(self.path(), conformance::settings())
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        fs::write(self.path(), text).expect("written");
    }
}

const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn a_store_in_a_file_keeps_what_every_store_promises() {
    conformance::all(
        &|| {
            let place = Arc::new(Place::new());
            Box::new(move || Box::new(place.store()) as Box<dyn Store>)
        },
        conformance::Load::FULL,
    );
}

#[test]
fn a_change_is_found_by_a_look_where_nothing_tells_of_it() {
    let place = Place::new();
    let mut store = FileStore::new(
        place.path(),
        Settings {
            poll: Duration::from_millis(5),
            ..conformance::settings()
        },
    );
    place.store().init("i").expect("init");
    let table = store.load().expect("load");
    // A folder that is not there cannot be watched, and the file is found all the same.
    store.watch = Some(Watch {
        _watcher: notify::recommended_watcher(|_| {}).expect("a watcher"),
        bell: {
            let (sender, bell) = mpsc::sync_channel(1);
            std::mem::forget(sender);
            bell
        },
    });
    place
        .store()
        .apply((table.epoch(), table.version()), Vec::new())
        .expect("applied");
    let told = store.changed(DEADLINE).expect("changed").expect("a change");
    assert_eq!(told.version(), table.version() + 1);
}

#[test]
fn a_file_that_is_no_table_is_told_until_it_is_one_and_the_next_good_one_is_read() {
    let place = Place::new();
    let mut store = place.store();
    assert_eq!(store.changed(Duration::ZERO).map(|_| ()), Err(StoreError::NoTable));
    place.store().init("i").expect("init");
    let table = store.load().expect("load");
    let whole = table.document().write();
    let long = format!("{{\"format\":1,\"x\":\"{}\"}}", "y".repeat(10_000));
    for (text, expected) in [
        (String::new(), "it is empty"),
        (whole[..whole.len() / 2].to_owned(), "cannot be read as a routing table"),
        ("garbage".to_owned(), "expected value at line 1"),
        (whole.replace("rows", "lines"), "unknown field `lines`"),
        (whole.replace("\"format\":1", "\"format\":2"), "has format 2"),
        (whole.replace("\"format\":1", "\"format\":2,\"more\":1"), "has format 2"),
        (long, "unknown field"),
        (
            "{\"format\":1,\"incarnation\":\"i\",\"epoch\":1,\"version\":-1,\"rows\":[]}".to_owned(),
            "invalid value: integer `-1`",
        ),
    ] {
        place.write(&text);
        let told = store.changed(DEADLINE).map(|_| ()).expect_err(expected).to_string();
        assert!(told.contains(expected) && told.len() < 500, "{expected}: {told}");
        let again = store
            .changed(Duration::ZERO)
            .map(|_| ())
            .expect_err("it is as wrong as before");
        assert_eq!(again.to_string(), told);
    }
    place.write([0xff, 0xfe]);
    let told = store.changed(DEADLINE).map(|_| ()).expect_err("no text").to_string();
    assert!(told.contains("byte 0 is not UTF-8"), "{told}");
    place.write(&whole);
    assert!(store.changed(DEADLINE).expect("changed").is_some());
    fs::remove_file(place.path()).expect("removed");
    assert_eq!(store.changed(DEADLINE).map(|_| ()), Err(StoreError::NoTable));
}

#[test]
fn a_file_of_64_mib_is_not_read() {
    let place = Place::new();
    File::create(place.path())
        .and_then(|file| file.set_len(64 << 20))
        .expect("a file");
    let told = place.store().load().map(|_| ()).expect_err("too large").to_string();
    assert!(told.contains("67108864 bytes are too many"), "{told}");
}

#[test]
fn a_swapped_link_is_another_table_as_kubernetes_does_it() {
    let place = Place::new();
    let folder = place.folder.path();
    let data = |number: u32, version: u64| {
        let versioned = folder.join(format!("..{number}"));
        fs::create_dir(&versioned).expect("a folder");
        let mut document = Document::empty("i".to_owned());
        document.version = version;
        fs::write(versioned.join("routes.json"), document.write()).expect("written");
        let link = folder.join(format!("..tmp{number}"));
        std::os::unix::fs::symlink(&versioned, &link).expect("a link");
        fs::rename(link, folder.join("..data")).expect("renamed");
    };
    data(1, 1);
    std::os::unix::fs::symlink("..data/routes.json", place.path()).expect("a link");
    let mut store = place.store();
    assert_eq!(store.load().expect("load").version(), 1);
    assert!(store.changed(Duration::ZERO).expect("changed").is_none());
    data(2, 2);
    assert_eq!(
        store.changed(DEADLINE).expect("changed").map(|table| table.version()),
        Some(2)
    );
}
