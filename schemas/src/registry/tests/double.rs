//! A schema registry that says what it is told to.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
};

/// What is done about a request.
#[derive(Clone)]
pub(super) enum Play {
    /// An answer of this status.
    Answer(u16, String),
    /// An answer, when there is a permit.
    Gated(Arc<Semaphore>, String),
    /// An answer, after which the connection is closed without a word about that.
    ThenClose(String),
    /// These bytes and silence.
    Raw(String),
    /// A body that never ends.
    Endless,
    /// No answer, and no connection any more.
    Close,
}

type Script = Arc<Mutex<Box<dyn Fn(&str) -> Play + Send>>>;

/// The registry. It goes when it is dropped.
pub(super) struct Double {
    pub(super) url: String,
    script: Script,
    /// Method and path of each request, head and body.
    seen: Arc<Mutex<Vec<(String, String)>>>,
    count: watch::Receiver<usize>,
    connections: watch::Receiver<usize>,
    serving: JoinHandle<()>,
}

impl Drop for Double {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Double {
    pub(super) async fn start(play: impl Fn(&str) -> Play + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let script: Script = Arc::new(Mutex::new(Box::new(play)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (counting, count) = watch::channel(0);
        let (connecting, connections) = watch::channel(0);
        let serving = {
            let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
            tokio::spawn(async move {
                // Dropped with this task, and all connections with it.
                let mut open = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    connecting.send_modify(|count| *count += 1);
                    open.spawn(serve(stream, Arc::clone(&script), Arc::clone(&seen), counting.clone()));
                }
            })
        };
        Self {
            url,
            script,
            seen,
            count,
            connections,
            serving,
        }
    }

    pub(super) fn now(&self, play: impl Fn(&str) -> Play + Send + 'static) {
        *self.script.lock().expect("no panic") = Box::new(play);
    }

    pub(super) fn requests(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("no panic");
        seen.iter()
            .map(|(head, _)| head.split(" HTTP").next().unwrap_or_default().to_owned())
            .collect()
    }

    pub(super) fn last(&self) -> (String, String) {
        self.seen.lock().expect("no panic").last().expect("a request").clone()
    }

    pub(super) fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    pub(super) async fn has_seen(&self, requests: usize) {
        let mut count = self.count.clone();
        count
            .wait_for(|&count| count >= requests)
            .await
            .expect("the double is alive");
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Script,
    seen: Arc<Mutex<Vec<(String, String)>>>,
    counting: watch::Sender<usize>,
) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let (head, body) = request(&mut stream, &mut read).await?;
        let path = head.split(' ').nth(1)?.to_owned();
        seen.lock().expect("no panic").push((head, body));
        counting.send_modify(|count| *count += 1);
        let play = (script.lock().expect("no panic"))(&path);
        let (status, body, close) = match play {
            Play::Answer(status, body) => (status, body, false),
            Play::Gated(gate, body) => {
                gate.acquire().await.ok()?.forget();
                (200, body, false)
            }
            Play::ThenClose(body) => (200, body, true),
            Play::Raw(bytes) => {
                stream.write_all(bytes.as_bytes()).await.ok()?;
                return std::future::pending().await;
            }
            Play::Endless => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).await.ok()?;
                loop {
                    stream
                        .write_all(format!("400\r\n{}\r\n", "x".repeat(1_024)).as_bytes())
                        .await
                        .ok()?;
                }
            }
            Play::Close => return None,
        };
        let head = format!("HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.ok()?;
        if close {
            return None;
        }
    }
}

async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        let text = String::from_utf8_lossy(read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |length| length.parse().expect("a length"));
            if body.len() >= length {
                read.drain(..head.len() + 4 + length);
                return Some((head.to_owned(), body[..length].to_owned()));
            }
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}
