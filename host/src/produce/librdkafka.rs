//! The calls of librdkafka that rust-rdkafka does not make as they are needed here: everything that is unsafe about it.
//!
//! | What | Why not rust-rdkafka's |
//! |---|---|
//! | [`TopicHandle`], [`produce`] | it looks the topic up by its name for each record, in a list, and makes a C string for that |
//! | [`Opaque`] | what goes with a record and comes back with its report is a pointer to its slot, not a box of its own |
//! | [`persisted`] | not there |
//! | [`flush`] | calls it with a time-out of 0, so that what lingers goes on lingering |
//! | [`describe_topics`] | only with a client of its own |
//!
//! Not used is `rd_kafka_message_produce_errstr`, the broker's words about a refused record: in 2.12.1 it points into an answer
//! that has been freed by the time the report is handed out.

mod configs;

use std::{
    ffi::{CString, c_void},
    ptr::{self, NonNull},
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    bindings,
    error::IsError as _,
    message::BorrowedMessage,
    producer::{BaseProducer, Producer as _, ProducerContext},
    types::{RDKafkaErrorCode, RDKafkaRespErr},
    util::IntoOpaque,
};

pub(crate) use self::configs::describe_topics;
use crate::{
    base::record::Record,
    produce::batch::{Slot, Ticket},
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

/// A record's ticket on its way through librdkafka: the address of its slot, whose batch is kept alive by one reference count.
pub(crate) struct Opaque(pub(crate) Ticket);

#[allow(unsafe_code)]
impl IntoOpaque for Opaque {
    fn into_ptr(self) -> *mut c_void {
        let (batch, index) = self.0.into_parts();
        let slot: *const Slot = batch.slot(index);
        // The count goes with the pointer; `from_ptr` takes it back.
        let _ = Arc::into_raw(batch);
        slot.cast_mut().cast()
    }

    unsafe fn from_ptr(pointer: *mut c_void) -> Self {
        let slot = pointer.cast_const().cast::<Slot>();
        // SAFETY: the pointer is one of `into_ptr`'s, which the caller promises, and each is brought back once: librdkafka
        // reports each message once, and `produce` takes back only what it was not given. So the slot's batch is alive by the
        // count that went with it, and the slot with the batch, which never moves its slots.
        let slot = unsafe { &*slot };
        // SAFETY: `owner` is what `Arc::as_ptr` gave for the batch that the slot is in, and this takes over that one count.
        let batch = unsafe { Arc::from_raw(slot.owner()) };
        let index = batch.index_of(slot);
        Self(Ticket::from_parts(batch, index))
    }
}

/// A topic of one client. It must not outlive the client.
pub(crate) struct TopicHandle(NonNull<bindings::rd_kafka_topic_t>);

// SAFETY: librdkafka's topic objects are counted and locked by itself; all its calls may be made from any thread.
#[allow(unsafe_code)]
unsafe impl Send for TopicHandle {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for TopicHandle {}

impl TopicHandle {
    /// With the client's own settings.
    #[allow(unsafe_code)]
    pub(crate) fn new<C: ProducerContext>(producer: &BaseProducer<C>, name: &str) -> Result<Self, RDKafkaErrorCode> {
        let Ok(name) = CString::new(name) else {
            return Err(RDKafkaErrorCode::InvalidTopic);
        };
        let client = producer.client().native_ptr();
        // SAFETY: the client is the borrowed producer's, the name is a C string that librdkafka copies, and without settings of
        // its own a topic has those of the client.
        let topic = unsafe { bindings::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        NonNull::new(topic).map(Self).ok_or_else(last_error)
    }
}

impl Drop for TopicHandle {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the pointer is that of `new`, given back once, and its client is still there, as the type demands.
        unsafe { bindings::rd_kafka_topic_destroy(self.0.as_ptr()) };
    }
}

/// `rd_kafka_produce`, or `rd_kafka_producev` for a record with headers or a time. librdkafka copies key and value. `topic` is
/// one of `producer`'s.
pub(crate) fn produce<C: ProducerContext<DeliveryOpaque = Opaque>>(
    producer: &BaseProducer<C>,
    topic: &TopicHandle,
    partition: u32,
    record: &Record,
    timestamp: Option<i64>,
    ticket: Ticket,
) -> Result<(), (RDKafkaErrorCode, Ticket)> {
    let opaque = Opaque(ticket).into_ptr();
    let error = if timestamp.is_some() || !record.headers.is_empty() {
        produce_whole(producer, topic, partition, record, timestamp, opaque)
    } else {
        produce_plain(topic, partition, record, opaque)
    };
    match error {
        RDKafkaErrorCode::NoError => Ok(()),
        refused => Err((refused, take_back(opaque))),
    }
}

#[allow(unsafe_code)]
fn take_back(opaque: *mut c_void) -> Ticket {
    // SAFETY: the pointer was made a moment ago, and librdkafka has not taken it: it takes none with an error.
    unsafe { Opaque::from_ptr(opaque) }.0
}

/// Where bytes are and how many; none is null, which is not the same as empty.
fn parts(bytes: Option<&bytes::Bytes>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

#[allow(unsafe_code)]
fn produce_plain(topic: &TopicHandle, partition: u32, record: &Record, opaque: *mut c_void) -> RDKafkaErrorCode {
    let (key, key_len) = parts(record.key.as_ref());
    let (value, value_len) = parts(record.value.as_ref());
    // SAFETY: the topic is alive; key and value are alive for the length of the call, in which they are copied (F_COPY) and
    // not written to, whatever the signature says.
    let taken = unsafe {
        bindings::rd_kafka_produce(
            topic.0.as_ptr(),
            partition.cast_signed(),
            bindings::RD_KAFKA_MSG_F_COPY,
            value.cast_mut(),
            value_len,
            key,
            key_len,
            opaque,
        )
    };
    if taken == 0 {
        RDKafkaErrorCode::NoError
    } else {
        last_error()
    }
}

#[allow(unsafe_code)]
fn produce_whole<C: ProducerContext>(
    producer: &BaseProducer<C>,
    topic: &TopicHandle,
    partition: u32,
    record: &Record,
    timestamp: Option<i64>,
    opaque: *mut c_void,
) -> RDKafkaErrorCode {
    use bindings::rd_kafka_vtype_t as V;
    let (key, key_len) = parts(record.key.as_ref());
    let (value, value_len) = parts(record.value.as_ref());
    let headers = headers(record);
    // SAFETY: each argument has the type that its tag says; topic, key and value as in `produce_plain`; the headers are
    // librdkafka's once it has taken the record, and destroyed here if it has not.
    unsafe {
        let error = bindings::rd_kafka_producev(
            producer.client().native_ptr(),
            V::RD_KAFKA_VTYPE_RKT,
            topic.0.as_ptr(),
            V::RD_KAFKA_VTYPE_PARTITION,
            partition.cast_signed(),
            V::RD_KAFKA_VTYPE_MSGFLAGS,
            bindings::RD_KAFKA_MSG_F_COPY,
            V::RD_KAFKA_VTYPE_VALUE,
            value,
            value_len,
            V::RD_KAFKA_VTYPE_KEY,
            key,
            key_len,
            V::RD_KAFKA_VTYPE_OPAQUE,
            opaque,
            V::RD_KAFKA_VTYPE_TIMESTAMP,
            timestamp.unwrap_or(0),
            V::RD_KAFKA_VTYPE_HEADERS,
            headers,
            V::RD_KAFKA_VTYPE_END,
        );
        if error.is_error() && !headers.is_null() {
            bindings::rd_kafka_headers_destroy(headers);
        }
        error.into()
    }
}

/// Null where there are none.
#[allow(unsafe_code)]
fn headers(record: &Record) -> *mut bindings::rd_kafka_headers_t {
    if record.headers.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: a new list, which only this function knows; name and value are alive for the length of each call, which copies
    // them, and have the lengths that are given.
    unsafe {
        let headers = bindings::rd_kafka_headers_new(record.headers.len());
        for header in &record.headers {
            let (value, value_len) = parts(header.value.as_ref());
            bindings::rd_kafka_header_add(
                headers,
                header.name.as_ptr().cast(),
                header.name.len().cast_signed(),
                value,
                value_len.cast_signed(),
            );
        }
        headers
    }
}

#[allow(unsafe_code)]
fn last_error() -> RDKafkaErrorCode {
    // SAFETY: reads a variable of this thread.
    unsafe { bindings::rd_kafka_last_error() }.into()
}
