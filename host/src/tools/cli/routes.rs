//! `pointsman routes`: looks at the routing table of tenants in its store, and changes it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use pointsman_routing::{OrderClass, Status};

use super::admin::Admin;

/// `pointsman routes`.
#[derive(Debug, Subcommand)]
pub enum Routes {
    /// Make a table without rows.
    Init(Store),
    /// Make the row that places all tenants of a topic as the key hash did: nothing moves.
    Adopt(Adopt),
    /// Show all rows.
    List(List),
    /// Show where a tenant goes.
    Get(Get),
    /// Make or change a tenant's row.
    Set(Set),
    /// Remove a tenant's row, so that the topic's row for all tenants places it.
    Unset(Unset),
    /// Print the whole table as JSON.
    Export(Store),
    /// Put the rows of an exported table into the place of those that are there.
    Import(Import),
    /// Print a line for each row that changes.
    Watch(Watch),
    /// Show which tenants and partitions of a running sidecar get most.
    Top(Top),
}

impl Routes {
    /// Where the table is, if the command is about one.
    pub fn store_mut(&mut self) -> Option<&mut Store> {
        Some(match self {
            Self::Top(_) => return None,
            Self::Init(store) | Self::Export(store) => store,
            Self::Adopt(options) => &mut options.store,
            Self::List(options) => &mut options.store,
            Self::Get(options) => &mut options.store,
            Self::Set(options) => &mut options.store,
            Self::Unset(options) => &mut options.store,
            Self::Import(options) => &mut options.store,
            Self::Watch(options) => &mut options.store,
        })
    }
}

/// Where the table is.
#[derive(Debug, Args)]
pub struct Store {
    /// The store's URL.
    #[arg(
        long = "store",
        value_name = "URL",
        help = "The store's URL, such as file:/etc/pointsman/routes.json; else that of [routing] in the configuration"
    )]
    pub url: Option<String>,
    /// Where the store's password is.
    #[arg(
        long,
        value_name = "FILE",
        help = "A file with the password of a store in Redis, which command lines would show to everybody on this machine"
    )]
    pub password_file: Option<PathBuf>,
    /// The configuration.
    #[arg(
        long,
        value_name = "FILE",
        help = "The sidecar's configuration file; else POINTSMAN_CONFIG names it"
    )]
    pub config: Option<PathBuf>,
}

/// What a change may do.
#[derive(Debug, Args)]
pub struct Order {
    /// Whether order may be lost.
    #[arg(
        long,
        help = "Make the change even where records of a tenant go to another partition from now on, out of order"
    )]
    pub out_of_order: bool,
    /// How many partitions a topic has.
    #[arg(
        long,
        value_name = "NUMBER",
        help = "How many partitions the topic has; else the brokers of the configuration are asked"
    )]
    pub partitions: Option<u32>,
}

/// `pointsman routes adopt`.
#[derive(Debug, Args)]
pub struct Adopt {
    /// The topic.
    pub topic: String,
    #[command(flatten)]
    pub(crate) order: Order,
    #[command(flatten)]
    pub(crate) store: Store,
}

/// `pointsman routes list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only this topic.
    pub topic: Option<String>,
    /// Print a JSON object for each row.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub(crate) store: Store,
}

/// `pointsman routes get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The topic.
    pub topic: String,
    /// The tenant; `*` for the row of all tenants without one.
    pub tenant: String,
    /// The partition of a record with this shard key.
    #[arg(long, value_name = "TEXT")]
    pub shard_key: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub(crate) store: Store,
}

/// `pointsman routes set`.
#[derive(Debug, Args)]
pub struct Set {
    /// The topic.
    pub topic: String,
    /// The tenant.
    pub tenant: String,
    /// The partition of each slot.
    #[arg(
        long,
        value_name = "PARTITIONS",
        value_delimiter = ',',
        help = "The partition of each slot, such as 5 or 5,6,7"
    )]
    pub slots: Vec<u32>,
    /// How the tenant shares its partitions.
    #[arg(long, value_enum)]
    pub status: Option<StatusName>,
    /// What moves keep in order.
    #[arg(long, value_enum)]
    pub ordering: Option<OrderName>,
    /// A planner leaves the row as it is.
    #[arg(long, conflicts_with = "unpin")]
    pub pin: bool,
    /// A planner may change the row.
    #[arg(long)]
    pub unpin: bool,
    #[command(flatten)]
    pub(crate) order: Order,
    #[command(flatten)]
    pub(crate) store: Store,
}

/// `pointsman routes unset`.
#[derive(Debug, Args)]
pub struct Unset {
    /// The topic.
    pub topic: String,
    /// The tenant.
    pub tenant: String,
    #[command(flatten)]
    pub(crate) order: Order,
    #[command(flatten)]
    pub(crate) store: Store,
}

/// `pointsman routes import`.
#[derive(Debug, Args)]
pub struct Import {
    /// A file that `export` has written; `-` for standard input.
    pub file: PathBuf,
    #[command(flatten)]
    pub(crate) order: Order,
    #[command(flatten)]
    pub(crate) store: Store,
}

/// `pointsman routes watch`.
#[derive(Debug, Args)]
pub struct Watch {
    /// Print a JSON object for each change.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub(crate) store: Store,
}

/// `pointsman routes top`.
#[derive(Debug, Args)]
pub struct Top {
    /// How many tenants are shown.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    pub tenants: u16,
    /// Show what is there now, and end.
    #[arg(long)]
    pub once: bool,
    /// Print one JSON object, and end.
    #[arg(long)]
    pub json: bool,
    /// The sidecar to ask.
    #[command(flatten)]
    pub admin: Admin,
}

/// [`Status`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum StatusName {
    /// One partition, which other tenants use too.
    Shared,
    /// Partitions that no other row uses.
    Dedicated,
    /// Several slots, by shard keys.
    Sharded,
}

/// [`OrderClass`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum OrderName {
    /// All records of the tenant.
    Tenant,
    /// Those with the same shard key.
    Key,
    /// None.
    None,
}

impl From<StatusName> for Status {
    fn from(name: StatusName) -> Self {
        match name {
            StatusName::Shared => Self::Shared,
            StatusName::Dedicated => Self::Dedicated,
            StatusName::Sharded => Self::Sharded,
        }
    }
}

impl From<OrderName> for OrderClass {
    fn from(name: OrderName) -> Self {
        match name {
            OrderName::Tenant => Self::Tenant,
            OrderName::Key => Self::Key,
            OrderName::None => Self::None,
        }
    }
}
