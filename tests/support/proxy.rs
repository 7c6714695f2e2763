//! A proxy for a sidecar's socket that can cut connections and switch to another sidecar.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tempfile::TempDir;

/// Passes bytes on between its own Unix socket and a sidecar's.
pub(crate) struct Proxy {
    state: Arc<Mutex<State>>,
    folder: TempDir,
}

struct State {
    target: PathBuf,
    /// Both ends of every connection so far.
    open: Vec<UnixStream>,
}

impl Proxy {
    pub(crate) fn to(target: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("sock")).expect("bind");
        let state = Arc::new(Mutex::new(State {
            target: target.to_owned(),
            open: Vec::new(),
        }));
        let accepting = Arc::clone(&state);
        // The thread ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let _ = connect(&accepting, client);
            }
        });
        Self { state, folder }
    }

    /// The socket that clients connect to.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// Closes every connection, even with bytes on their way.
    pub(crate) fn cut(&self) {
        for stream in self.state.lock().unwrap().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Leads new connections to another sidecar.
    pub(crate) fn lead_to(&self, target: &Path) {
        self.state.lock().unwrap().target = target.to_owned();
        self.cut();
    }
}

fn connect(state: &Mutex<State>, client: UnixStream) -> std::io::Result<()> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    // If the sidecar is not there, the client finds its connection closed.
    let sidecar = UnixStream::connect(&state.target)?;
    pass(client.try_clone()?, sidecar.try_clone()?);
    pass(sidecar.try_clone()?, client.try_clone()?);
    state.open.extend([client, sidecar]);
    Ok(())
}

fn pass(mut from: UnixStream, mut to: UnixStream) {
    thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}
