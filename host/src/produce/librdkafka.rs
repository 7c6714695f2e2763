//! Direct calls of librdkafka, where rust-rdkafka does not offer what is needed here. All unsafe code about it is here.
//!
//! | What | Why rust-rdkafka's own does not do |
//! |---|---|
//! | [`TopicHandle`] | for each record, it makes a C string of the topic's name and searches a list for it |
//! | [`Opaque`] | it allocates a box for each record; here the pointer that goes with a record is that of its slot |
//! | [`persisted`] | it has no such function |
//! | [`flush`] | it calls librdkafka with a time-out of 0, so lingering records go on lingering |
//! | [`describe_topics`] | it needs a second client for that |
//! | [`signal_events`], [`has_events`] | with them, one thread waits for several clients |
//! | [`on_batch_thread`] | the policy of librdkafka's threads is not its business |
//!
//! `rd_kafka_message_produce_errstr`, the broker's text about a refused record, is not used: in 2.12.1 it points into a response
//! that has been freed before the report is handed out.

mod configs;
mod threads;

use std::{
    ffi::{CString, c_void},
    os::fd::{AsRawFd as _, BorrowedFd},
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

pub(crate) use self::{configs::describe_topics, threads::on_batch_thread};
use crate::{
    base::record::Record,
    produce::batch::{Slot, Ticket},
};

/// Whether a message was written, as far as librdkafka knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persisted {
    /// NOT_PERSISTED. This alone proves nothing: librdkafka also says it after NOT_LEADER and after unknown codes.
    No,
    /// The message was written, or may have been.
    Possibly,
}

/// `rd_kafka_message_status` of a delivery report.
#[allow(unsafe_code)]
pub(crate) fn persisted(message: &BorrowedMessage<'_>) -> Persisted {
    // SAFETY: `ptr()` points to the `rd_kafka_message_t` that `message` borrows, so it is valid during this call. The function
    // only reads the message's status field.
    let status = unsafe { bindings::rd_kafka_message_status(message.ptr()) };
    match status {
        bindings::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Persisted::No,
        _ => Persisted::Possibly,
    }
}

/// `rd_kafka_flush`: sends lingering records, and waits until no record is outstanding. Returns false if `timeout` passes
/// first.
///
/// rust-rdkafka's own `flush` calls it with a time-out of 0 again and again. But librdkafka stops lingering only while a call
/// waits, so that `flush` waits until `linger.ms` has passed. Another thread must poll for delivery reports during this call.
#[allow(unsafe_code)]
pub(crate) fn flush<C: ProducerContext>(producer: &BaseProducer<C>, timeout: Duration) -> bool {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let client = producer.client().native_ptr();
    // SAFETY: the client belongs to `producer`, which is borrowed during the call. librdkafka allows this call from any thread.
    let ended = unsafe { bindings::rd_kafka_flush(client, timeout_ms) };
    ended == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// From now on `events`, an eventfd that does not block, becomes readable whenever the client has new events. It must stay open
/// as long as the client exists.
#[allow(unsafe_code)]
pub(crate) fn signal_events<C: ProducerContext>(producer: &BaseProducer<C>, events: BorrowedFd<'_>) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: the queue is the client's, and the reference to it is given back. librdkafka copies the bytes that it will write.
    unsafe {
        let queue = bindings::rd_kafka_queue_get_main(producer.client().native_ptr());
        bindings::rd_kafka_queue_io_event_enable(queue, events.as_raw_fd(), one.as_ptr().cast(), one.len());
        bindings::rd_kafka_queue_destroy(queue);
    }
}

/// Whether the client has an event that was not polled yet.
#[allow(unsafe_code)]
pub(crate) fn has_events<C: ProducerContext>(producer: &BaseProducer<C>) -> bool {
    // SAFETY: the queue is the client's, and the reference to it is given back.
    unsafe {
        let queue = bindings::rd_kafka_queue_get_main(producer.client().native_ptr());
        let events = bindings::rd_kafka_queue_length(queue);
        bindings::rd_kafka_queue_destroy(queue);
        events > 0
    }
}

/// A record's ticket on its way through librdkafka. It travels as the address of the record's slot; one reference count keeps
/// the slot's batch alive meanwhile.
pub(crate) struct Opaque(pub(crate) Ticket);

#[allow(unsafe_code)]
impl IntoOpaque for Opaque {
    fn into_ptr(self) -> *mut c_void {
        let (batch, index) = self.0.into_parts();
        let slot: *const Slot = batch.slot(index);
        // The reference count goes with the pointer. `from_ptr` takes it over.
        let _ = Arc::into_raw(batch);
        slot.cast_mut().cast()
    }

    unsafe fn from_ptr(pointer: *mut c_void) -> Self {
        let slot = pointer.cast_const().cast::<Slot>();
        // SAFETY: the caller promises that `into_ptr` made the pointer, and that it comes back only once: librdkafka reports
        // each message once, and `produce` takes a pointer back only if librdkafka did not take it. So the reference count
        // that went with the pointer still keeps the batch alive, and a batch never moves its slots.
        let slot = unsafe { &*slot };
        // SAFETY: `owner` is what `Arc::as_ptr` gave for the slot's batch, and this takes over the reference count of
        // `into_ptr`.
        let batch = unsafe { Arc::from_raw(slot.owner()) };
        let index = batch.index_of(slot);
        Self(Ticket::from_parts(batch, index))
    }
}

/// A topic of one client. It keeps the client alive, so that it can always be used and destroyed.
pub(crate) struct TopicHandle<C: ProducerContext + 'static> {
    topic: NonNull<bindings::rd_kafka_topic_t>,
    producer: Arc<BaseProducer<C>>,
}

