//! Merchants, their API keys and PSP accounts.
