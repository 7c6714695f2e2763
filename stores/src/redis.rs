//! A table in Redis.
//!
//! | key | |
//! |---|---|
//! | `pointsman:{NAME}:head` | the head as JSON |
//! | `pointsman:{NAME}:rows` | a hash: `TOPIC/TENANT` to the row as JSON |
//! | `pointsman:{NAME}:changes` | a stream: an [entry] for each change, of which the last thousand or so are kept |
//!
//! A change is one run of a script. It compares the head with the one that the change was made for, and only then writes
//! rows, entry and head. A reader loads all of it in one transaction, and then applies entries. An entry that does not begin
//! where the reader's table is, since others were trimmed or since the server went back, makes it load anew.
//!
//! The protocol is that of the crate `redis`. The connections are [our own](connection): each of their steps has a time-out,
//! also the TLS handshake.

mod connection;
mod entry;

use std::time::{Duration, Instant};

use pointsman_routing::{Change, Head, Row, Table, TableError};
use redis::{FromRedisValue as _, RedisError, Script, Value, cmd, pipe};

use self::{connection::Connection, entry::Entry};
use crate::{Known, Settings, Store, StoreError, changed, claimed, made, url::RedisUrl};

/// A change is tried anew for this long if others come first.
const PATIENCE: Duration = Duration::from_secs(60);
/// One wait for entries. It is shorter than the time-out of the connection.
const LONGEST_BLOCK: Duration = Duration::from_secs(1);
/// Entries that are read at once.
const ENTRIES: usize = 100;
/// Redis takes 1,048,576 words in one command.
const MOST_WORDS: usize = 1_000_000;

const SCRIPT: &str = include_str!("redis/change.lua");

/// A table in Redis; see the [module](self).
pub struct RedisStore {
    url: RedisUrl,
    settings: Settings,
    keys: Keys,
    script: Script,
    connection: Option<Connection>,
    /// What was read last, or written by this client.
    seen: Option<Seen>,
    /// What a call that waits for others returned last.
    known: Known,
    /// When the head was last looked at over this connection.
    looked: Option<Instant>,
    /// Whether it was looked up what the server keeps.
    is_durability_checked: bool,
}

struct Keys {
    head: String,
    rows: String,
    changes: String,
}

struct Seen {
    /// The head as the server has it.
    head: String,
    table: Table,
    /// The id of the last entry that is in the table.
    entry: String,
}

impl RedisStore {
    /// The table at this URL.
    pub fn new(url: RedisUrl, settings: Settings) -> Self {
        // What stands in braces decides about the slot in a cluster.
        let key = |what: &str| format!("pointsman:{{{}}}:{what}", url.name);
        Self {
            keys: Keys {
                head: key("head"),
                rows: key("rows"),
                changes: key("changes"),
            },
            url,
            settings,
            script: Script::new(SCRIPT),
            connection: None,
            seen: None,
            known: Known::default(),
            looked: None,
            is_durability_checked: false,
        }
    }

    /// Does something over the connection, which is made if there is none, and given up after an error.
    fn over<T>(
        &mut self,
        what: impl FnOnce(&mut Connection, &Keys, &Script) -> Result<T, RedisError>,
    ) -> Result<T, StoreError> {
        self.try_over(what).map_err(|error| away(&self.url, &error))
    }

    fn try_over<T>(
        &mut self,
        what: impl FnOnce(&mut Connection, &Keys, &Script) -> Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let done = what(&mut connection, &self.keys, &self.script)?;
        self.connection = Some(connection);
        Ok(done)
    }

    fn connect(&mut self) -> Result<Connection, RedisError> {
        let mut connection = Connection::open(&self.url)?;
        // A server that was away may have another table now.
        self.looked = None;
        if !std::mem::replace(&mut self.is_durability_checked, true) {
            warn_if_not_kept(&mut connection, &self.url);
        }
        Ok(connection)
    }

