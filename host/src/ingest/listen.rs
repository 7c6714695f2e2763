//! Binds the ingest listeners early, so that addresses are reserved and known before anything is served.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net as unix,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use tokio::net::{TcpListener, UnixListener};

/// A bound listener.
#[derive(Debug)]
pub enum Listener {
    /// A TCP listener; any client that reaches the address may speak HTTP with it.
    Tcp(TcpListener),
    /// A TCP listener for Kafka's own protocol.
    Kafka(TcpListener),
    /// A Unix socket. Its file is removed when this is dropped.
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket. Removed on drop, unless another file has taken its place: that one belongs to another
/// process.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode of the file.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            identity: identity(path),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Binds a TCP address for HTTP. Port 0 takes a free port.
pub async fn tcp(address: SocketAddr) -> anyhow::Result<(Listener, SocketAddr)> {
    let (listener, bound) = bind(address, "http").await?;
    Ok((Listener::Tcp(listener), bound))
}

/// Binds a TCP address for Kafka's own protocol. Port 0 takes a free port.
pub async fn kafka(address: SocketAddr) -> anyhow::Result<(Listener, SocketAddr)> {
    let (listener, bound) = bind(address, "kafka").await?;
    Ok((Listener::Kafka(listener), bound))
}

async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} ([listen] {key})"))?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Binds a Unix socket with mode 0660. Creates its folder (0700) if there is none. Replaces a socket that a dead
/// process left behind, but not one that a process still answers on.
pub fn unix(path: &Path) -> anyhow::Result<Listener> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {} ([listen] unix)", folder.display()))?;
    if is_open_to_all(folder) {
        tracing::warn!(
            folder = %folder.display(),
            "every user of the machine can write to the folder of the ingest socket, and so put a socket of their own in its \
             place; give it a folder of its own (chmod 700, or 750 with a shared group)"
        );
    }
    remove_stale(path)?;
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {} ([listen] unix)", path.display()))?;
    let file = SocketFile::of(path);
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    Ok(Listener::Unix(listener, file))
}

/// Whether any user of the machine can put something in the place of a file in this folder. A volume of a pod looks
/// like that, but only those who mount it reach it. With the sticky bit it is a folder for all nevertheless, such as
/// /tmp.
fn is_open_to_all(folder: &Path) -> bool {
    let Ok(found) = fs::metadata(folder) else {
        return false;
    };
    let is_mounted = fs::metadata(folder.join("..")).is_ok_and(|above| above.dev() != found.dev());
    let is_sticky = found.mode() & 0o1000 != 0;
    found.mode() & 0o002 != 0 && (is_sticky || !is_mounted)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_another_process_put_in_its_place_is_not_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run/ingest.sock");
        let first = unix(&path).expect("bound");
        fs::remove_file(&path).expect("removed by another");
        let second = unix(&path).expect("bound by another");
        drop(first);
        assert!(path.exists(), "it is the other's");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_is_open_to_all_by_its_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        for (mode, expected) in [
            (0o700, false),
            (0o750, false),
            (0o755, false),
            (0o770, false),
            (0o777, true),
            (0o1777, true),
        ] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).expect("a mode");
            assert_eq!(is_open_to_all(folder.path()), expected, "{mode:o}");
        }
    }
}
