//! What becomes of a value that is read: nothing, or JSON.

use serde::Serialize;

use super::decode::Sink;
use crate::invalid::Invalid;

/// Keeps nothing: that the value could be read is all that was asked.
pub(super) struct Nothing;

impl Sink for Nothing {
    fn word(&mut self, _: &'static str) -> Result<(), Invalid> {
        Ok(())
    }

    fn long(&mut self, _: i64) -> Result<(), Invalid> {
        Ok(())
    }

    fn float(&mut self, _: f32) -> Result<(), Invalid> {
        Ok(())
    }

    fn double(&mut self, _: f64) -> Result<(), Invalid> {
        Ok(())
    }

    fn text(&mut self, _: &str) -> Result<(), Invalid> {
        Ok(())
    }

    fn bytes(&mut self, _: &[u8]) -> Result<(), Invalid> {
        Ok(())
    }

    fn sign(&mut self, _: u8) -> Result<(), Invalid> {
        Ok(())
    }

    fn name(&mut self, _: &str) -> Result<(), Invalid> {
        Ok(())
    }
}

/// Writes JSON, up to a bound.
pub(super) struct Text {
    json: Vec<u8>,
    /// In bytes.
    most: usize,
}

impl Text {
    pub(super) fn new(most: usize) -> Self {
        Self { json: Vec::new(), most }
    }

    pub(super) fn finish(self) -> Result<String, Invalid> {
        String::from_utf8(self.json).map_err(|_| Invalid::new("the value could not be written as JSON"))
    }

    /// Refuses what cannot fit before it is written.
    fn room(&self, bytes: usize) -> Result<(), Invalid> {
        if self.json.len().saturating_add(bytes) > self.most {
            let reason = format!("the value is more than {} bytes as JSON", self.most);
            return Err(Invalid::new(reason));
        }
        Ok(())
    }

    fn put(&mut self, value: impl Serialize) -> Result<(), Invalid> {
        serde_json::to_writer(&mut self.json, &value)
            .map_err(|error| Invalid::new(format!("the value could not be written as JSON: {error}")))?;
        self.room(0)
    }
}

impl Sink for Text {
    fn word(&mut self, word: &'static str) -> Result<(), Invalid> {
        self.room(word.len())?;
        self.json.extend_from_slice(word.as_bytes());
        Ok(())
    }

    fn long(&mut self, number: i64) -> Result<(), Invalid> {
        self.put(number)
    }

    fn float(&mut self, number: f32) -> Result<(), Invalid> {
        if number.is_finite() {
            return self.put(number);
        }
        self.double(number.into())
    }

    fn double(&mut self, number: f64) -> Result<(), Invalid> {
        match number {
            f64::INFINITY => self.text("Infinity"),
            f64::NEG_INFINITY => self.text("-Infinity"),
            number if number.is_nan() => self.text("NaN"),
            number => self.put(number),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Invalid> {
        self.room(text.len() + 2)?;
        self.put(text)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        self.room(bytes.len() + 2)?;
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        self.put(text)
    }

    fn sign(&mut self, sign: u8) -> Result<(), Invalid> {
        self.room(1)?;
        self.json.push(sign);
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), Invalid> {
        self.text(name)?;
        self.sign(b':')
    }
}
