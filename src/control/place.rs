//! Place: where the control socket lies, however long the path to it is.
//!
//! A Unix socket's address holds 107 bytes, and data directories are deeper than that in many a CI job. A longer path
//! is reached through the open directory instead: `/proc/self/fd/<n>/control.sock`.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

/// Name of the socket in the data directory.
pub const SOCKET: &str = "control.sock";

/// `sun_path` of Linux less its closing NUL.
const ADDRESS_BYTES_MAX: usize = 107;

/// The socket of one data directory.
pub(super) struct Place {
    dir: OwnedFd,
    data: PathBuf,
}

impl Place {
    pub(super) fn of(data: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { dir: rustix::fs::open(data, flags, Mode::empty())?, data: data.to_owned() })
    }

    /// An address of the socket that fits. Good while `self` lives.
    fn address(&self) -> PathBuf {
        let plain = self.data.join(SOCKET);
        if plain.as_os_str().as_bytes().len() <= ADDRESS_BYTES_MAX {
            return plain;
        }
        PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", self.dir.as_raw_fd()))
    }

    pub(super) fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.address())
    }

    /// Listens, in place of a socket that a dead node left.
    ///
    /// # Errors
    /// `AddrInUse` when a node listens there, or when something that is no socket bears the name.
    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        let address = self.address();
        match fs::symlink_metadata(&address) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
            Ok(there) if !there.file_type().is_socket() => {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "a file that is no socket has its name"));
            }
            Ok(_) => match self.connect() {
                Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another node listens there")),
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => self.remove()?,
                Err(e) => return Err(e),
            },
        }
        let listener = UnixListener::bind(&address)?;
        fs::set_permissions(&address, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.dir, SOCKET, AtFlags::empty())?)
    }
}
