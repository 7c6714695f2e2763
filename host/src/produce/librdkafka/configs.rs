//! `rd_kafka_DescribeConfigs` on the producer's own client: rust-rdkafka has it only for a client of its own, which would be a
//! second one with its own connections and login.

use std::{
    collections::HashMap,
    ffi::{CStr, CString, c_char, c_int},
    ptr::{self, NonNull},
    slice,
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    bindings,
    producer::{BaseProducer, Producer as _, ProducerContext},
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};

/// What the answer may come later than the client's own time-out for it, ms.
const BEYOND: c_int = 100;

/// A topic's settings by name, or why they are not told.
pub(crate) type Told = Result<Vec<(String, String)>, RDKafkaErrorCode>;

/// Asks for these settings of these topics, whose names have been checked. A topic that the answer does not hold is not there.
/// Blocks up to `timeout`.
#[allow(unsafe_code)]
pub(crate) fn describe_topics<C: ProducerContext>(
    producer: &BaseProducer<C>,
    topics: &[Arc<str>],
    settings: &[&CStr],
    timeout: Duration,
) -> Result<HashMap<String, Told>, RDKafkaErrorCode> {
    let client = producer.client().native_ptr();
    let timeout_ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX - BEYOND);
    let mut questions = Vec::with_capacity(topics.len());
    for topic in topics {
        questions.push(question(topic, settings)?);
    }
    let mut raw: Vec<_> = questions.iter().map(|question| question.pointer.as_ptr()).collect();
    // SAFETY: the client is the borrowed producer's and outlives the options and the queue, which are ended by `Owned`; the error
    // text has no room and is not written. The questions are alive for the length of the call, which copies them. The answer comes
    // to this queue only; one that comes after the queue's end is ended by librdkafka, which counts who holds the queue.
    let event = unsafe {
        let queue = Owned::new(bindings::rd_kafka_queue_new(client), bindings::rd_kafka_queue_destroy)?;
        let options = Owned::new(
            bindings::rd_kafka_AdminOptions_new(
                client,
                bindings::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
            ),
            bindings::rd_kafka_AdminOptions_destroy,
        )?;
        let set = bindings::rd_kafka_AdminOptions_set_request_timeout(
            options.pointer.as_ptr(),
            timeout_ms,
            ptr::null_mut(),
            0,
        );
        done(set)?;
        bindings::rd_kafka_DescribeConfigs(
            client,
            raw.as_mut_ptr(),
            raw.len(),
            options.pointer.as_ptr(),
            queue.pointer.as_ptr(),
        );
        Owned::new(
            bindings::rd_kafka_queue_poll(queue.pointer.as_ptr(), timeout_ms + BEYOND),
            bindings::rd_kafka_event_destroy,
        )?
    };
    read(&event)
}

/// About one topic.
#[allow(unsafe_code)]
fn question(topic: &str, settings: &[&CStr]) -> Result<Owned<bindings::rd_kafka_ConfigResource_t>, RDKafkaErrorCode> {
    let topic = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    // SAFETY: both functions copy the C strings that they are given; a setting without a value is not taken, so each has an empty
    // one, which is not sent.
    unsafe {
        let question = Owned::new(
            bindings::rd_kafka_ConfigResource_new(
                bindings::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
                topic.as_ptr(),
            ),
            bindings::rd_kafka_ConfigResource_destroy,
        )?;
        for setting in settings {
            done(bindings::rd_kafka_ConfigResource_set_config(
                question.pointer.as_ptr(),
                setting.as_ptr(),
                c"".as_ptr(),
            ))?;
        }
        Ok(question)
    }
}

#[allow(unsafe_code)]
fn read(event: &Owned<bindings::rd_kafka_event_t>) -> Result<HashMap<String, Told>, RDKafkaErrorCode> {
    let event = event.pointer.as_ptr();
    // SAFETY: the event is alive, and all that is read of it belongs to it: lists with the lengths that are given with them, and C
    // strings, which are copied. An event of another kind has no result, which is null.
    unsafe {
        done(bindings::rd_kafka_event_error(event))?;
        let result = bindings::rd_kafka_event_DescribeConfigs_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::InvalidType);
        }
        let mut count = 0;
        let topics = bindings::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        let told = list(topics, count).iter().map(|&topic| {
            let told = done(bindings::rd_kafka_ConfigResource_error(topic)).map(|()| {
                let mut count = 0;
                let entries = bindings::rd_kafka_ConfigResource_configs(topic, &raw mut count);
                let entry = |&entry: &*const _| {
                    let name = text(bindings::rd_kafka_ConfigEntry_name(entry))?;
                    Some((name, text(bindings::rd_kafka_ConfigEntry_value(entry))?))
                };
                list(entries, count).iter().filter_map(entry).collect()
            });
            Some((text(bindings::rd_kafka_ConfigResource_name(topic))?, told))
        });
        Ok(told.flatten().collect())
    }
}

/// # Safety
///
/// The pointer is null, or that of so many elements that stay as they are for as long as the result is used.
#[allow(unsafe_code)]
unsafe fn list<'a, T>(first: *mut T, count: usize) -> &'a [T] {
    if first.is_null() {
        return &[];
    }
    // SAFETY: as above.
    unsafe { slice::from_raw_parts(first, count) }
}

/// # Safety
///
/// The pointer is null, or that of a C string.
#[allow(unsafe_code)]
unsafe fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: as above.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}

fn done(error: RDKafkaRespErr) -> Result<(), RDKafkaErrorCode> {
    match error.into() {
        RDKafkaErrorCode::NoError => Ok(()),
        error => Err(error),
    }
}

/// Something of librdkafka's that has to be ended.
struct Owned<T> {
    pointer: NonNull<T>,
    end: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// # Safety
    ///
    /// The pointer is null, or nobody else's, and `end` is the function that ends what it points to.
    #[allow(unsafe_code)]
    unsafe fn new(pointer: *mut T, end: unsafe extern "C" fn(*mut T)) -> Result<Self, RDKafkaErrorCode> {
        // Null is an answer that did not come in time, or no memory.
        let pointer = NonNull::new(pointer).ok_or(RDKafkaErrorCode::OperationTimedOut)?;
        Ok(Self { pointer, end })
    }
}

impl<T> Drop for Owned<T> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: as `new` was promised; it is ended once.
        unsafe { (self.end)(self.pointer.as_ptr()) };
    }
}
