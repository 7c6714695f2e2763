//! A model of everything that can happen to numbered requests. It checks them against what a client may rely on, and
//! panics where they differ. For tests and fuzzing.

mod event;
mod told;
mod world;

#[cfg(test)]
pub(crate) use self::event::{content, settled};
pub(crate) use self::{
    event::{CLIENTS, Call, Event, name},
    world::{call_all, run},
};
