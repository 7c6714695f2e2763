//! The two calls of librdkafka that rust-rdkafka does not make as they are needed here.

use std::time::Duration;

use rdkafka::{
    bindings,
    message::BorrowedMessage,
    producer::{BaseProducer, Producer as _, ProducerContext},
    types::RDKafkaRespErr,
};

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
    // SAFETY: `ptr()` is the `rd_kafka_message_t` of the delivery report that `message` borrows, so it is valid for the
    // length of this call; the function only reads the message's own status field.
    let status = unsafe { bindings::rd_kafka_message_status(message.ptr()) };
    match status {
        bindings::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Persisted::No,
        _ => Persisted::Possibly,
    }
}

/// `rd_kafka_flush`: sends what lingers, and waits until nothing is outstanding; false when `timeout` came first.
///
/// rust-rdkafka's own `flush` calls it with a time-out of 0 again and again. Only while a call waits does librdkafka send
/// without lingering, so that one waits for `linger.ms` to pass. Somebody else must poll for delivery reports meanwhile.
#[allow(unsafe_code)]
pub(crate) fn flush<C: ProducerContext>(producer: &BaseProducer<C>, timeout: Duration) -> bool {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let client = producer.client().native_ptr();
    // SAFETY: the pointer is that of the client which `producer` owns, and `producer` is borrowed for the length of the call.
    // librdkafka allows this call from any thread.
    let ended = unsafe { bindings::rd_kafka_flush(client, timeout_ms) };
    ended == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}
