//! Writes a change: nodes for what is new, and then one multi that makes it the table.
//!
//! Nodes that no index has are left by writers that failed in the middle of a large change. Each large change of the
//! topic, and each claim, removes those that can never come into an index any more: they were made for a version that the
//! table has passed.

use std::collections::{BTreeMap, BTreeSet};

use pointsman_routing::{Change, Row, Table};
use zookeeper_client::{
    Acls, Client, CreateMode, CreateOptions, Error, MultiWriteError, MultiWriteResult, MultiWriter,
};

use super::{
    Failure,
    nodes::{self, MOST_BYTES, Node, Paths, Shard},
    reading::{At, Seen, Topic, index_of},
    session::Session,
};
use crate::StoreError;

/// What an operation takes in a request beside its path and its data.
const OVERHEAD: usize = 64;

fn options() -> CreateOptions<'static> {
    CreateMode::Persistent.with_acls(Acls::anyone_all())
}

/// Makes the table, which has no rows. `None`: somebody else was faster.
pub(super) fn begin(session: &Session, paths: &Paths, table: Table) -> Result<Option<Seen>, Failure> {
    let client = session.client();
    session.run(client.mkdir(&paths.rows, &options()))?;
    let names = session.run(client.list_children(&paths.rows))?;
    let mut multi = client.new_multi_writer();
    let head = table.head().write();
    multi.add_create(&paths.head, head.as_bytes(), &options())?;
    // Rows that were left without a head are no table.
    for name in &names {
        multi.add_set_data(&paths.index(name), b"{}", None)?;
    }
    match commit(session, &mut multi)? {
        None => Ok(None),
        Some(_) => {
            // Not every server tells the version of a node that it has made.
            let (now, at, _) = session.head(&paths.head)?;
            // If the table has been changed since, it is read anew.
            let at = if now == head.as_bytes() { at } else { At::NEVER };
            let topics = names.into_iter().map(|name| (name, Topic::new())).collect();
            Ok(Some(Seen { at, table, topics }))
        }
    }
}