    /// Reads everything, at one moment.
    fn read_all(&mut self) -> Result<&Seen, StoreError> {
        // What was read before is dropped first: two large tables need not be there at once.
        self.seen = None;
        let (head, rows, last): (Option<String>, Vec<String>, Value) = self.over(|connection, keys, _| {
            pipe()
                .atomic()
                .get(&keys.head)
                .cmd("HVALS")
                .arg(&keys.rows)
                .cmd("XREVRANGE")
                .arg(&keys.changes)
                .arg("+")
                .arg("-")
                .arg("COUNT")
                .arg(1)
                .query(connection)
        })?;
        self.looked = Some(Instant::now());
        let head = head.ok_or(StoreError::NoTable)?;
        let rows: Vec<Row> = rows
            .into_iter()
            .map(|json| Row::read(json.as_bytes()))
            .collect::<Result<_, TableError>>()?;
        let table = Table::from_rows(&Head::read(head.as_bytes())?, rows, self.settings.hashing.clone())?;
        let entry = entry::last_id(&last).unwrap_or_else(|| "0".to_owned());
        Ok(self.seen.insert(Seen { head, table, entry }))
    }

    /// The table as it is now; `None` if there is none.
    fn now(&mut self) -> Result<Option<&Seen>, StoreError> {
        let head = self.head()?;
        let Some(head) = head else {
            return Ok(None);
        };
        if self.seen.as_ref().is_none_or(|seen| seen.head != head) {
            match self.read_all() {
                Err(StoreError::NoTable) => return Ok(None),
                read => drop(read?),
            }
        }
        Ok(self.seen.as_ref())
    }

    fn head(&mut self) -> Result<Option<String>, StoreError> {
        let had_connection = self.connection.is_some();
        let get = |connection: &mut Connection, keys: &Keys, _: &Script| cmd("GET").arg(&keys.head).query(connection);
        let head = match self.try_over(get) {
            // The server, or something between, may have closed a connection that rested.
            Err(error) if had_connection && !error.is_timeout() => self.try_over(get),
            got => got,
        };
        let head = head.map_err(|error| away(&self.url, &error))?;
        self.looked = Some(Instant::now());
        Ok(head)
    }

    /// The table that was read last, if it is not the one that is known.
    fn unknown(&mut self) -> Option<Table> {
        let table = &self.seen.as_ref()?.table;
        self.known.is_another(table).then(|| table.clone())
    }

    /// Waits for entries, and applies them. True if the table was read anew.
    fn follow(&mut self, patience: Duration) -> Result<bool, StoreError> {
        let Some(seen) = &self.seen else { return Ok(false) };
        let last = seen.entry.clone();
        let read: Value = self.over(|connection, keys, _| {
            let mut command = cmd("XREAD");
            command.arg("COUNT").arg(ENTRIES);
            // Without the word, the server does not wait; with zero, it waits for ever.
            if !patience.is_zero() {
                command.arg("BLOCK").arg(patience.as_millis().max(1) as u64);
            }
            command.arg("STREAMS").arg(&keys.changes).arg(last);
            command.query(connection)
        })?;
        for (id, json) in entry::entries(&read) {
            let applied = self
                .seen
                .as_mut()
                .is_some_and(|seen| Entry::read(&json).is_some_and(|entry| seen.apply(id, entry)));
            if !applied {
                self.read_all()?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn change(
        &mut self,
        change: impl Fn(Option<&Table>) -> Result<(Table, Vec<Change>), StoreError>,
    ) -> Result<Table, StoreError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let now = self.now()?;
            let (before, head) = match now {
                Some(seen) => (Some(seen.table.head()), seen.head.clone()),
                None => (None, String::new()),
            };
            let (table, changes) = change(now.map(|seen| &seen.table))?;
            let next = table.head();
            let words = Words::of(&changes)?;
            let entry = Entry::new(before, next.clone(), changes).write();
            let next = next.write();
            let written: Option<String> = self.over(|connection, keys, script| {
                let mut run = script.prepare_invoke();
                run.key(&keys.head).key(&keys.rows).key(&keys.changes);
                run.arg(&head).arg(&next).arg(&entry).arg(words.puts.len());
                for (key, row) in &words.puts {
                    run.arg(key).arg(row);
                }
                run.arg(&words.removes);
                run.invoke(connection)
            })?;
            if let Some(entry) = written {
                self.seen = Some(Seen {
                    head: next,
                    table: table.clone(),
                    entry,
                });
                return Ok(table);
            }
            if Instant::now() > until {
                return Err(StoreError::Away("others change the table all the time".to_owned()));
            }
        }
    }
}

impl Seen {
    /// Applies an entry. False if it does not begin where the table is, or cannot be applied.
    fn apply(&mut self, id: String, entry: Entry) -> bool {
        let Some(changes) = entry.changes_after(&self.table.head()) else {
            return false;
        };
        let Ok(table) = self.table.with(entry.head(), &changes) else {
            return false;
        };
        self.head = entry.head().write();
        self.table = table;
        self.entry = id;
        true
    }
}

/// What the script is given of the rows.
struct Words {
    /// Keys and rows.
    puts: Vec<(String, String)>,
    /// Keys.
    removes: Vec<String>,
}

impl Words {
    fn of(changes: &[Change]) -> Result<Self, StoreError> {
        let (mut puts, mut removes) = (Vec::new(), Vec::new());
        for change in changes {
            let key = format!("{}/{}", change.topic(), change.tenant());
            match change.row() {
                Some(row) => puts.push((key, row.write())),
                None => removes.push(key),
            }
        }
        let words = 2 * puts.len() + removes.len();
        if words > MOST_WORDS {
            return Err(StoreError::TooLarge(format!(
                "Redis takes at most {} rows in one change",
                MOST_WORDS / 2
            )));
        }
        Ok(Self { puts, removes })
    }
}

impl Store for RedisStore {
    fn load(&mut self) -> Result<Table, StoreError> {
        self.head()?.ok_or(StoreError::NoTable)?;
        let table = self.read_all()?.table.clone();
        self.unknown();
        Ok(table)
    }

