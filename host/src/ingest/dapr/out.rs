//! Where JSON is written to: into bytes, or nowhere, to learn how long it is.

use std::io;

use base64_simd::STANDARD;

/// Takes JSON.
pub(super) trait Out: io::Write {
    /// Writes bytes in base64.
    fn write_base64(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Forgets what is written, and counts it.
#[derive(Debug)]
pub(super) struct Length(pub(super) usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Out for Length {
    fn write_base64(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0 += STANDARD.encoded_length(bytes.len());
        Ok(())
    }
}

impl Out for Vec<u8> {
    fn write_base64(&mut self, bytes: &[u8]) -> io::Result<()> {
        STANDARD.encode_append(bytes, self);
        Ok(())
    }
}

/// Writes a string with its escapes.
pub(super) fn write_text(out: &mut impl Out, text: &str) -> io::Result<()> {
    serde_json::to_writer(out, text).map_err(io::Error::from)
}

/// Writes a name, which needs no escapes, and a string.
pub(super) fn write_member(out: &mut impl Out, name: &str, value: &str) -> io::Result<()> {
    write!(out, "\"{name}\":")?;
    write_text(out, value)
}
