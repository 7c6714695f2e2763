//! A port of a proxy that leads to another port.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;

/// Dropping it closes the port; connections stay.
pub(crate) struct Way {
    listener: TcpListener,
    /// The port that it leads to.
    target: Arc<AtomicU16>,
}

/// What passes the bytes of a connection on, from one socket to the other, in one direction.
pub(crate) trait Pass: Fn(Direction, &TcpStream, &TcpStream) -> io::Result<()> + Clone + Send + 'static {}
impl<P: Fn(Direction, &TcpStream, &TcpStream) -> io::Result<()> + Clone + Send + 'static> Pass for P {}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Requests,
    Answers,
}

impl Way {
    /// Opens a port. Each connection gets a pass of its own, which runs on a thread for each direction until it fails.
    pub(crate) fn open<P: Pass>(target: Arc<AtomicU16>, new_pass: impl Fn() -> P + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let accepting = listener.try_clone().expect("a listener");
        thread::spawn({
            let target = Arc::clone(&target);
            move || {
                for client in accepting.incoming().map_while(Result::ok) {
                    // If the broker is not there, the client finds its connection closed.
                    let _ = connect(client, target.load(Ordering::SeqCst), &new_pass());
                }
            }
        });
        Self { listener, target }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().expect("its address").port()
    }

    /// Sets the port that new connections are led to.
    pub(crate) fn lead(&self, port: u16) {
        self.target.store(port, Ordering::SeqCst);
    }

    /// Where it leads to, for another way to the same place.
    pub(crate) fn target(&self) -> Arc<AtomicU16> {
        Arc::clone(&self.target)
    }
}

impl Drop for Way {
    /// Wakes the accepting thread, so that it ends.
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
    }
}

fn connect(client: TcpStream, port: u16, pass: &impl Pass) -> io::Result<()> {
    let broker = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    for stream in [&client, &broker] {
        stream.set_nodelay(true)?;
    }
    for (direction, from, to) in [
        (Direction::Requests, &client, &broker),
        (Direction::Answers, &broker, &client),
    ] {
        let (from, to, pass) = (from.try_clone()?, to.try_clone()?, pass.clone());
        thread::spawn(move || {
            let _ = pass(direction, &from, &to);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}
