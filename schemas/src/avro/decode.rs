//! Reads Avro, as its schema says, to the end of the payload.

use super::{
    encode::spend,
    logical::uuid,
    seen::Seen,
    types::{Id, Kind, Logical, MOST_DEEP, MOST_FREE, Record, Types, Union},
};
use crate::invalid::Invalid;

/// Takes the parts of a value as they are read, in the order in which JSON has them.
pub(super) trait Sink {
    /// `null`, `true` or `false`.
    fn word(&mut self, word: &'static str) -> Result<(), Invalid>;
    fn long(&mut self, number: i64) -> Result<(), Invalid>;
    fn float(&mut self, number: f32) -> Result<(), Invalid>;
    fn double(&mut self, number: f64) -> Result<(), Invalid>;
    fn text(&mut self, text: &str) -> Result<(), Invalid>;
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Invalid>;
    /// A bracket or a comma.
    fn sign(&mut self, sign: u8) -> Result<(), Invalid>;
    /// The name of what follows.
    fn name(&mut self, name: &str) -> Result<(), Invalid>;
}

/// Reads the whole payload.
pub(super) fn decode<S: Sink>(types: &Types, payload: &[u8], sink: &mut S) -> Result<(), Invalid> {
    if matches!(types.list[types.root].kind, Kind::Bytes) {
        return sink.bytes(payload);
    }
    let mut decoder = Decoder {
        types,
        left: payload,
        free: MOST_FREE,
        sink,
    };
    decoder.value(types.root, 0)?;
    match decoder.left.len() {
        0 => Ok(()),
        left => Err(Invalid::new(format!("{left} bytes are left after the value's end"))),
    }
}

struct Decoder<'s, 'p, S> {
    types: &'s Types,
    /// What was not read yet.
    left: &'p [u8],
    /// How many values of no bytes may still come.
    free: usize,
    sink: &'s mut S,
}

/// Some items of an array or entries of a map.
struct Block {
    count: usize,
    /// What has to be left after it, if the block says how long it is.
    left: Option<usize>,
}

impl<'s, 'p, S: Sink> Decoder<'s, 'p, S> {
    /// `depth` counts the records, arrays and maps around the value.
    fn value(&mut self, id: Id, depth: usize) -> Result<(), Invalid> {
        let types = self.types;
        let of = &types.list[id];
        match &of.kind {
            Kind::Null => self.sink.word("null"),
            Kind::Boolean => match self.take(1)? {
                [0] => self.sink.word("false"),
                [1] => self.sink.word("true"),
                other => Err(Invalid::new(format!("expected boolean, got the byte {}", other[0]))),
            },
            Kind::Int => {
                let number = self.int()?;
                self.sink.long(number.into())
            }
            Kind::Long => {
                let number = self.long()?;
                self.sink.long(number)
            }
            Kind::Float => {
                let bytes = self.array()?;
                self.sink.float(f32::from_le_bytes(bytes))
            }
            Kind::Double => {
                let bytes = self.array()?;
                self.sink.double(f64::from_le_bytes(bytes))
            }
            Kind::Bytes => {
                let bytes = self.bytes()?;
                self.sink.bytes(bytes)
            }
            Kind::String => {
                let text = self.text()?;
                if of.logical == Logical::Uuid && uuid(text).is_none() {
                    return Err(Invalid::new("expected a uuid, got another string"));
                }
                self.sink.text(text)
            }
            Kind::Fixed(fixed) => {
                let bytes = self.take(fixed.size)?;
                self.sink.bytes(bytes)
            }
            Kind::Enum(of) => {
                let number = usize::try_from(self.int()?).unwrap_or(usize::MAX);
                if number >= of.symbols.len() {
                    let reason = format!("expected a symbol of {}, got a number that none has", of.name);
                    return Err(Invalid::new(reason));
                }
                self.sink.text(of.symbols.get(number))
            }
            Kind::Record(record) => self.record(record, depth + 1),
            Kind::Array(item) => self.items(*item, depth + 1),
            Kind::Map(value) => self.entries(*value, depth + 1),
            Kind::Union(union) => self.union(union, depth),
        }
    }

    fn record(&mut self, record: &Record, depth: usize) -> Result<(), Invalid> {
        within(depth)?;
        self.sink.sign(b'{')?;
        for (number, field) in record.fields.iter().enumerate() {
            let name = record.names.get(number);
            if number > 0 {
                self.sink.sign(b',')?;
            }
            self.sink.name(name)?;
            if self.types.list[field.of].empty {
                self.free = spend(self.free, 1)?;
            }
            self.value(field.of, depth).map_err(|wrong| wrong.in_field(name))?;
        }
        self.sink.sign(b'}')
    }

