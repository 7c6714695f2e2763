//! Binding the ingest listeners: early, so that addresses are reserved and known before anything is served.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _},
        net as unix,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use tokio::net::{TcpListener, UnixListener};

/// A bound listener.
#[derive(Debug)]
pub enum Listener {
    /// TCP, HTTP for whoever reaches the address.
    Tcp(TcpListener),
    /// A Unix socket; its file is removed when this is dropped.
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket, removed on drop.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Binds a TCP address; port 0 takes a free one.
pub async fn tcp(address: SocketAddr) -> anyhow::Result<(Listener, SocketAddr)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} ([listen] http)"))?;
    let bound = listener.local_addr()?;
    Ok((Listener::Tcp(listener), bound))
}

/// Binds a Unix socket: its folder is made (0700) when it is not there, the socket gets 0660. A socket that a dead process
/// left behind is replaced; one that somebody answers on is not.
pub fn unix(path: &Path) -> anyhow::Result<Listener> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot make the folder {} ([listen] unix)", folder.display()))?;
    }
    remove_stale(path)?;
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {} ([listen] unix)", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    Ok(Listener::Unix(listener, SocketFile(path.to_owned())))
}

fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot look at {shown} ([listen] unix)")),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            bail!("{shown} ([listen] unix) is there and is no socket; remove it, or choose another path")
        }
        Ok(_) => {}
    }
    match unix::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .with_context(|| format!("cannot remove the socket {shown} that a dead process left behind")),
        Err(error) => {
            Err(error).with_context(|| format!("cannot tell whether somebody serves {shown} ([listen] unix)"))
        }
        Ok(_) => bail!("another process serves {shown} ([listen] unix); stop it, or choose another path"),
    }
}
