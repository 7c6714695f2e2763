//! One connection: requests are taken in the order in which they come, several are under way, and they are answered in that order.
//!
//! One half reads and takes, the other waits for outcomes and writes. While there is no room for a request, nothing else is read.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use kafka_protocol::ResponseError as Kafka;
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot, watch},
    task::yield_now,
};

use super::{
    KafkaApi, answer,
    api::Api,
    frames::{Frame, Frames, NoFrame},
    outcomes::{self, Taken},
    producers,
    request::{self, AnswerTo, Request, Software, Unreadable},
    sasl,
    writing::{Entry, Pending},
};
use crate::{
    admission::Reservation,
    base::metrics::KafkaClient,
    ingest::timed::{Phase, Timed},
};

/// Requests of one connection that are under way at once. Java and librdkafka keep 5 under way when they are idempotent; a librdkafka
/// that is not has no limit of its own.
const UNDER_WAY: usize = 128;
/// Requests of so many bytes in all are taken before other connections have their turn: hundreds may have come at once.
const WORK_BETWEEN_YIELDS: usize = 4 << 10;
/// A shorter request takes as much work as one of so many bytes.
const LEAST_WORK: usize = 1 << 10;
/// How long a connection that is closed for a mistake or a drain is still read after the last answer, so that its client sees it.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The longest that an answer to a consumer is held back.
const MOST_CALM: Duration = Duration::from_secs(1);
/// What counts for each topic and partition that a request names, bytes: what is kept of it until its answer is made.
const PART_BYTES: usize = 1 << 10;

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closing {
    #[error(transparent)]
    Frame(#[from] NoFrame),
    #[error("a request is not answered: {0}")]
    Unreadable(#[from] Unreadable),
    /// Requests are taken only after authentication.
    #[error(
        "a request of kind {0} came before authentication; the password of SASL PLAIN is the text of listen.token_file"
    )]
    NotAuthenticated(&'static str),
    #[error("its client could not be authenticated (SASL PLAIN; the password is the text of listen.token_file)")]
    WrongPassword,
    /// With acks=0 this is the only way to tell a client.
    #[error("a batch was refused, and its client waits for no answer (acks=0): {0}")]
    RefusedUnheard(String),
    #[error("there is no room: {0}")]
    NoRoom(String),
    #[error("an answer cannot be written: {0:#}")]
    Answer(#[from] anyhow::Error),
}

/// What is known of the client at the other end.
struct Client<'a> {
    api: &'a KafkaApi,
    /// The address that the client connected to.
    address: SocketAddr,
    is_authenticated: bool,
    no_offset: i64,
    /// Counts it among the clients of its software.
    counted: Option<KafkaClient>,
    drain: watch::Receiver<bool>,
}

impl KafkaApi {
    /// Serves a connection until it ends, its time is over, its place is needed, or the process drains.
    pub(in crate::ingest) async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        phase: Phase,
        drain: watch::Receiver<bool>,
    ) {
        let Ok(address) = stream.local_addr() else {
            return;
        };
        let peer = stream.peer_addr().ok();
        let (reading, writing) = stream.into_split();
        let (send, answers) = mpsc::channel(UNDER_WAY);
        let mut frames = Frames {
            stream: Timed::new(reading, phase.clone()),
            phase: phase.clone(),
            limits: &self.limits,
            admission: &self.pipeline.admission,
            drain: drain.clone(),
        };
        let client = Client {
            api: &self,
            address,
            is_authenticated: self.token.is_none(),
            no_offset: NO_OFFSET_TO_COUNT_FROM,
            counted: None,
            drain,
        };
        let (end, all_written) = oneshot::channel::<()>();
        let reading = async {
            let ended = client.serve(&mut frames, &send).await;
            drop(send);
            match ended {
                Closing::Frame(NoFrame::Over) => return,
                Closing::Frame(NoFrame::Drain) => {}
                closing => {
                    let client = peer.map(|peer| peer.to_string()).unwrap_or_default();
                    tracing::warn!(client, reason = %closing, "a connection of the Kafka listener is closed");
                }
            }
            let last_words = async {
                let _ = all_written.await;
                tokio::time::sleep(LAST_WORDS).await;
            };
            frames.discard(last_words).await;
        };
        let writing = async {
            // The last answer tells the client that no more come: the writing half is closed with it.
            self.write(Timed::new(writing, phase), answers).await;
            drop(end);
        };
        tokio::join!(reading, writing);
    }
}