// SAFETY: librdkafka counts references to its topic objects and locks them itself; its functions may be called from any thread.
#[allow(unsafe_code)]
unsafe impl<C: ProducerContext> Send for TopicHandle<C> where BaseProducer<C>: Send + Sync {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl<C: ProducerContext> Sync for TopicHandle<C> where BaseProducer<C>: Send + Sync {}

impl<C: ProducerContext<DeliveryOpaque = Opaque>> TopicHandle<C> {
    /// Makes a handle. The topic has the client's settings.
    #[allow(unsafe_code)]
    pub(crate) fn new(producer: &Arc<BaseProducer<C>>, name: &str) -> Result<Self, RDKafkaErrorCode> {
        let Ok(name) = CString::new(name) else {
            return Err(RDKafkaErrorCode::InvalidTopic);
        };
        let client = producer.client().native_ptr();
        // SAFETY: the client belongs to the borrowed producer. The name is a C string, which librdkafka copies. Null for the
        // settings means the client's.
        let topic = unsafe { bindings::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        Ok(Self {
            topic: NonNull::new(topic).ok_or_else(last_error)?,
            producer: Arc::clone(producer),
        })
    }

    /// Hands a record over; a refused one comes back as its ticket. Calls `rd_kafka_produce`, or `rd_kafka_producev` for a record
    /// with headers or a time. librdkafka copies key and value.
    #[allow(unsafe_code)]
    pub(crate) fn produce(
        &self,
        partition: u32,
        record: &Record,
        timestamp: Option<i64>,
        ticket: Ticket,
    ) -> Result<(), (RDKafkaErrorCode, Ticket)> {
        let opaque = Opaque(ticket).into_ptr();
        // SAFETY: `into_ptr` has just made the pointer, and it is taken back below only if librdkafka did not take it.
        let error = unsafe {
            if timestamp.is_some() || !record.headers.is_empty() {
                self.produce_whole(partition, record, timestamp, opaque)
            } else {
                self.produce_plain(partition, record, opaque)
            }
        };
        match error {
            RDKafkaErrorCode::NoError => Ok(()),
            refused => {
                // SAFETY: `into_ptr` made the pointer, and with an error librdkafka does not take it.
                let Opaque(ticket) = unsafe { Opaque::from_ptr(opaque) };
                Err((refused, ticket))
            }
        }
    }

    /// `rd_kafka_produce`.
    ///
    /// # Safety
    ///
    /// `opaque` must come from [`Opaque::into_ptr`]. If the result is `NoError`, librdkafka has taken it, and the caller must not
    /// use it again: it comes back with the delivery report.
    #[allow(unsafe_code)]
    unsafe fn produce_plain(&self, partition: u32, record: &Record, opaque: *mut c_void) -> RDKafkaErrorCode {
        let (key, key_len) = parts(record.key.as_ref());
        let (value, value_len) = parts(record.value.as_ref());
        // SAFETY: the topic is alive, and `opaque` is as the caller promises. Key and value are alive during the call, which
        // copies them (F_COPY) and does not write to them, although the value's type would allow it.
        let taken = unsafe {
            bindings::rd_kafka_produce(
                self.topic.as_ptr(),
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

    /// `rd_kafka_producev`.
    ///
    /// # Safety
    ///
    /// As for [`TopicHandle::produce_plain`].
    #[allow(unsafe_code)]
    unsafe fn produce_whole(
        &self,
        partition: u32,
        record: &Record,
        timestamp: Option<i64>,
        opaque: *mut c_void,
    ) -> RDKafkaErrorCode {
        use bindings::rd_kafka_vtype_t as V;
        let (key, key_len) = parts(record.key.as_ref());
        let (value, value_len) = parts(record.value.as_ref());
        let headers = headers(record);
        // SAFETY: each argument has the type that its tag names. For topic, opaque, key and value, see `produce_plain`. The
        // headers belong to librdkafka once it has taken the record; if it has not, they are destroyed here.
        unsafe {
            let error = bindings::rd_kafka_producev(
                self.producer.client().native_ptr(),
                V::RD_KAFKA_VTYPE_RKT,
                self.topic.as_ptr(),
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
}

impl<C: ProducerContext> Drop for TopicHandle<C> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the pointer is that of `new` and is given back only here. The client still exists, because `producer` is
        // dropped after this.
        unsafe { bindings::rd_kafka_topic_destroy(self.topic.as_ptr()) };
    }
}

/// Pointer and length of bytes. `None` is a null pointer, which Kafka keeps apart from empty bytes.
fn parts(bytes: Option<&bytes::Bytes>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

/// The record's headers in librdkafka's form; null if there are none.
#[allow(unsafe_code)]
fn headers(record: &Record) -> *mut bindings::rd_kafka_headers_t {
    if record.headers.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: the list is new and only this function has it. Name and value are alive during each call, which copies them, and
    // the lengths are theirs.
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
    // SAFETY: the function only reads a variable of this thread.
    unsafe { bindings::rd_kafka_last_error() }.into()
}
