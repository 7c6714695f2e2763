//! The table as JSON.

use serde::{Deserialize, Serialize};

use crate::{
    row::Row,
    rules::{self, Broken},
    table::{Hashing, Table},
};

/// The only format that there is.
pub const FORMAT: u32 = 1;
/// A document of this size or larger is refused before it is read: 100,000 rows take about 15 MB.
pub const MOST_BYTES: usize = 64 << 20;
/// Most rows of a table.
pub const MOST_ROWS: usize = 1_000_000;
/// Most bytes of an incarnation's name.
const INCARNATION_BYTES: usize = 64;
/// The highest epoch and version: all JSON readers keep numbers up to this one exactly.
const HIGHEST: u64 = (1 << 53) - 1;

/// The whole table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`FORMAT`].
    pub format: u32,
    /// Made new with each new store, so that the versions of two stores are never compared.
    pub incarnation: String,
    /// Rises with each process that claims the table for itself.
    pub epoch: u64,
    /// Rises with each change.
    pub version: u64,
    /// The rows, in any order.
    pub rows: Vec<Row>,
}

/// What stores keep of the table beside its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// [`FORMAT`].
    pub format: u32,
    /// As in [`Document`].
    pub incarnation: String,
    /// As in [`Document`].
    pub epoch: u64,
    /// As in [`Document`].
    pub version: u64,
    /// How many rows there are, so that a part is not taken for the whole.
    pub rows: u64,
}

/// Why something is not a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// It has too many bytes.
    #[error("{bytes} bytes are too many for a routing table; it may have {} MiB", (MOST_BYTES >> 20) - 1)]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// It is empty, as a file is that was cut off at its beginning.
    #[error("it is empty; write the table there with `pointsman routes init` or `import`")]
    Empty,
    /// It has another format.
    #[error("it has format {found}, and this program knows format {FORMAT}; use a newer program")]
    OtherFormat {
        /// That format.
        found: u64,
    },
    /// It is no JSON, or JSON of something else.
    #[error("it cannot be read as a routing table: {0}")]
    Unreadable(String),
    /// A rule is broken.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// It has not as many rows as its head says.
    #[error("it has {found} rows, and its head says {told}: a part of it is missing")]
    Incomplete {
        /// Rows that there are.
        found: u64,
        /// Rows that there should be.
        told: u64,
    },
}

impl Document {
    /// A table without any row.
    pub fn empty(incarnation: String) -> Self {
        Self {
            format: FORMAT,
            incarnation,
            epoch: 1,
            version: 1,
            rows: Vec::new(),
        }
    }

    /// Reads a document; [`Document::table`] checks its rows.
    pub fn read(json: &[u8]) -> Result<Self, TableError> {
        if json.len() >= MOST_BYTES {
            return Err(TableError::TooLarge { bytes: json.len() });
        }
        if json.iter().all(u8::is_ascii_whitespace) {
            return Err(TableError::Empty);
        }
        read(json)
    }

    /// The JSON: a line for each row, so that two versions can be compared line by line.
    pub fn write(&self) -> String {
        let string = |value: &str| serde_json::to_string(value).unwrap_or_default();
        let mut json = format!(
            "{{\"format\":{},\"incarnation\":{},\"epoch\":{},\"version\":{},\"rows\":[",
            self.format,
            string(&self.incarnation),
            self.epoch,
            self.version
        );
        for (index, row) in self.rows.iter().enumerate() {
            json.push_str(if index == 0 { "\n " } else { ",\n " });
            // A row has string keys only, so it can always be written.
            json.push_str(&serde_json::to_string(row).unwrap_or_default());
        }
        json.push_str(if self.rows.is_empty() { "]}\n" } else { "\n]}\n" });
        json
    }

    /// Checks the rows, and makes the table that is looked up.
    pub fn table(self, hashing: Hashing) -> Result<Table, TableError> {
        let head = Head {
            format: self.format,
            incarnation: self.incarnation,
            epoch: self.epoch,
            version: self.version,
            rows: self.rows.len() as u64,
        };
        Table::from_rows(&head, self.rows, hashing)
    }
}

impl Head {
    /// Reads a head.
    pub fn read(json: &[u8]) -> Result<Self, TableError> {
        if json.is_empty() {
            return Err(TableError::Empty);
        }
        let head: Self = read(json)?;
        head.check()?;
        Ok(head)
    }

    /// The JSON.
    pub fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn check(&self) -> Result<(), TableError> {
        if self.format != FORMAT {
            return Err(TableError::OtherFormat {
                found: u64::from(self.format),
            });
        }
        let incarnation = &self.incarnation;
        if incarnation.is_empty() || incarnation.len() > INCARNATION_BYTES || !incarnation.is_ascii() {
            return Err(TableError::Unreadable(format!(
                "the incarnation must be 1 to {INCARNATION_BYTES} ASCII characters"
            )));
        }
        if self.epoch > HIGHEST || self.version > HIGHEST {
            return Err(TableError::Unreadable(format!(
                "epoch and version must be at most {HIGHEST}"
            )));
        }
        if self.rows > MOST_ROWS as u64 {
            return Err(Broken::TooManyRows { rows: self.rows }.into());
        }
        Ok(())
    }
}

impl Row {
    /// Reads one row, and checks what can be seen from it alone.
    pub fn read(json: &[u8]) -> Result<Self, TableError> {
        let row: Self = read(json)?;
        rules::row(&row)?;
        Ok(row)
    }

    /// The JSON.
    pub fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Reads JSON. Another format may have other fields, so it is what is told then.
fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, TableError> {
    #[derive(Deserialize)]
    struct Format {
        format: u64,
    }
    if let Err(error) = std::str::from_utf8(json) {
        return Err(TableError::Unreadable(format!(
            "byte {} is not UTF-8",
            error.valid_up_to()
        )));
    }
    serde_json::from_slice(json).map_err(|error| match serde_json::from_slice::<Format>(json) {
        Ok(Format { format }) if format != u64::from(FORMAT) => TableError::OtherFormat { found: format },
        _ => TableError::Unreadable(shortened(&error.to_string())),
    })
}

/// A message of the parser quotes what it found, however long that is.
fn shortened(message: &str) -> String {
    const MOST: usize = 300;
    if message.len() <= MOST {
        return message.to_owned();
    }
    let begin = message.floor_char_boundary(MOST / 2);
    let end = message.ceil_char_boundary(message.len() - MOST / 2);
    format!("{} … {}", &message[..begin], &message[end..])
}
