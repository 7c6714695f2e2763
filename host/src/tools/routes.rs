//! `pointsman routes`: looks at the routing table of tenants in its store, and changes it.
//!
//! A change is made for the table that was read. If somebody else was faster, nothing is changed, and the command shows
//! what changed meanwhile. Records keep their order: what would send them elsewhere at once is refused without
//! `--out-of-order`.

mod changes;
mod shown;
mod top;

use std::{collections::BTreeMap, fs, io::Write, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use pointsman_routing::{Change, Document, Hashing, Refused, Row, Table};
use pointsman_stores::{Settings, Store, StoreError, Url, open};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};

use self::changes::Considered;
pub(super) use self::shown::partitions;
use crate::{
    config::{Config, Loaded, Overrides, password},
    tools::{
        admin_client,
        cli::{
            Admin,
            routes::{self as cli, Routes},
        },
    },
};

/// The store is looked at that often while `watch` waits.
const POLL: Duration = Duration::from_millis(500);
/// How long brokers may take to say how many partitions a topic has.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// What a command needs beside its options.
pub struct Surroundings<'a> {
    /// The environment over the configuration file.
    pub environment: Vec<(String, String)>,
    /// Whether the result goes to a terminal.
    pub is_terminal: bool,
    /// Where the result goes.
    pub out: &'a mut dyn Write,
    /// Asks the brokers of a configuration how many partitions a topic has.
    pub partitions: &'a dyn Fn(&Loaded, &str) -> anyhow::Result<u32>,
    /// Finds the sidecar that is to be asked.
    pub admin: &'a dyn Fn(&Admin) -> anyhow::Result<admin_client::Admin>,
}

/// Runs the command. False if what was asked for was not done.
pub fn run(asked: &Routes, mut around: Surroundings<'_>) -> anyhow::Result<bool> {
    match asked {
        Routes::Init(store) => {
            let mut store = around.store(store)?;
            let made = store.init(&incarnation())?;
            writeln!(
                around.out,
                "made a routing table without rows, version {}",
                made.version()
            )?;
        }
        Routes::Adopt(options) => return adopt(options, &mut around),
        Routes::List(options) => {
            let table = around.store(&options.store)?.load()?;
            shown::list(&table, options.topic.as_deref(), options.json, around.out)?;
        }
        Routes::Get(options) => {
            let table = around.store(&options.store)?.load()?;
            return shown::get(&table, options, around.out);
        }
        Routes::Set(options) => {
            let mut store = around.store(&options.store)?;
            let table = store.load()?;
            let change = Change::Put(changes::row(&table, options)?);
            let considered = around.consider(&table, vec![change], &options.order, &options.store);
            return around.apply(&mut *store, &table, considered);
        }
        Routes::Unset(options) => {
            let mut store = around.store(&options.store)?;
            let table = store.load()?;
            let change = Change::Remove {
                topic: options.topic.clone(),
                tenant: options.tenant.clone(),
            };
            let considered = around.consider(&table, vec![change], &options.order, &options.store);
            return around.apply(&mut *store, &table, considered);
        }
        Routes::Export(store) => {
            let table = around.store(store)?.load()?;
            around.out.write_all(table.document().write().as_bytes())?;
        }
        Routes::Import(options) => return import(options, &mut around),
        Routes::Watch(options) => watch(options, &mut around)?,
        Routes::Top(options) => {
            let admin = (around.admin)(&options.admin)?;
            top::run(options, &admin, around.is_terminal, around.out)?;
        }
    }
    Ok(true)
}

fn adopt(options: &cli::Adopt, around: &mut Surroundings<'_>) -> anyhow::Result<bool> {
    let mut store = around.store(&options.store)?;
    let table = store.load()?;
    let partitions = match options.order.partitions {
        Some(partitions) => partitions,
        None => around.ask_partitions(&options.store, &options.topic)?,
    };
    let Some(tail) = Row::tail(&options.topic, partitions) else {
        bail!("a topic of {partitions} partitions cannot have rows; expected 1 to 65536");
    };
    if table.topic(&options.topic).is_some() {
        bail!(
            "topic \"{}\" has rows already; `pointsman routes list` shows them",
            options.topic
        );
    }
    let slots = tail.slots.len();
    let considered = Considered {
        changes: vec![Change::Put(tail)],
        moves: Vec::new(),
        out_of_order: false,
    };
    let done = around.apply(&mut *store, &table, considered)?;
    if done {
        let topic = &options.topic;
        writeln!(
            around.out,
            "the tenants of topic \"{topic}\" stay where the key hash of their names put them, on {partitions} partitions in \
             {slots} slots"
        )?;
    }
    Ok(done)
}

