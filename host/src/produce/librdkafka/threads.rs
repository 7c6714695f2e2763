//! How the kernel runs librdkafka's threads.

use std::{panic::resume_unwind, thread};

/// Runs `make` on a thread with the scheduling policy SCHED_BATCH. The threads that it starts inherit the policy.
///
/// A thread with the usual policy that is woken may take the place of the one that woke it. librdkafka's threads are woken by
/// the first record that they get, and would then send it alone, while the records that belong to the same batch are still
/// being handed over. With this policy the records come first, if there are too few processors for both.
pub(crate) fn on_batch_thread<T: Send>(make: impl FnOnce() -> T + Send) -> T {
    let made = thread::scope(|scope| {
        let maker = scope.spawn(|| {
            use_batch_policy();
            make()
        });
        maker.join()
    });
    made.unwrap_or_else(|panic| resume_unwind(panic))
}

/// If the kernel refuses it, all goes on as before, only slower.
#[allow(unsafe_code)]
fn use_batch_policy() {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads the structure during the call. 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const priority) };
}
