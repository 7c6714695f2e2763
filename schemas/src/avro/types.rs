//! A compiled schema: a flat list of types that name each other by their places in it, so that a type that holds itself costs nothing.

use std::collections::HashMap;

/// The deepest that records, arrays and maps lie in each other, in a schema's text and in a value. It is serde_json's bound, so that what
/// is written as JSON can be read again.
pub(super) const MOST_DEEP: usize = 127;
/// The most values of no bytes in one payload (a null that is a field or an item): they cost time that no byte pays for.
pub(super) const MOST_FREE: usize = 10_000;

/// The place of a type in its list.
pub(super) type Id = usize;

/// The types of one schema.
#[derive(Debug)]
pub(super) struct Types {
    pub(super) list: Vec<Type>,
    /// The type of the value as a whole.
    pub(super) root: Id,
    /// The defaults of all fields, encoded, one after the other.
    pub(super) defaults: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Type {
    pub(super) kind: Kind,
    pub(super) logical: Logical,
    /// Whether each value of it takes no bytes.
    pub(super) empty: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Record(Record),
    Enum(Enum),
    /// Of items of this type.
    Array(Id),
    /// Of values of this type.
    Map(Id),
    /// Far larger than the others.
    Union(Box<Union>),
    Fixed(Fixed),
}

/// What a type means beyond its form. Those that change nothing here, such as `duration`, are [`Logical::None`], as unknown ones are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    None,
    /// Days since 1970-01-01.
    Date,
    /// Time since midnight, in so many parts of a second.
    Time(i64),
    /// Time since 1970-01-01T00:00:00Z, in so many parts of a second.
    Timestamp(i64),
    /// The same by a clock whose time zone is not told.
    LocalTimestamp(i64),
    Decimal {
        precision: u32,
        scale: u32,
    },
    Uuid,
}

#[derive(Debug, Default)]
pub(super) struct Record {
    /// The full name.
    pub(super) name: String,
    pub(super) names: Names,
    /// As many as there are names.
    pub(super) fields: Vec<Field>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) of: Id,
    pub(super) default: Option<DefaultBytes>,
}

/// The default of a field: a part of [`Types::defaults`].
#[derive(Debug, Clone, Copy)]
pub(super) struct DefaultBytes {
    pub(super) start: usize,
    pub(super) end: usize,
    /// How deep records, arrays and maps lie in each other in it.
    pub(super) height: usize,
    /// How many values of no bytes it holds, itself included.
    pub(super) free: usize,
}

#[derive(Debug)]
pub(super) struct Enum {
    /// The full name.
    pub(super) name: String,
    pub(super) symbols: Names,
}

#[derive(Debug)]
pub(super) struct Fixed {
    /// The full name.
    pub(super) name: String,
    /// In bytes.
    pub(super) size: usize,
}

/// Branches, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Union {
    /// What each branch is called in Avro's JSON.
    pub(super) names: Names,
    pub(super) branches: Vec<Id>,
    pub(super) null: Option<usize>,
    /// The only branch that is not null, if there is only one.
    pub(super) only: Option<usize>,
    pub(super) boolean: Option<usize>,
    pub(super) int: Option<usize>,
    pub(super) long: Option<usize>,
    pub(super) float: Option<usize>,
    pub(super) double: Option<usize>,
    pub(super) array: Option<usize>,
    /// Records and a map.
    pub(super) objects: Vec<usize>,
    /// What a string stands for in Avro's JSON: string, bytes, enums and fixed.
    pub(super) texts: Vec<usize>,
    /// Decimals, which may be written as numbers.
    pub(super) decimals: Vec<usize>,
    /// What may also be written as a string, though Avro's JSON has another form of it.
    pub(super) dressed: Vec<usize>,
}

/// Names in an order, to be found again and again: those of fields, symbols or branches.
#[derive(Debug, Default)]
pub(super) struct Names {
    list: Vec<Box<str>>,
    /// The place of each, if there are more than [`FEW`].
    places: HashMap<Box<str>, usize>,
}

/// So many names are compared one by one.
const FEW: usize = 8;

impl Names {
    /// Adds a name; false: it is there already.
    pub(super) fn push(&mut self, name: &str) -> bool {
        if self.find(name, 0).is_some() {
            return false;
        }
        self.list.push(name.into());
        if self.list.len() == FEW + 1 {
            let places = self.list.iter().cloned().zip(0..);
            self.places = places.collect();
        } else if self.list.len() > FEW {
            self.places.insert(name.into(), self.list.len() - 1);
        }
        true
    }

    /// The place of a name. It is found at once if it is at `hint`.
    pub(super) fn find(&self, name: &str, hint: usize) -> Option<usize> {
        if self.list.get(hint).is_some_and(|at| **at == *name) {
            return Some(hint);
        }
        if self.list.len() <= FEW {
            return self.list.iter().position(|at| **at == *name);
        }
        self.places.get(name).copied()
    }

    pub(super) fn get(&self, place: usize) -> &str {
        &self.list[place]
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The names as a message lists them; of many, the first.
    pub(super) fn listed(&self) -> String {
        let mut text = self.list[..self.len().min(FEW)].join(", ");
        if self.len() > FEW {
            text.push_str(", …");
        }
        text
    }
}

impl Types {
    pub(super) fn default(&self, default: DefaultBytes) -> &[u8] {
        &self.defaults[default.start..default.end]
    }
}

impl Type {
    pub(super) fn new(kind: Kind, logical: Logical) -> Self {
        Self {
            kind,
            logical,
            empty: false,
        }
    }
}

impl Kind {
    /// What a type is called in messages, and as a branch of a union.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
            Self::Record(record) => &record.name,
            Self::Enum(symbols) => &symbols.name,
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Fixed(fixed) => &fixed.name,
        }
    }
}

impl Union {
    /// Adds a branch; false: one of the same name is there already.
    pub(super) fn push(&mut self, id: Id, branch: &Type) -> bool {
        let number = self.branches.len();
        if !self.names.push(branch.kind.name()) {
            return false;
        }
        self.branches.push(id);
        match branch.kind {
            Kind::Null => self.null = Some(number),
            Kind::Boolean => self.boolean = Some(number),
            Kind::Int => self.int = Some(number),
            Kind::Long => self.long = Some(number),
            Kind::Float => self.float = Some(number),
            Kind::Double => self.double = Some(number),
            Kind::Array(_) => self.array = Some(number),
            Kind::Record(_) | Kind::Map(_) => self.objects.push(number),
            Kind::Bytes | Kind::String | Kind::Enum(_) | Kind::Fixed(_) => self.texts.push(number),
            Kind::Union(_) => {}
        }
        let scalar = matches!(branch.kind, Kind::Float | Kind::Double);
        match (&branch.kind, branch.logical) {
            (_, Logical::Decimal { .. }) => self.decimals.push(number),
            (Kind::String, Logical::Uuid) => {}
            (_, logical) if scalar || logical != Logical::None => self.dressed.push(number),
            _ => {}
        }
        let nulls = usize::from(self.null.is_some());
        self.only = (self.branches.len() - nulls == 1).then_some(match self.null {
            Some(0) => 1,
            _ => 0,
        });
        true
    }
}