impl Client<'_> {
    /// Takes requests until the connection must end.
    async fn serve(
        mut self,
        frames: &mut Frames<'_, tokio::net::tcp::OwnedReadHalf>,
        answers: &mpsc::Sender<Entry>,
    ) -> Closing {
        let mut since_yield = 0;
        loop {
            let frame = match frames.next(answers, !self.is_authenticated).await {
                Ok(frame) => frame,
                Err(error) => return error.into(),
            };
            since_yield += frame.bytes.len().max(LEAST_WORK);
            if let Err(closing) = self.take(frame, answers).await {
                return closing;
            }
            if since_yield >= WORK_BETWEEN_YIELDS {
                since_yield = 0;
                yield_now().await;
            }
        }
    }

    async fn take(&mut self, frame: Frame, answers: &mpsc::Sender<Entry>) -> Result<(), Closing> {
        let Frame {
            bytes,
            mut room,
            in_request,
        } = frame;
        let (to, request) = request::read(bytes)?;
        self.api.pipeline.metrics.kafka.request(to.api.as_str());
        let parts = request.parts() * PART_BYTES;
        let whole = room.bytes() + parts;
        room.grow(whole)
            .await
            .map_err(|busy| Closing::NoRoom(busy.to_string()))?;
        if !self.is_authenticated && !is_open(to.api) {
            return Err(Closing::NotAuthenticated(to.api.as_str()));
        }
        let mut failed = None;
        let pending = match request {
            Request::Produce(request) => {
                let unheard = request.acks == 0;
                let answer = room.split(parts);
                let taken = self.api.take(request, room, answer, &self.drain).await;
                if unheard {
                    return self.unheard(taken);
                }
                Pending::Produce(to, taken)
            }
            Request::SaslAuthenticate(message) => {
                let (frame, closing) = self.authenticate(to, &message)?;
                failed = closing;
                room.set(frame.len());
                Pending::Now(frame, room)
            }
            other => {
                let frame = self.answer(to, other, &mut room).await?;
                room.set(frame.len());
                Pending::Now(frame, room)
            }
        };
        let entry = Entry {
            pending,
            no_offset: self.no_offset,
            in_request,
        };
        // If nobody takes answers any more, the next look for a request ends the connection.
        if let Err(unsent) = answers.send(entry).await {
            unsent.0.forsake();
        }
        failed.map_or(Ok(()), Err)
    }

    /// Answers a request that has no batches. `room` is for the answer.
    async fn answer(&mut self, to: AnswerTo, request: Request, room: &mut Reservation) -> Result<Bytes, Closing> {
        let frame = match request {
            Request::ApiVersions(software) => {
                if let Some(software) = software {
                    self.meet(&software);
                }
                answer::api_versions(to, self.listed(), false)
            }
            Request::NewerApiVersions => answer::api_versions(to, self.listed(), true),
            Request::Metadata(request) => {
                let address = (self.address.ip().to_canonical().to_string(), self.address.port());
                return self.api.metadata(to, request, address, room).await;
            }
            Request::InitProducerId { transactional: false } => answer::init_producer_id(to, Ok(producers::new_id())),
            Request::InitProducerId { transactional: true } => {
                answer::init_producer_id(to, Err(Kafka::TransactionalIdAuthorizationFailed))
            }
            Request::SaslHandshake(mechanism) => {
                let known = mechanism.as_str() == answer::PLAIN;
                answer::sasl_handshake(to, (!known).then_some(Kafka::UnsupportedSaslMechanism))
            }
            Request::Fetch(request) => {
                tracing::warn!(
                    "a consumer asks the Kafka listener, where nothing can be read; connect consumers to the cluster itself"
                );
                self.calm(request.max_wait_ms).await;
                answer::fetch(to, &request)
            }
            Request::FindCoordinator { transactional } => {
                let (error, message) = self.why_no_coordinator(transactional);
                answer::no_coordinator(to, error, message)
            }
            Request::Produce(_) | Request::SaslAuthenticate(_) => Err(anyhow::anyhow!("it is answered elsewhere")),
        };
        Ok(frame?)
    }

    /// What this client may ask for.
    fn listed(&self) -> impl Iterator<Item = Api> {
        let with_sasl = self.api.token.is_some();
        Api::ALL
            .into_iter()
            .filter(move |api| with_sasl || !matches!(api, Api::SaslHandshake | Api::SaslAuthenticate))
    }

    /// Waits as long as a consumer would wait for records, so that one that asks again at once does not ask all the time.
    async fn calm(&mut self, max_wait_ms: i32) {
        let wait = Duration::from_millis(u64::from(max_wait_ms.max(0).unsigned_abs())).min(MOST_CALM);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = self.drain.wait_for(|drain| *drain) => {}
        }
    }

    /// Why there is no coordinator: an error after which clients do not ask again.
    fn why_no_coordinator(&self, transactional: bool) -> (Kafka, &'static str) {
        let message = "there are no transactions here; send without transactional.id, or connect this producer to the cluster itself";
        match transactional {
            // Java shows the message of an error that it does not expect.
            true if self.no_offset == NO_OFFSET => (Kafka::InvalidRequest, message),
            true => (Kafka::TransactionalIdAuthorizationFailed, message),
            false => (
                Kafka::GroupAuthorizationFailed,
                "nothing can be read here; connect consumers to the cluster itself",
            ),
        }
    }

    /// The client says what it is.
    fn meet(&mut self, software: &Software) {
        let (name, version) = (software.name.as_str(), software.version.as_str());
        self.no_offset = no_offset(name);
        self.counted = Some(self.api.pipeline.metrics.kafka.client(name, version));
    }

    fn authenticate(&mut self, to: AnswerTo, message: &[u8]) -> anyhow::Result<(Bytes, Option<Closing>)> {
        let right = self
            .api
            .token
            .as_ref()
            .is_none_or(|token| sasl::is_password(message, token));
        self.is_authenticated |= right;
        let wrong = (
            Kafka::SaslAuthenticationFailed,
            "the password is not the text of the file that the sidecar's listen.token_file names",
        );
        let frame = answer::sasl_authenticate(to, (!right).then_some(wrong))?;
        Ok((frame, (!right).then_some(Closing::WrongPassword)))
    }

    /// The client waits for no answer: an error can only end its connection.
    fn unheard(&self, taken: Taken) -> Result<(), Closing> {
        let mut refused = None;
        for waiting in taken.waiting() {
            match waiting {
                outcomes::Waiting::Told(told) => {
                    self.api.count(&told);
                    refused.get_or_insert(told.message);
                }
                waiting => waiting.forsake(),
            }
        }
        refused.map_or(Ok(()), |message| Err(Closing::RefusedUnheard(message)))
    }
}

/// Whether a request is answered before authentication.
const fn is_open(api: Api) -> bool {
    matches!(api, Api::ApiVersions | Api::SaslHandshake | Api::SaslAuthenticate)
}

/// Java takes this for "no offset".
const NO_OFFSET: i64 = -1;
/// Other clients count on from a batch's offset for each of its records, which would make real offsets of -1: 0, 1, 2, … From here they
/// come to numbers that no offset is, and librdkafka's bindings to "none".
const NO_OFFSET_TO_COUNT_FROM: i64 = -(1 << 62);

/// What stands where an offset would be, for this client: the records of a batch have gone to several partitions.
fn no_offset(software: &str) -> i64 {
    match software {
        "apache-kafka-java" => NO_OFFSET,
        _ => NO_OFFSET_TO_COUNT_FROM,
    }
}
