//! The one call of librdkafka that rust-rdkafka does not wrap.

use rdkafka::message::BorrowedMessage;

/// How far a message got, as librdkafka knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persisted {
    /// librdkafka's NOT_PERSISTED. Not a proof by itself: it is also given for NOT_LEADER and for unknown codes.
    No,
    /// May have been written, or was.
    Possibly,
}

/// `rd_kafka_message_status` of a delivery report.
#[allow(unsafe_code)]
pub(crate) fn persisted(message: &BorrowedMessage<'_>) -> Persisted {
    use rdkafka::bindings::{rd_kafka_message_status, rd_kafka_msg_status_t};
    // SAFETY: `ptr()` is the `rd_kafka_message_t` of the delivery report that `message` borrows, so it is valid for the
    // length of this call; the function only reads the message's own status field.
    let status = unsafe { rd_kafka_message_status(message.ptr()) };
    match status {
        rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Persisted::No,
        _ => Persisted::Possibly,
    }
}
