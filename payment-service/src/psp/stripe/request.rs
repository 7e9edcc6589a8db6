//! What is sent to Stripe.

use reqwest::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use reqwest::{Client, Request, RequestBuilder, Url};
use secrecy::ExposeSecret;

use super::amount::to_wire;
use crate::psp::{Account, AmountRefused, Authorize, PspReference};

/// The version of the API that this connector is written against.
const VERSION: HeaderValue = HeaderValue::from_static("2026-08-26.dahlia");
const VERSION_HEADER: HeaderName = HeaderName::from_static("stripe-version");
const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");

const NO_PARAMETERS: [(&str, &str); 0] = [];

/// Why a request cannot be made of the account's data or the call's.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsendable {
    #[error("the account's address is not an http or https address without a query")]
    Address,
    #[error("the account's key cannot be sent in a header")]
    Request,
    #[error(transparent)]
    Amount(#[from] AmountRefused),
}

/// Create and confirm in one request. The same call makes the same bytes, whenever and wherever it is made.
pub(super) fn create(
    client: &Client,
    account: &Account,
    call: &Authorize<'_>,
) -> Result<Request, Unsendable> {
    let operation_id = call.operation_id.to_string();
    let amount = to_wire(call.amount)?.to_string();
    let currency = call.amount.currency.code().to_ascii_lowercase();
    let form = [
        ("amount", amount.as_str()),
        ("currency", &currency),
        ("payment_method", call.payment_method),
        ("confirm", "true"),
        ("capture_method", call.capture.as_str()),
        ("payment_method_types[0]", "card"),
        ("metadata[payonce_operation]", &operation_id),
        ("metadata[order_id]", call.order_id.as_str()),
    ];
    let url = address(account, &[])?;
    finish(client.post(url).header(KEY_HEADER, &operation_id).form(&form), account)
}

/// Cancel one object. Without an idempotency key: a cancelled object stays so, a second try says that it is, and a key
/// would only repeat a refusal that time has made untrue.
pub(super) fn cancel(
    client: &Client,
    account: &Account,
    reference: &PspReference,
) -> Result<Request, Unsendable> {
    let request = client.post(address(account, &[reference.as_str(), "cancel"])?).form(&NO_PARAMETERS);
    // the client leaves it out, and some servers insist
    finish(request.header(CONTENT_LENGTH, HeaderValue::from_static("0")), account)
}

/// Show one object.
pub(super) fn retrieve(
    client: &Client,
    account: &Account,
    reference: &PspReference,
) -> Result<Request, Unsendable> {
    finish(client.get(address(account, &[reference.as_str()])?), account)
}

/// Find objects by our reference.
pub(super) fn search(
    client: &Client,
    account: &Account,
    operation_id: money::OperationId,
) -> Result<Request, Unsendable> {
    let mut url = address(account, &["search"])?;
    let query = format!("metadata['payonce_operation']:'{operation_id}'");
    url.query_pairs_mut().append_pair("query", &query).append_pair("limit", "10");
    finish(client.get(url), account)
}

fn finish(request: RequestBuilder, account: &Account) -> Result<Request, Unsendable> {
    request
        .bearer_auth(account.api_secret.expose_secret())
        .header(VERSION_HEADER, VERSION)
        .build()
        .map_err(|_| Unsendable::Request)
}

/// `…/v1/payment_intents` and the segments under it.
fn address(account: &Account, under: &[&str]) -> Result<Url, Unsendable> {
    let mut url = Url::parse(&account.base_url).map_err(|_| Unsendable::Address)?;
    let plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    if !plain {
        return Err(Unsendable::Address);
    }
    url.path_segments_mut()
        .map_err(|()| Unsendable::Address)?
        .pop_if_empty()
        .extend(["v1", "payment_intents"])
        .extend(under);
    Ok(url)
}
