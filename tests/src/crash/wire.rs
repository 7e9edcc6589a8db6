//! The way from the services to their Postgres, which can be cut in the middle: after a commit has arrived, and before its
//! acknowledgement has come back.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::Error;

/// The name of a server's socket in its folder.
const SOCKET: &str = ".s.PGSQL.5432";
/// For how long a cut waits for commits whose acknowledgement it can lose.
const CUT: Duration = Duration::from_millis(300);

/// What a cut did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CutOff {
    /// Connections that were cut.
    pub connections: usize,
    /// Of these, those whose commit arrived and was not acknowledged.
    pub commits: usize,
}

/// A socket that leads to a Postgres.
#[derive(Debug)]
pub struct Wire {
    folder: PathBuf,
    links: Arc<Mutex<Vec<Weak<Link>>>>,
    accepting: JoinHandle<()>,
}

/// A connection that goes through.
#[derive(Debug, Default)]
struct Link {
    cut: AtomicBool,
    /// Whether the last thing that was sent to the server is a commit.
    commits: AtomicBool,
    lost: AtomicUsize,
    end: Notify,
}

impl Wire {
    /// Leads from a socket in `folder`, which is made, to the server's in `server`.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn lay(folder: &Path, server: &Path) -> Result<Self, Error> {
        std::fs::create_dir(folder).map_err(Error::io("make the folder of a socket"))?;
        let listener = UnixListener::bind(folder.join(SOCKET)).map_err(Error::io("make a socket"))?;
        let links: Arc<Mutex<Vec<Weak<Link>>>> = Arc::default();
        let accepting = tokio::spawn(accept(listener, server.join(SOCKET), Arc::clone(&links)));
        Ok(Self { folder: folder.to_owned(), links, accepting })
    }

    /// The folder of its socket.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Cuts all connections that are open: where one commits soon, after the server has done so.
    pub async fn cut(&self) -> CutOff {
        let links: Vec<Arc<Link>> = {
            let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            links.drain(..).filter_map(|link| link.upgrade()).collect()
        };
        for link in &links {
            link.cut.store(true, Ordering::SeqCst);
        }
        tokio::time::sleep(CUT).await;
        for link in &links {
            link.end.notify_one();
        }
        let commits = links.iter().map(|link| link.lost.load(Ordering::SeqCst)).sum();
        CutOff { connections: links.len(), commits }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: UnixListener, server: PathBuf, links: Arc<Mutex<Vec<Weak<Link>>>>) {
    while let Ok((client, _)) = listener.accept().await {
        // a server that is away refuses, and so do we by hanging up
        let Ok(server) = UnixStream::connect(&server).await else { continue };
        let link = Arc::new(Link::default());
        let mut links = links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        tokio::spawn(carry(client, server, link));
    }
}

/// Carries both ways until one side hangs up or the connection is cut.
async fn carry(client: UnixStream, server: UnixStream, link: Arc<Link>) {
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = to_the_server(from_client, to_server, &link) => {}
        () = to_the_client(from_server, to_client, &link) => {}
        () = link.end.notified() => {}
    }
}

async fn to_the_server(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, link: &Link) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        link.commits.store(is_commit(&buffer[..length]), Ordering::SeqCst);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

async fn to_the_client(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, link: &Link) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if link.cut.load(Ordering::SeqCst) && link.commits.load(Ordering::SeqCst) {
            // it is committed, and nobody will hear of it
            link.lost.fetch_add(1, Ordering::SeqCst);
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Whether a message of the protocol is the simple query `COMMIT`.
fn is_commit(message: &[u8]) -> bool {
    message.first() == Some(&b'Q')
        && message.get(5..11).is_some_and(|text| text.eq_ignore_ascii_case(b"commit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_told_from_other_messages() {
        assert!(is_commit(b"Q\0\0\0\x0bCOMMIT\0"));
        for other in [&b"Q\0\0\0\x0aBEGIN\0"[..], b"P\0\0\0\x0bCOMMIT\0", b"Q", b""] {
            assert!(!is_commit(other));
        }
    }

    /// A server that answers everything, and notes what it was told.
    async fn answer(listener: UnixListener, heard: Arc<Mutex<Vec<Vec<u8>>>>) {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 100];
        while let Ok(length @ 1..) = client.read(&mut buffer).await {
            heard.lock().unwrap().push(buffer[..length].to_vec());
            client.write_all(b"done").await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_cut_loses_the_answer_to_a_commit_that_has_arrived_and_to_nothing_before() {
        const BEGIN: &[u8] = b"Q\0\0\0\x0aBEGIN\0";
        const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
        let folder = tempfile::tempdir().unwrap();
        let heard = Arc::default();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        tokio::spawn(answer(listener, Arc::clone(&heard)));
        let wire = Wire::lay(&folder.path().join("wire"), folder.path()).unwrap();
        let mut client = UnixStream::connect(wire.folder().join(SOCKET)).await.unwrap();
        let mut buffer = [0; 4];
        client.write_all(BEGIN).await.unwrap();
        client.read_exact(&mut buffer).await.unwrap();
        let commit = async {
            client.write_all(BEGIN).await.unwrap();
            client.read_exact(&mut buffer).await.unwrap();
            client.write_all(COMMIT).await.unwrap();
            client.read(&mut buffer).await.unwrap()
        };
        let (cut, read) = tokio::join!(wire.cut(), commit);
        assert_eq!((cut, read), (CutOff { connections: 1, commits: 1 }, 0));
        assert_eq!(*heard.lock().unwrap(), [BEGIN, BEGIN, COMMIT]);
    }
}
