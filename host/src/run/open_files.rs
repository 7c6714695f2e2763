//! Raises the limit on open files: each connection is an open file, on the ingest and admin listeners and to brokers.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files beside the ingest connections: admin connections, connections to brokers, plugin files, pipes.
const OTHERS: u64 = 512;

/// Raises the soft limit to the hard limit. Many systems start processes with a soft limit of 1 024, for programs that
/// use `select`. With that limit, the allowed ingest connections would leave no files for probes and brokers.
pub(crate) fn raise(max_connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum;
    let raised = Rlimit { current: hard, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the soft limit of open files cannot be raised to the hard one");
    }
    let wanted = u64::try_from(max_connections)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHERS);
    if let Some(hard) = hard.filter(|hard| *hard < wanted) {
        tracing::warn!(
            hard,
            wanted,
            "the hard limit of open files is low for limits.max_connections: with that many connections, probes and brokers may \
             find none; raise it (ulimit -Hn), or lower max_connections"
        );
    }
}