    fn items(&mut self, item: Id, depth: usize) -> Result<(), Invalid> {
        within(depth)?;
        let empty = self.types.list[item].empty;
        let mut index = 0;
        self.sink.sign(b'[')?;
        while let Some(block) = self.block(empty)? {
            if empty {
                self.free = spend(self.free, block.count)?;
            }
            for _ in 0..block.count {
                if index > 0 {
                    self.sink.sign(b',')?;
                }
                self.value(item, depth).map_err(|wrong| wrong.in_item(index))?;
                index += 1;
            }
            self.end_of(&block)?;
        }
        self.sink.sign(b']')
    }

    fn entries(&mut self, value: Id, depth: usize) -> Result<(), Invalid> {
        within(depth)?;
        let mut seen = Seen::default();
        let mut first = true;
        self.sink.sign(b'{')?;
        while let Some(block) = self.block(false)? {
            for _ in 0..block.count {
                let key = self.text()?;
                if !seen.insert(key) {
                    return Err(Invalid::new("the key is there twice").in_field(key));
                }
                if !first {
                    self.sink.sign(b',')?;
                }
                first = false;
                self.sink.name(key)?;
                self.value(value, depth).map_err(|wrong| wrong.in_field(key))?;
            }
            self.end_of(&block)?;
        }
        self.sink.sign(b'}')
    }

    fn union(&mut self, union: &Union, depth: usize) -> Result<(), Invalid> {
        let number = usize::try_from(self.long()?).ok();
        match number.and_then(|number| union.branches.get(number)) {
            Some(branch) => self.value(*branch, depth),
            None => Err(Invalid::new(format!(
                "expected a branch of the union ({}), got a number that none has",
                union.names.listed()
            ))),
        }
    }

    /// The next block, or none at the end. `free`: its items take no bytes, so that their count says nothing of the bytes that are left.
    fn block(&mut self, free: bool) -> Result<Option<Block>, Invalid> {
        let count = self.long()?;
        let left = if count < 0 {
            let size = usize::try_from(self.long()?).ok();
            let left = size.and_then(|size| self.left.len().checked_sub(size));
            Some(left.ok_or_else(|| Invalid::new("a block is said to be longer than the bytes that are left"))?)
        } else {
            None
        };
        let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        if !free && count > self.left.len() {
            let left = self.left.len();
            let reason = format!("a block is said to have {count} items or entries, but {left} bytes are left");
            return Err(Invalid::new(reason));
        }
        Ok((count > 0).then_some(Block { count, left }))
    }

    fn end_of(&self, block: &Block) -> Result<(), Invalid> {
        match block.left {
            Some(left) if left != self.left.len() => {
                Err(Invalid::new("a block has not the length that it is said to have"))
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'p [u8], Invalid> {
        let Some((taken, left)) = self.left.split_at_checked(count) else {
            let left = self.left.len();
            let reason = format!("the payload ends too early: {count} bytes are to follow, but {left} are left");
            return Err(Invalid::new(reason));
        };
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Invalid> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn bytes(&mut self) -> Result<&'p [u8], Invalid> {
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| Invalid::new(format!("{length} cannot be a length")))?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'p str, Invalid> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| Invalid::new("expected string, got bytes that are not UTF-8"))
    }

    fn int(&mut self) -> Result<i32, Invalid> {
        let number = self.varint(5)?;
        let number =
            u32::try_from(number).map_err(|_| Invalid::new("expected int, got a number that is more than it holds"))?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn long(&mut self) -> Result<i64, Invalid> {
        let number = self.varint(10)?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// Seven bits a byte, in so many bytes at most.
    fn varint(&mut self, most: usize) -> Result<u64, Invalid> {
        let mut number = 0;
        for (index, byte) in self.left.iter().enumerate().take(most) {
            let bits = u64::from(byte & 0x7F);
            if index == 9 && bits > 1 {
                break;
            }
            number |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.left = &self.left[index + 1..];
                return Ok(number);
            }
        }
        Err(Invalid::new(if self.left.len() < most {
            "the payload ends within a number"
        } else {
            "a number has more bytes than its type may have"
        }))
    }
}

fn within(depth: usize) -> Result<(), Invalid> {
    if depth > MOST_DEEP {
        return Err(Invalid::new(format!("nested more than {MOST_DEEP} deep")));
    }
    Ok(())
}
