//! One keep-alive connection: sends requests and reads the answers, in order.

use std::{collections::VecDeque, sync::Mutex, time::Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    sync::Semaphore,
};

use super::{
    plan::{Plan, Socket},
    report::Observed,
};

/// Sends the requests in turn until the plan ends, and waits for all answers.
pub(super) async fn drive(
    socket: Box<dyn Socket>,
    requests: &[Bytes],
    batch: usize,
    plan: Plan,
) -> anyhow::Result<Observed> {
    let (reading, writing) = tokio::io::split(socket);
    let state = State {
        room: Semaphore::new(plan.in_flight.unwrap_or(1)),
        due: Mutex::default(),
        sent: Semaphore::new(0),
    };
    let (written, seen) = tokio::join!(write(writing, requests, plan, &state), read(reading, batch, &state));
    written?;
    seen
}

/// What the writing and the reading half of a connection share.
struct State {
    /// Permits for more requests under way.
    room: Semaphore,
    /// When each request under way was due.
    due: Mutex<VecDeque<Instant>>,
    /// One permit for each request under way; closed after the last request.
    sent: Semaphore,
}

async fn write(
    mut writing: impl AsyncWrite + Unpin,
    requests: &[Bytes],
    plan: Plan,
    state: &State,
) -> anyhow::Result<()> {
    let mut number = 0;
    loop {
        let planned = plan.due(number).await;
        // A request that has to wait here is late: its latency still counts from when it was due.
        state.room.acquire().await?.forget();
        let due = planned.unwrap_or_else(Instant::now);
        if due >= plan.end {
            break;
        }
        if let Ok(mut queue) = state.due.lock() {
            queue.push_back(due);
        }
        state.sent.add_permits(1);
        let sent = writing.write_all(&requests[number as usize % requests.len()]).await;
        sent.context("the sidecar closed the connection")?;
        number += 1;
    }
    // The reader takes the permits that are left, then finds the semaphore closed.
    state.sent.add_permits(1);
    Ok(())
}

async fn read(reading: impl AsyncRead + Unpin, batch: usize, state: &State) -> anyhow::Result<Observed> {
    let mut reading = BufReader::with_capacity(64 << 10, reading);
    let (mut seen, mut line, mut body) = (Observed::new()?, String::new(), Vec::new());
    loop {
        state.sent.acquire().await?.forget();
        let due = state.due.lock().ok().and_then(|mut queue| queue.pop_front());
        let Some(due) = due else {
            return Ok(seen);
        };
        let status = answer(&mut reading, &mut line, &mut body).await?;
        state.room.add_permits(1);
        match status {
            200 => {
                seen.latency(due.elapsed());
                seen.requests += 1;
                seen.records += batch as u64;
            }
            other => seen.other(&format!("{other} {}", shown(&body))),
        }
    }
}

/// Reads an answer and returns its status; the body is in `body`.
async fn answer(
    reading: &mut BufReader<impl AsyncRead + Unpin>,
    line: &mut String,
    body: &mut Vec<u8>,
) -> anyhow::Result<u16> {
    line.clear();
    reading.read_line(line).await?;
    if line.is_empty() {
        bail!("the sidecar closed the connection before it answered");
    }
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("not a status line: {line:?}"))?;
    let mut length = 0;
    loop {
        line.clear();
        reading.read_line(line).await?;
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    body.resize(length, 0);
    reading.read_exact(body).await?;
    Ok(status)
}

/// So much of an answer that two kinds of answers differ, and so little that two answers of one kind do not.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let code = text.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next());
    code.unwrap_or_default().to_owned()
}