/// Makes `table` of the one before. `None`: somebody else was faster.
pub(super) fn write(
    session: &Session,
    paths: &Paths,
    before: &Seen,
    table: Table,
    changes: &[Change],
) -> Result<Option<Seen>, Failure> {
    let plan = Plan::new(paths, before, &table, changes)?;
    for name in plan.topics.keys().filter(|name| !before.topics.contains_key(*name)) {
        match session.run(session.client().create(&paths.index(name), b"{}", &options())) {
            Ok(_) | Err(Error::NodeExists) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let fits = plan.bytes() <= MOST_BYTES;
    if !fits && !plan.write_ahead(session, paths, before)? {
        return Ok(None);
    }
    let head = table.head().write();
    let mut multi = session.client().new_multi_writer();
    multi.add_set_data(&paths.head, head.as_bytes(), Some(before.at.version))?;
    for (topic, now) in &plan.topics {
        multi.add_set_data(&paths.index(topic), &nodes::write_index(&index_of(now)), None)?;
    }
    if fits {
        for (path, json) in &plan.new {
            multi.add_create(path, json, &options())?;
        }
        for path in &plan.old {
            multi.add_delete(path, None)?;
        }
    }
    let Some(results) = commit(session, &mut multi)? else {
        return Ok(None);
    };
    let Some(MultiWriteResult::SetData { stat }) = results.first() else {
        return Err(Error::UnexpectedError("the head was not set".to_owned()).into());
    };
    let mut topics = before.topics.clone();
    let is_claim = changes.is_empty();
    let swept: Vec<String> = match (fits, is_claim) {
        (true, false) => Vec::new(),
        (false, _) => plan.topics.keys().cloned().collect(),
        (true, true) => topics.keys().cloned().collect(),
    };
    topics.extend(plan.topics);
    let seen = Seen {
        at: At::of(stat),
        table,
        topics,
    };
    for topic in swept {
        // The change is made. What is left now is removed another time.
        let _ = sweep(session, paths, &seen, &topic);
    }
    Ok(Some(seen))
}

/// What a change writes and removes.
struct Plan {
    /// All shards of the topics that change.
    topics: BTreeMap<String, Topic>,
    /// Paths and data of new nodes.
    new: Vec<(String, Vec<u8>)>,
    /// Paths of nodes that are no longer in an index.
    old: Vec<String>,
}

impl Plan {
    fn new(paths: &Paths, before: &Seen, table: &Table, changes: &[Change]) -> Result<Self, Failure> {
        let mut touched: BTreeMap<&str, BTreeSet<Shard>> = BTreeMap::new();
        for change in changes {
            touched
                .entry(change.topic())
                .or_default()
                .insert(Shard::of(change.tenant()));
        }
        let mut plan = Self {
            topics: BTreeMap::new(),
            new: Vec::new(),
            old: Vec::new(),
        };
        for (name, shards) in touched {
            let mut rows: BTreeMap<Shard, Vec<Row>> = BTreeMap::new();
            for row in table.topic(name).into_iter().flat_map(|topic| topic.rows()) {
                let shard = Shard::of(&row.tenant);
                if shards.contains(&shard) {
                    rows.entry(shard).or_default().push(row);
                }
            }
            let mut topic = before.topics.get(name).cloned().unwrap_or_default();
            for shard in shards {
                if let Some((node, _)) = topic.remove(&shard) {
                    plan.old.push(paths.node(name, shard, &node));
                }
                let Some(mut rows) = rows.remove(&shard) else { continue };
                rows.sort_unstable_by(|a, b| a.tenant.cmp(&b.tenant));
                let json = nodes::write_rows(&rows);
                if json.len() > MOST_BYTES {
                    return Err(too_large(name, shard, rows.len(), json.len()).into());
                }
                let node = Node::new(table.version());
                plan.new.push((paths.node(name, shard, &node), json));
                topic.insert(shard, (node, rows.len()));
            }
            plan.topics.insert(name.to_owned(), topic);
        }
        let indexes = plan.indexes(paths);
        if indexes > MOST_BYTES {
            return Err(StoreError::TooLarge(format!(
                "it changes {} topics, whose indexes have {indexes} bytes, and ZooKeeper takes {MOST_BYTES} at once; change \
                 fewer topics at once",
                plan.topics.len()
            ))
            .into());
        }
        Ok(plan)
    }

    /// What the indexes take in a request.
    fn indexes(&self, paths: &Paths) -> usize {
        let index = |(name, topic): (&String, &Topic)| {
            paths.index(name).len() + nodes::write_index(&index_of(topic)).len() + OVERHEAD
        };
        self.topics.iter().map(index).sum()
    }

    /// What everything takes in one request, about.
    fn bytes(&self) -> usize {
        let new: usize = self
            .new
            .iter()
            .map(|(path, json)| path.len() + json.len() + OVERHEAD)
            .sum();
        let old: usize = self.old.iter().map(|path| path.len() + OVERHEAD).sum();
        let indexes: usize = self.topics.values().map(|topic| 32 * topic.len() + 512).sum();
        new + old + indexes
    }

    /// Writes the nodes, which nobody reads yet, in as many requests as it takes. False: somebody else was faster.
    fn write_ahead(&self, session: &Session, paths: &Paths, before: &Seen) -> Result<bool, Failure> {
        let mut rest = self.new.as_slice();
        while !rest.is_empty() {
            let mut multi = session.client().new_multi_writer();
            multi.add_check_version(&paths.head, before.at.version)?;
            let mut bytes = 0;
            while let Some(((path, json), after)) = rest.split_first() {
                let more = path.len() + json.len() + OVERHEAD;
                if bytes > 0 && bytes + more > MOST_BYTES {
                    break;
                }
                multi.add_create(path, json, &options())?;
                bytes += more;
                rest = after;
            }
            if commit(session, &mut multi)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn too_large(topic: &str, shard: Shard, rows: usize, bytes: usize) -> StoreError {
    StoreError::TooLarge(format!(
        "shard {shard} of topic \"{topic}\" would have {rows} rows in {bytes} bytes, and ZooKeeper takes {MOST_BYTES} in one \
         node; give fewer tenants of the topic rows of their own, or keep the table in Kafka or Redis"
    ))
}

/// Commits a multi. `None`: the head is another one by now.
fn commit(session: &Session, multi: &mut MultiWriter<'_>) -> Result<Option<Vec<MultiWriteResult>>, Failure> {
    match session.run(multi.commit()) {
        Ok(results) => Ok(Some(results)),
        // The first operation is about the head.
        Err(MultiWriteError::OperationFailed {
            index: 0,
            source: Error::BadVersion | Error::NodeExists | Error::NoNode,
        }) => Ok(None),
        Err(error) => Err(Error::from(error).into()),
    }
}

/// Removes what can never come into the index of a topic any more.
fn sweep(session: &Session, paths: &Paths, seen: &Seen, topic: &str) -> Result<(), Error> {
    let index = seen.topics.get(topic).map(index_of).unwrap_or_default();
    let names = session.run(session.client().list_children(&paths.index(topic)))?;
    let is_dead = |name: &String| {
        nodes::parse(name).is_some_and(|(shard, node)| {
            // A change for the next version may be under way.
            node.version <= seen.table.version() && index.get(&shard) != Some(&node)
        })
    };
    let delete = |client: &Client, name: &String| client.delete(&format!("{}/{name}", paths.index(topic)), None);
    session.each(names.into_iter().filter(is_dead), delete, |_, ()| Ok(()))
}
