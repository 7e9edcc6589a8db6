//! Payment service providers.
