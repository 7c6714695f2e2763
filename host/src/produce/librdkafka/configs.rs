//! `rd_kafka_DescribeConfigs` on the producer's own client. rust-rdkafka offers it only on an admin client, which would be a
//! second client with its own connections and login.

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

/// The answer may come this much later than librdkafka's own time-out for it, ms.
const BEYOND: c_int = 100;

/// A topic's settings as names and values, or the broker's error.
pub(crate) type Told = Result<Vec<(String, String)>, RDKafkaErrorCode>;

/// Asks the brokers for these settings of these topics. A topic that is not in the answer is not in the result. Blocks up to
/// `timeout`.
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
    // SAFETY: the client belongs to the borrowed producer and outlives the options and the queue, which `Owned` destroys. The
    // buffer for an error text has length 0, so nothing is written to it. The questions are alive during the call, which copies
    // them. The answer comes only to this queue; librdkafka counts references to the queue, and itself destroys an answer that
    // comes too late.
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

/// The question about one topic.
#[allow(unsafe_code)]
fn question(topic: &str, settings: &[&CStr]) -> Result<Owned<bindings::rd_kafka_ConfigResource_t>, RDKafkaErrorCode> {
    let topic = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    // SAFETY: both functions copy the C strings that they get. `set_config` refuses a null value, so each setting gets an empty
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
    // SAFETY: the event is alive, and all that is read belongs to it: lists, whose lengths come with them, and C strings, which
    // are copied. An event of another kind has a null result.
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
/// The pointer must be null, or point to `count` elements that do not change as long as the result is used.
#[allow(unsafe_code)]
unsafe fn list<'a, T>(first: *mut T, count: usize) -> &'a [T] {
    if first.is_null() {
        return &[];
    }
    // SAFETY: the caller promises it.
    unsafe { slice::from_raw_parts(first, count) }
}

/// # Safety
///
/// The pointer must be null, or point to a C string.
#[allow(unsafe_code)]
unsafe fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: the caller promises it.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}

fn done(error: RDKafkaRespErr) -> Result<(), RDKafkaErrorCode> {
    match error.into() {
        RDKafkaErrorCode::NoError => Ok(()),
        error => Err(error),
    }
}

/// An object of librdkafka that is destroyed with this.
struct Owned<T> {
    pointer: NonNull<T>,
    /// The function that destroys the object.
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// # Safety
    ///
    /// The pointer must be null, or point to an object that nobody else destroys. `destroy` must be the function for it.
    #[allow(unsafe_code)]
    unsafe fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, RDKafkaErrorCode> {
        // Null means that the answer did not come in time, or that there is no memory.
        let pointer = NonNull::new(pointer).ok_or(RDKafkaErrorCode::OperationTimedOut)?;
        Ok(Self { pointer, destroy })
    }
}

impl<T> Drop for Owned<T> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the caller of `new` promised it, and this runs once.
        unsafe { (self.destroy)(self.pointer.as_ptr()) };
    }
}
