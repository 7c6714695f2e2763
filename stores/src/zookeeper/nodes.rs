//! Names of nodes, and what they hold.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    str::FromStr,
};

use pointsman_routing::{Row, TableError, murmur2};

/// Shards of a topic.
const SHARDS: u32 = 256;
/// Most bytes of a node: ZooKeeper's limit on a request is 1 MiB, unless `jute.maxbuffer` says otherwise, and a request has
/// more in it than the node.
pub(super) const MOST_BYTES: usize = 900_000;

/// Where the table's nodes are.
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) head: String,
    pub(super) rows: String,
}

impl Paths {
    pub(super) fn below(path: &str) -> Self {
        Self {
            head: format!("{path}/head"),
            rows: format!("{path}/rows"),
        }
    }

    pub(super) fn index(&self, topic: &str) -> String {
        format!("{}/{topic}", self.rows)
    }

    pub(super) fn node(&self, topic: &str, shard: Shard, node: &Node) -> String {
        format!("{}/{topic}/{shard}-{node}", self.rows)
    }
}

/// A shard of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shard(u8);

impl Shard {
    /// The shard that a tenant's row is in.
    pub(super) fn of(tenant: &str) -> Self {
        Self((murmur2::positive(tenant.as_bytes()) % SHARDS) as u8)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

/// One version of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    /// Of the table that it was written for.
    pub(super) version: u64,
    /// Two writers may write for the same version.
    mark: u32,
}

impl Node {
    pub(super) fn new(version: u64) -> Self {
        Self {
            version,
            mark: fastrand::u32(..),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08x}", self.version, self.mark)
    }
}

impl FromStr for Node {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (version, mark) = text.split_once('-').ok_or(())?;
        Ok(Self {
            version: version.parse().map_err(|_| ())?,
            mark: u32::from_str_radix(mark, 16).map_err(|_| ())?,
        })
    }
}

/// The shard and the version of a node by its name.
pub(super) fn parse(name: &str) -> Option<(Shard, Node)> {
    let (shard, node) = name.split_once('-')?;
    Some((Shard(u8::from_str_radix(shard, 16).ok()?), node.parse().ok()?))
}

/// The nodes of a topic's shards.
pub(super) type Index = BTreeMap<Shard, Node>;

pub(super) fn read_index(json: &[u8]) -> Result<Index, TableError> {
    let index: BTreeMap<String, String> = serde_json::from_slice(json).map_err(|error| unreadable(&error))?;
    let nodes = index.iter().map(|(shard, node)| parse(&format!("{shard}-{node}")));
    let nodes: Option<Index> = nodes.collect();
    nodes.ok_or_else(|| TableError::Unreadable("an index has what is no node".to_owned()))
}

pub(super) fn write_index(index: &Index) -> Vec<u8> {
    let nodes = index.iter().map(|(shard, node)| (shard.to_string(), node.to_string()));
    // A map of strings can always be written.
    serde_json::to_vec(&nodes.collect::<BTreeMap<_, _>>()).unwrap_or_default()
}

pub(super) fn read_rows(json: &[u8]) -> Result<Vec<Row>, TableError> {
    serde_json::from_slice(json).map_err(|error| unreadable(&error))
}

/// A line for each row, so that people can read it.
pub(super) fn write_rows(rows: &[Row]) -> Vec<u8> {
    let mut json = String::from("[");
    for (index, row) in rows.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(json, "{comma}\n {}", row.write());
    }
    json.push_str("\n]\n");
    json.into_bytes()
}

fn unreadable(error: &serde_json::Error) -> TableError {
    TableError::Unreadable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_stays_in_its_shard_with_every_version_of_this_program() {
        for (tenant, shard) in SHARDS_OF {
            assert_eq!(Shard::of(tenant).to_string(), shard, "{tenant}");
        }
    }

    const SHARDS_OF: [(&str, &str); 4] = [("*", "f7"), ("acme", "04"), ("tenant-7", "b6"), ("ünïcode", "85")];

    #[test]
    fn what_is_written_is_read_again() {
        let node = Node { version: 412, mark: 7 };
        let index = Index::from([(Shard(0), node), (Shard(255), Node::new(1))]);
        assert_eq!(read_index(&write_index(&index)), Ok(index));
        assert_eq!(read_index(b"{}"), Ok(Index::new()));
        for wrong in ["", "[]", r#"{"zz":"1-2"}"#, r#"{"00":"1"}"#, r#"{"00":"x-1"}"#] {
            assert!(read_index(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let rows = [Row::shared("t", "a", 1), Row::shared("t", "b", 2)];
        assert_eq!(read_rows(&write_rows(&rows)), Ok(rows.to_vec()));
        assert_eq!(read_rows(&write_rows(&[])), Ok(Vec::new()));
        let paths = Paths::below("/p");
        assert_eq!(paths.node("t", Shard(10), &node), "/p/rows/t/0a-412-00000007");
        assert_eq!(parse("0a-412-00000007"), Some((Shard(10), node)));
    }
}