    fn changed(&mut self, patience: Duration) -> Result<Option<Table>, StoreError> {
        let until = Instant::now() + patience;
        loop {
            if self.connection.is_none() {
                let connection = self.connect().map_err(|error| away(&self.url, &error))?;
                self.connection = Some(connection);
            }
            if self.seen.is_none() {
                self.read_all()?;
            }
            // Also what this client has changed itself.
            if let Some(table) = self.unknown() {
                return Ok(Some(table));
            }
            let since = self.looked.map_or(Duration::MAX, |looked| looked.elapsed());
            let left = until.saturating_duration_since(Instant::now());
            if since >= self.settings.poll {
                // A table that went back, or whose entry was lost, is found in the head.
                let before = self.seen.as_ref().map(|seen| seen.head.clone());
                let now = self.head()?.ok_or(StoreError::NoTable)?;
                if before.as_ref() != Some(&now) && !self.follow(Duration::ZERO)? {
                    // The entries may have led to it, or not.
                    if self.seen.as_ref().is_none_or(|seen| seen.head != now) {
                        self.read_all()?;
                    }
                }
            } else {
                let wait = left.min(self.settings.poll - since).min(LONGEST_BLOCK);
                if self.follow(wait)? {
                    // It may have other rows under the version that is known.
                    self.unknown();
                    return Ok(self.seen.as_ref().map(|seen| seen.table.clone()));
                }
            }
            if left.is_zero() {
                return Ok(self.unknown());
            }
        }
    }

    fn init(&mut self, incarnation: &str) -> Result<Table, StoreError> {
        let hashing = self.settings.hashing.clone();
        self.change(|table| Ok((made(table, incarnation, &hashing)?, Vec::new())))
    }

    fn apply(&mut self, expected: (u64, u64), changes: Vec<Change>) -> Result<Table, StoreError> {
        self.change(|table| changed(table.ok_or(StoreError::NoTable)?, expected, changes.clone()))
    }

    fn claim(&mut self) -> Result<Table, StoreError> {
        self.change(|table| Ok((claimed(table)?, Vec::new())))
    }
}

/// Warns of a server that forgets with its process what it has acknowledged. Not every user may ask for that.
fn warn_if_not_kept(connection: &mut Connection, url: &RedisUrl) {
    let told = cmd("CONFIG").arg("GET").arg("appendonly").query::<Value>(connection);
    let told = told.and_then(|value| Ok(Vec::<String>::from_redis_value(value)?));
    if let Ok(told) = told
        && told.get(1).is_some_and(|value| value == "no")
    {
        tracing::warn!(
            store = %url,
            "Redis does not keep what it acknowledges: a restart may lose the last changes of the routing table, and sidecars \
             refuse the older table; set \"appendonly yes\" and \"appendfsync always\" in its configuration"
        );
    }
}

fn away(url: &RedisUrl, error: &RedisError) -> StoreError {
    let told = match error.is_timeout() {
        true => format!("it did not answer within {} s", connection::TIMEOUT.as_secs()),
        false => error.to_string(),
    };
    StoreError::Away(format!("Redis at {}: {told}", url.host))
}
