//! This crate is empty but for its test, which checks that the bindings of the C example are what wit-bindgen makes of
//! the interface.
