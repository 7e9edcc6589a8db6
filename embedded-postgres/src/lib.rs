//! A Postgres server of one's own, in a folder, for as long as its owner lives.
//!
//! [`EmbeddedPostgres::start`] finds the installed server programs, makes a database cluster in a folder on
//! first use, starts the server and returns when it answers. The server listens on no port: it is
//! reached over a unix socket in a folder that only its account may enter, which is why no password is asked.
//!
//! What holds at every moment:
//! - A folder has one owner: a second start gets [`Error::InUse`].
//! - The server does not outlive its owner: also when that is killed with SIGKILL, the kernel asks the server for
//!   a fast shutdown.
//! - A start copes with whatever the owner before left behind: a server that is still stopping, one that was
//!   orphaned, a stale pid file, a cluster half made.
//! - Run as root, the server runs as `postgres` or `nobody`, because Postgres refuses root.

mod account;
mod binaries;
mod connection;
mod error;
mod folder;
mod launch;
mod predecessor;
mod scratch;
mod server;
mod supervised;

pub use account::default_folder;
pub use connection::Connection;
pub use error::Error;
pub use scratch::ScratchFolder;
pub use server::{Durability, EmbeddedPostgres, Options, Session};
pub use supervised::{Supervised, dies_with_its_parent};
