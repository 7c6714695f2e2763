//! Reads the table as it is at one head.

use std::{collections::BTreeMap, time::Instant};

use pointsman_routing::{Change, Hashing, Head, Row, Table};
use zookeeper_client::{Error, Stat};

use super::{
    Failure, PATIENCE,
    nodes::{self, Index, Node, Paths, Shard},
    session::{Session, Watch},
};
use crate::StoreError;

/// Nodes may go away while they are read, but then the head has changed. If it has not, this many times, one is missing.
const MOST_MISSES: u32 = 5;

/// Which version of the head it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    /// When the head was made. If somebody removes a table and makes another one, versions begin anew.
    made: i64,
    changed: i64,
    /// What a change of it is made for.
    pub(super) version: i32,
}

impl At {
    /// No head is at this one.
    pub(super) const NEVER: Self = Self {
        made: -1,
        changed: -1,
        version: -1,
    };

    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            made: stat.czxid,
            changed: stat.mzxid,
            version: stat.version,
        }
    }
}

/// A table that was read, and where its rows are from.
pub(super) struct Seen {
    pub(super) at: At,
    pub(super) table: Table,
    /// Topics may be without rows.
    pub(super) topics: BTreeMap<String, Topic>,
}

/// By shard: its node, and how many rows that has.
pub(super) type Topic = BTreeMap<Shard, (Node, usize)>;

/// Reads the table, and watches its head. What is the same as `before` is not read again.
pub(super) fn read(
    session: &Session,
    paths: &Paths,
    before: Option<&Seen>,
    hashing: &Hashing,
) -> Result<(Seen, Watch), Failure> {
    let until = Instant::now() + PATIENCE;
    let mut misses = 0;
    let mut last = None;
    loop {
        let (json, at, watch) = match session.head(&paths.head) {
            Err(Error::NoNode) => return Err(StoreError::NoTable.into()),
            head => head?,
        };
        if last.replace(at) == Some(at) {
            misses += 1;
        }
        let read = read_at(session, paths, before, hashing, &Head::read(&json)?);
        let now = session.run(session.client().check_stat(&paths.head))?;
        let is_same = now.is_some_and(|now| At::of(&now) == at);
        match read {
            // Rows of two versions may also break rules together.
            Ok((table, topics)) if is_same => return Ok((Seen { at, table, topics }, watch)),
            Err(Failure::Store(error)) if is_same => return Err(Failure::Store(error)),
            Err(Failure::Zookeeper(error)) if error != Error::NoNode || misses > MOST_MISSES => {
                return Err(error.into());
            }
            _ => {}
        }
        if Instant::now() > until {
            return Err(StoreError::Away("the table changes faster than it can be read".to_owned()).into());
        }
    }
}

type Read = (Table, BTreeMap<String, Topic>);

fn read_at(
    session: &Session,
    paths: &Paths,
    before: Option<&Seen>,
    hashing: &Hashing,
    head: &Head,
) -> Result<Read, Failure> {
    // A node has the same rows whenever it is read, so what is known of another version of the same store is of use.
    let before = before.filter(|before| **before.table.incarnation() == *head.incarnation);
    let names = session.run(session.client().list_children(&paths.rows))?;
    let mut indexes: Vec<(String, Vec<u8>)> = Vec::new();
    let get = |client: &zookeeper_client::Client, topic: &String| client.get_data(&paths.index(topic));
    session.each(names, get, |topic, (json, _)| {
        indexes.push((topic, json));
        Ok(())
    })?;
    let mut topics: BTreeMap<String, Topic> = BTreeMap::new();
    let mut asked: Vec<(String, Shard, Node)> = Vec::new();
    for (name, json) in indexes {
        let known = before.and_then(|before| before.topics.get(&name));
        let mut topic = Topic::new();
        for (shard, node) in nodes::read_index(&json)? {
            match known.and_then(|known| known.get(&shard)) {
                Some(same) if same.0 == node => {
                    topic.insert(shard, *same);
                }
                _ => asked.push((name.clone(), shard, node)),
            }
        }
        topics.insert(name, topic);
    }
    let mut read: Vec<(String, Shard, Vec<Row>)> = Vec::with_capacity(asked.len());
    let mut wrong = None;
    let get = |client: &zookeeper_client::Client, (topic, shard, node): &(String, Shard, Node)| {
        client.get_data(&paths.node(topic, *shard, node))
    };
    session.each(asked, get, |(topic, shard, node), (json, _)| {
        match nodes::read_rows(&json) {
            Ok(rows) => {
                topics
                    .entry(topic.clone())
                    .or_default()
                    .insert(shard, (node, rows.len()));
                read.push((topic, shard, rows));
            }
            Err(error) => wrong = Some(error),
        }
        Ok(())
    })?;
    if let Some(error) = wrong {
        return Err(error.into());
    }
    let table = match before {
        None => Table::from_rows(
            head,
            read.into_iter().flat_map(|(_, _, rows)| rows).collect(),
            hashing.clone(),
        )?,
        Some(before) => before.table.with(head, &changes(before, &topics, read))?,
    };
    Ok((table, topics))
}

/// What has changed since `before`, by the shards that were read since.
fn changes(before: &Seen, topics: &BTreeMap<String, Topic>, read: Vec<(String, Shard, Vec<Row>)>) -> Vec<Change> {
    let mut changes = Vec::new();
    // By topic: the shards that have lost rows, with those that they have now.
    let mut smaller: BTreeMap<&str, BTreeMap<Shard, Vec<String>>> = BTreeMap::new();
    for (topic, known) in &before.topics {
        let now = topics.get(topic);
        for shard in known
            .keys()
            .filter(|shard| now.is_none_or(|now| !now.contains_key(shard)))
        {
            smaller.entry(topic).or_default().insert(*shard, Vec::new());
        }
    }
    for (topic, shard, rows) in read {
        let known = before.topics.get_key_value(&topic);
        let had = known
            .and_then(|(_, known)| known.get(&shard))
            .map_or(0, |(_, rows)| *rows);
        let added = rows
            .iter()
            .filter(|row| !before.table.has(&row.topic, &row.tenant))
            .count();
        if let Some((topic, _)) = known
            && had + added != rows.len()
        {
            let names = rows.iter().map(|row| row.tenant.clone()).collect();
            smaller.entry(topic).or_default().insert(shard, names);
        }
        let is_other = |row: &Row| before.table.row(&row.topic, &row.tenant).as_ref() != Some(row);
        changes.extend(rows.into_iter().filter(is_other).map(Change::Put));
    }
    for (topic, shards) in smaller {
        let rows = before.table.topic(topic).into_iter().flat_map(|topic| topic.rows());
        for Row { topic, tenant, .. } in rows {
            if shards
                .get(&Shard::of(&tenant))
                .is_some_and(|names| !names.contains(&tenant))
            {
                changes.push(Change::Remove { topic, tenant });
            }
        }
    }
    changes
}

/// The nodes alone.
pub(super) fn index_of(topic: &Topic) -> Index {
    topic.iter().map(|(shard, (node, _))| (*shard, *node)).collect()
}
