//! Writes a change in one transaction.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use pointsman_routing::{Change, Head};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use super::{
    TIMEOUT, away,
    reader::{HEAD, ROW},
};
use crate::StoreError;

/// What a writer sets itself.
pub(super) const OWN: &[(&str, &str)] = &[("linger.ms", "5"), ("queue.buffering.max.kbytes", "65536")];

/// A writer of the topic. Making one fences those before it.
pub(super) struct Writer {
    producer: BaseProducer,
    topic: String,
}

impl Writer {
    pub(super) fn new(config: &ClientConfig, topic: &str) -> Result<Self, StoreError> {
        let mut config = config.clone();
        config.set("transactional.id", format!("pointsman-{topic}"));
        let written = |error: &KafkaError| away("written", topic, error);
        let producer: BaseProducer = config.create().map_err(|error| written(&error))?;
        producer.init_transactions(TIMEOUT).map_err(|error| written(&error))?;
        Ok(Self {
            producer,
            topic: topic.to_owned(),
        })
    }

    /// After an error the writer must not be used again.
    pub(super) fn write(&mut self, head: &Head, changes: &[Change]) -> Result<(), StoreError> {
        let written = self.transaction(head, changes);
        written.map_err(|error| away("written", &self.topic, &error))
    }

    fn transaction(&self, head: &Head, changes: &[Change]) -> Result<(), KafkaError> {
        self.producer.begin_transaction()?;
        for change in changes {
            let key = format!("{ROW}{}/{}", change.topic(), change.tenant());
            match change {
                Change::Put(row) => self.send(&key, Some(&row.write()))?,
                Change::Remove { .. } => self.send(&key, None)?,
            }
        }
        self.send(HEAD, Some(&head.write()))?;
        self.producer.commit_transaction(TIMEOUT)
    }

    fn send(&self, key: &str, value: Option<&str>) -> Result<(), KafkaError> {
        let until = Instant::now() + TIMEOUT;
        loop {
            let mut record = BaseRecord::to(&self.topic).key(key).partition(0);
            if let Some(value) = value {
                record = record.payload(value);
            }
            match self.producer.send(record) {
                Err((error, _))
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) && Instant::now() < until =>
                {
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }
}

/// Makes the topic, if it is not there.
pub(super) fn make_topic(config: &ClientConfig, topic: &str) -> Result<(), StoreError> {
    let made = |error: &KafkaError| away("made", topic, error);
    let client: AdminClient<DefaultClientContext> = config.create().map_err(|error| made(&error))?;
    // As many replicas as the brokers give new topics.
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(-1)).set("cleanup.policy", "compact");
    let options = AdminOptions::new()
        .operation_timeout(Some(TIMEOUT))
        .request_timeout(Some(TIMEOUT));
    let results = wait_for(client.create_topics([&new], &options)).map_err(|error| made(&error))?;
    match results.into_iter().next() {
        Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
            Err(StoreError::Away(format!("topic \"{topic}\" cannot be made: {code}")))
        }
        _ => Ok(()),
    }
}

/// Waits for one of the client's own futures, which needs no runtime.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
