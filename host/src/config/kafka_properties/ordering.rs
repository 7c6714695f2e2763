//! Settings that would break the order of records or let duplicates in.
//!
//! After the translation, each setting has only one name, and this module uses that name.

use super::draft::{Draft, Ordering, PropertyError};

const IDEMPOTENCE: &str = "enable.idempotence";
const ACKS: &str = "acks";
const RETRIES: &str = "retries";
const IN_FLIGHT: &str = "max.in.flight.requests.per.connection";
const DELIVERY: &str = "delivery.timeout.ms";
const REQUEST: &str = "request.timeout.ms";
const SOCKET: &str = "socket.timeout.ms";
const LINGER: &str = "linger.ms";
const STRATEGY: &str = "queuing.strategy";
const BACKPRESSURE: &str = "queue.buffering.backpressure.threshold";
const GAPLESS: &str = "enable.gapless.guarantee";
const PARTITIONER: &str = "partitioner";

/// The times that are compared with each other.
pub(super) const TIMES: [&str; 4] = [DELIVERY, REQUEST, SOCKET, LINGER];

/// With more, the brokers could forget a batch that is still being sent again.
const IN_FLIGHT_MAX: i64 = 5;
/// The host's defaults, for times that are not given.
const DELIVERY_DEFAULT_MS: i64 = 120_000;
const REQUEST_DEFAULT_MS: i64 = 30_000;

pub(super) fn check(draft: &mut Draft, ordering: Ordering) -> Result<(), PropertyError> {
    match ordering {
        Ordering::Strict => strict(draft),
        Ordering::None => loose(draft),
    }
}

fn strict(draft: &Draft) -> Result<(), PropertyError> {
    if draft.get(IDEMPOTENCE) == Some("false") {
        return Err(refused(
            draft,
            IDEMPOTENCE,
            "must be true: without idempotence a retry duplicates and overtakes",
        ));
    }
    if let Some((name, why)) = against_idempotence(draft) {
        return Err(refused(draft, name, why));
    }
    if draft.get(PARTITIONER).is_some() {
        return Err(refused(
            draft,
            PARTITIONER,
            "must not be set: the plugin of the route decides the partition",
        ));
    }
    if draft.get(GAPLESS) == Some("true") {
        let why = "must not be set: one record that a broker refuses would fail every record of the producer";
        return Err(refused(draft, GAPLESS, why));
    }
    delivery_timeout(draft)
}

fn refused(draft: &Draft, name: &str, why: &str) -> PropertyError {
    let message = format!("{why}; change or remove it, or give up the order with [kafka] ordering = \"none\"");
    PropertyError::new(draft.origin(name), message)
}

/// The first setting that an idempotent producer cannot have: librdkafka would not start with it.
fn against_idempotence(draft: &Draft) -> Option<(&'static str, &'static str)> {
    let above = |name, max| draft.number(name).is_some_and(|value| value > max);
    if draft.get(ACKS).is_some_and(|acks| acks != "all") {
        Some((
            ACKS,
            "must be all: fewer acknowledgements lose records when a leader fails",
        ))
    } else if above(IN_FLIGHT, IN_FLIGHT_MAX) {
        Some((
            IN_FLIGHT,
            "must be at most 5: brokers detect repeated batches only that far back",
        ))
    } else if draft.number(RETRIES) == Some(0) {
        Some((
            RETRIES,
            "must be at least 1: every change of a leader would fail records",
        ))
    } else if draft.get(STRATEGY) == Some("lifo") {
        Some((STRATEGY, "must be fifo: lifo sends the newest record first"))
    } else if above(BACKPRESSURE, 1) {
        Some((BACKPRESSURE, "must be 1 for an idempotent producer"))
    } else {
        None
    }
}

/// A record must live at least as long as one attempt to send it.
fn delivery_timeout(draft: &Draft) -> Result<(), PropertyError> {
    let delivery = draft.number(DELIVERY).unwrap_or(DELIVERY_DEFAULT_MS);
    if delivery == 0 {
        let why = "is 0, which librdkafka takes as for ever: a record would hold up its stream without end";
        return Err(refused(draft, DELIVERY, why));
    }
    let request = request_ms(draft);
    let linger = linger_ms(draft);
    // Rounded up: a fraction of a millisecond counts.
    let needed = (linger + request as f64).ceil() as i64;
    if delivery >= needed {
        return Ok(());
    }
    let key = [DELIVERY, REQUEST, LINGER]
        .into_iter()
        .find(|name| draft.get(name).is_some())
        .unwrap_or(DELIVERY);
    let why = format!(
        "leaves no time for one attempt: delivery.timeout.ms ({delivery}) must be at least linger.ms ({linger}) + \
         request.timeout.ms ({request}) = {needed}"
    );
    Err(refused(draft, key, &why))
}

/// Java's `request.timeout.ms`. If the old `timeout.ms` is given too, it is only the client's wait.
fn request_ms(draft: &Draft) -> i64 {
    let broker = draft.number(REQUEST).unwrap_or(REQUEST_DEFAULT_MS);
    let client = draft.number(SOCKET).filter(|_| draft.origin(SOCKET) == REQUEST);
    client.map_or(broker, |client| client.max(broker))
}

fn linger_ms(draft: &Draft) -> f64 {
    draft.get(LINGER).and_then(|linger| linger.parse().ok()).unwrap_or(0.0)
}

/// Without the promise of order, librdkafka must still be able to start.
fn loose(draft: &mut Draft) -> Result<(), PropertyError> {
    if let Some((name, why)) = against_idempotence(draft) {
        if draft.get(IDEMPOTENCE) == Some("true") {
            let message = format!("{why}; change it, or set `{}` to false", draft.origin(IDEMPOTENCE));
            return Err(PropertyError::new(draft.origin(name), message));
        }
        if draft.get(IDEMPOTENCE).is_none() {
            // Java does the same if idempotence is not set explicitly.
            let key = draft.origin(name).to_owned();
            draft.note(format!("idempotence is off, since `{key}` excludes it"));
            draft.put(IDEMPOTENCE, &key, "false".to_owned())?;
        }
    }
    if draft.get(GAPLESS) == Some("true") && draft.get(IDEMPOTENCE) == Some("false") {
        return Err(PropertyError::new(
            draft.origin(GAPLESS),
            "needs idempotence; remove it or set `enable.idempotence` to true",
        ));
    }
    if draft.get(PARTITIONER).is_some() {
        draft.note("`partitioner` is never asked: the plugin of the route decides the partition".to_owned());
    }
    let delivery = draft.number(DELIVERY).unwrap_or(DELIVERY_DEFAULT_MS);
    if delivery != 0 && (delivery as f64) <= linger_ms(draft) {
        let message = "must be more than `linger.ms`, or every record expires before it is sent; raise it";
        return Err(PropertyError::new(draft.origin(DELIVERY), message));
    }
    Ok(())
}
