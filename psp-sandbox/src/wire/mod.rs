//! How requests are read and errors are written.

mod error;
mod form;

pub use error::{ApiError, Attached};
pub use form::Form;