fn import(options: &cli::Import, around: &mut Surroundings<'_>) -> anyhow::Result<bool> {
    let json = match options.file == Path::new("-") {
        true => {
            let mut json = Vec::new();
            std::io::copy(&mut std::io::stdin().lock(), &mut json)?;
            json
        }
        false => fs::read(&options.file).with_context(|| format!("cannot read {}", options.file.display()))?,
    };
    let mut store = around.store(&options.store)?;
    let document = Document::read(&json).with_context(|| options.file.display().to_string())?;
    let now = match store.load() {
        Err(StoreError::NoTable) => store.init(&incarnation())?,
        loaded => loaded?,
    };
    // Their versions are those of another table.
    let rows = document.rows.into_iter().map(|row| Row {
        version: now.row(&row.topic, &row.tenant).map_or(0, |row| row.version),
        ..row
    });
    let next = Document {
        rows: rows.collect(),
        ..now.document()
    };
    let next = next
        .table(now.hashing().clone())
        .with_context(|| options.file.display().to_string())?;
    let changes = now.changes_to(&next);
    if changes.is_empty() {
        writeln!(around.out, "the table has these rows already")?;
        return Ok(true);
    }
    let considered = around.consider(&now, changes, &options.order, &options.store);
    around.apply(&mut *store, &now, considered)
}

fn watch(options: &cli::Watch, around: &mut Surroundings<'_>) -> anyhow::Result<()> {
    let mut store = around.store(&options.store)?;
    let mut known = store.load()?;
    if !options.json {
        writeln!(
            around.out,
            "version {}, {} rows; waiting for changes",
            known.version(),
            known.len()
        )?;
    }
    loop {
        around.out.flush()?;
        let Some(table) = store.changed(POLL)? else { continue };
        shown::changes(&known, &table, options.json, around.out)?;
        known = table;
    }
}

impl Surroundings<'_> {
    /// Opens the store that the options name, or the configuration.
    fn store(&self, options: &cli::Store) -> anyhow::Result<Box<dyn Store>> {
        let mut brokers = BTreeMap::new();
        let mut url: Url = match &options.url {
            Some(url) => url.parse().context("--store")?,
            None => {
                let Some(routing) = self.config(options)?.config.routing else {
                    bail!("where is the table? Give --store, or --config with a [routing] section");
                };
                routing.url()?
            }
        };
        if let Some(file) = &options.password_file {
            let set = password(file).map(|password| url.set_password(password));
            set.context("--password-file")?.context("--password-file")?;
        }
        if matches!(url, Url::Kafka(_)) {
            if options.config.is_none() {
                bail!("where is Kafka? Give --config, whose [kafka] has the brokers and credentials");
            }
            brokers = self.config(options)?.kafka.properties;
        }
        let settings = Settings {
            poll: POLL,
            hashing: Hashing::with_seed(fastrand::u64(..)),
        };
        Ok(open(&url, &brokers, settings)?)
    }

    fn config(&self, options: &cli::Store) -> anyhow::Result<Loaded> {
        if options.config.is_none() {
            bail!("where is the table? Give --store, or --config with a [routing] section");
        }
        let overrides = Overrides::default();
        Ok(Config::load(
            options.config.as_deref(),
            self.environment.clone(),
            &overrides,
        )?)
    }

    fn ask_partitions(&self, options: &cli::Store, topic: &str) -> anyhow::Result<u32> {
        if options.config.is_none() {
            bail!(
                "how many partitions has topic \"{topic}\"? Give --partitions, or --config to have the brokers asked"
            );
        }
        (self.partitions)(&self.config(options)?, topic)
    }

    /// Finds out what the changes do to the order of records.
    fn consider(&self, table: &Table, changes: Vec<Change>, order: &cli::Order, store: &cli::Store) -> Considered {
        let moves = changes.iter().filter_map(|change| {
            let is_known = table.topic(change.topic()).is_some();
            let partitions = match order.partitions {
                None if !is_known => self.ask_partitions(store, change.topic()).ok(),
                given => given,
            };
            table.moves(change, partitions)
        });
        Considered {
            moves: moves.collect(),
            changes,
            out_of_order: order.out_of_order,
        }
    }

    /// Makes the changes, and shows what they did. False if they were not made.
    fn apply(&mut self, store: &mut dyn Store, table: &Table, considered: Considered) -> anyhow::Result<bool> {
        if let Some(told) = considered.refusal() {
            bail!(told);
        }
        for moves in &considered.moves {
            writeln!(self.out, "out of order: {moves}")?;
        }
        let expected = (table.epoch(), table.version());
        match store.apply(expected, considered.changes) {
            Ok(after) => {
                shown::changes(table, &after, false, self.out)?;
                Ok(true)
            }
            Err(StoreError::Refused(refused @ Refused::Outdated { .. })) => {
                writeln!(self.out, "nothing was changed: {refused}")?;
                shown::changes(table, &store.load()?, false, self.out)?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Asks the brokers of a configuration how many partitions a topic has.
pub fn ask_brokers(loaded: &Loaded, topic: &str) -> anyhow::Result<u32> {
    if loaded.config.kafka.is_embedded() {
        bail!("an embedded broker cannot be asked; give --partitions");
    }
    let client: BaseConsumer = loaded
        .kafka
        .properties
        .clone()
        .into_iter()
        .collect::<ClientConfig>()
        .create()?;
    let metadata = client.fetch_metadata(Some(topic), METADATA_TIMEOUT);
    let metadata =
        metadata.with_context(|| format!("the brokers do not say how many partitions topic \"{topic}\" has"))?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    match u32::try_from(partitions) {
        Ok(partitions) if partitions > 0 => Ok(partitions),
        _ => bail!("the brokers do not know topic \"{topic}\"; create it first"),
    }
}

/// A name that no other table has.
fn incarnation() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

#[cfg(test)]
mod tests;
