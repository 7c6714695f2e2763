//! `zookeeper://`.

use std::fmt;

use super::{
    UrlError,
    parts::{Host, Parts},
};

const PORT: u16 = 2181;

/// Where a table in ZooKeeper is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZookeeperUrl {
    /// The servers.
    pub hosts: Vec<Host>,
    /// The node that has all others of the table below it: it begins with a slash, and ends with none.
    pub path: String,
}

impl ZookeeperUrl {
    pub(super) fn read(rest: &str) -> Result<Self, UrlError> {
        let parts = Parts::of(rest)?;
        if parts.user.is_some() {
            return Err(UrlError::new("zookeeper:// takes no user and no password"));
        }
        if parts.query.is_some() {
            return Err(UrlError::new("zookeeper:// takes no \"?\""));
        }
        let hosts = parts.hosts.split(',').map(|host| Host::read(host, PORT));
        let hosts = hosts.collect::<Result<_, _>>()?;
        let path = parts.path.strip_suffix('/').unwrap_or(parts.path);
        let is_name = |name: &str| !matches!(name, "" | "." | "..") && name.bytes().all(|byte| byte.is_ascii_graphic());
        if path.is_empty() || !path[1..].split('/').all(is_name) {
            return Err(UrlError::new(
                "zookeeper:// needs a path for the table, such as zookeeper://host:2181/pointsman/routes",
            ));
        }
        if path[1..].split('/').next() == Some("zookeeper") {
            return Err(UrlError::new(
                "what stands below /zookeeper is ZooKeeper's own; take another path",
            ));
        }
        Ok(Self {
            hosts,
            path: path.to_owned(),
        })
    }

    /// The servers, as a client wants them.
    pub fn servers(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        hosts.join(",")
    }
}

impl fmt::Display for ZookeeperUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zookeeper://{}{}", self.servers(), self.path)
    }
}
