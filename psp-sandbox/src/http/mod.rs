//! HTTP: the PSP's API, the sandbox's own, the buyer's page, and webhooks going out.

mod answer;
mod api;
mod authentication;
mod checkout;
mod command;
mod control;
mod deliver;
mod effects;
mod execute;
mod expand;
mod operation;
mod page;
mod plan;
mod read;
mod refusal;
mod sabotage;
mod server;
mod settlement;

pub use control::{add_endpoint, add_fault, lift_faults, release_hung};
pub use deliver::{deliver_webhooks, webhook_client};
pub use operation::Operation;
pub use server::serve;
