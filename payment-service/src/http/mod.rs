//! The HTTP edge.

pub mod card_number;
pub mod error;
pub mod request_id;
pub mod stored;
