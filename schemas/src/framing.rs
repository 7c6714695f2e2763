//! The id of a schema, in a value or in a header.
