//! The routing table and its changes, as stores have them.

use pointsman_routing::{Change, Document, Hashing, Resolved, Row, TAIL, Table, Target};

/// The longest message that is told of a table, bytes.
const LONGEST_MESSAGE: usize = 2_000;

/// Reads a table, and after a byte 0 changes of it, a line each: a row that is put, or `-TOPIC/TENANT` for one that is removed.
///
/// What is read and written is read again as the same. A table that changes made is the one that is made of its rows anew. And
/// a record goes to a partition that its row, or the tail, has.
pub fn table(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (json, changes) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let read = Document::read(json).and_then(|document| document.table(hashing()));
    let table = match read {
        Ok(table) => table,
        Err(error) => return assert!(error.to_string().len() <= LONGEST_MESSAGE, "{error}"),
    };
    check(&table);
    let changes: Vec<Change> = changes.split(|byte| *byte == b'\n').filter_map(change).collect();
    if changes.is_empty() {
        return;
    }
    match table.apply(changes) {
        Ok((next, made)) => {
            assert_eq!(next.version(), table.version() + 1);
            check(&next);
            for change in made {
                let now = next.row(change.topic(), change.tenant());
                assert_eq!(now.as_ref(), change.row());
            }
        }
        Err(refused) => assert!(refused.to_string().len() <= LONGEST_MESSAGE, "{refused}"),
    }
    check(&table);
}

fn hashing() -> Hashing {
    Hashing::with_seed(1)
}

fn change(line: &[u8]) -> Option<Change> {
    let Some(names) = line.strip_prefix(b"-") else {
        return Some(Change::Put(Row::read(line).ok()?));
    };
    let (topic, tenant) = std::str::from_utf8(names).ok()?.split_once('/')?;
    Some(Change::Remove {
        topic: topic.to_owned(),
        tenant: tenant.to_owned(),
    })
}

fn check(table: &Table) {
    let document = table.document();
    let written = document.write();
    let again = Document::read(written.as_bytes()).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(again, document);
    let made_anew = again
        .table(hashing())
        .unwrap_or_else(|error| panic!("{error}: {written}"));
    assert!(made_anew.has_rows_of(table) && table.has_rows_of(&made_anew));
    for row in document.rows {
        let tenant = match row.tenant == TAIL {
            true => "nobody's own",
            false => &*row.tenant,
        };
        let Some(topic) = table.topic(&row.topic) else {
            panic!("no topic for {row:?}");
        };
        let found = topic.find(tenant, table.hashing().of(tenant));
        let expected = table.row(&row.topic, tenant).or_else(|| table.row(&row.topic, TAIL));
        let slots = expected.map(|row| row.slots).unwrap_or_default();
        for shard in [None, Some(0), Some(7), Some(u32::MAX >> 1)] {
            let Resolved { target, .. } = found.resolve(tenant, shard);
            match target {
                Target::Partition(partition) => assert!(slots.contains(&partition), "{partition} of {slots:?}"),
                Target::AnyOf(partitions) => assert_eq!(partitions, slots),
            }
        }
    }
}
