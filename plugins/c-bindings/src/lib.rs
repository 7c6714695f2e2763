//! Nothing is in here: see the test, which keeps the bindings of the C example what wit-bindgen makes of the interface.
