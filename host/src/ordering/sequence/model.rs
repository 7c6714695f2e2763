//! Everything that can happen to numbered requests, held against what a client may rely on. For tests and fuzzing: whatever
//! is not as it must be panics.

mod event;
mod told;
mod world;

#[cfg(test)]
pub(crate) use self::event::{content, settled};
pub(crate) use self::{
    event::{CLIENTS, Call, Event, name},
    world::{call_all, run},
};
