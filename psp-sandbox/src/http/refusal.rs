//! Errors that are not about any one object.

use crate::accounts::NoAccount;
use crate::wire::ApiError;

pub fn unauthorized() -> ApiError {
    let message = "You did not provide a valid API key. Use `Authorization: Bearer sk_test_...`.";
    ApiError::new(401, "invalid_request_error", "", message)
}

pub fn no_account(why: &NoAccount) -> ApiError {
    match why {
        NoAccount::Revoked => {
            let message = "Expired API Key provided: it was revoked.";
            ApiError::new(401, "invalid_request_error", "api_key_expired", message)
        }
        NoAccount::Full => {
            let message = "This sandbox has as many accounts as it may have, and opens none for another API key: raise most_accounts by PATCH /_sandbox/config.";
            ApiError::new(401, "invalid_request_error", "", message)
        }
        NoAccount::Unwritten => unavailable(),
    }
}

pub fn too_large() -> ApiError {
    let message = "The request body could not be read or is too large.";
    ApiError::new(400, "invalid_request_error", "", message)
}

pub fn too_many() -> ApiError {
    let message = "Request rate limit exceeded.";
    ApiError::new(429, "invalid_request_error", "rate_limit", message)
}

pub fn lock_timeout() -> ApiError {
    let message = "This object cannot be accessed right now because another API request or Stripe process is currently accessing it.";
    ApiError::new(429, "invalid_request_error", "lock_timeout", message)
}

pub fn unavailable() -> ApiError {
    ApiError::new(503, "api_error", "", "The service is unavailable.")
}

pub fn key_in_use() -> ApiError {
    let message = "There is currently another in-progress request using this idempotency key.";
    ApiError::new(409, "idempotency_error", "idempotency_key_in_use", message)
}

pub fn key_reused() -> ApiError {
    let message = "Keys for idempotent requests can only be used with the same endpoint and the same parameters they were first used with. Try using another key.";
    ApiError::new(400, "idempotency_error", "", message)
}
