//! What is sent to Stripe.

use std::ops::RangeInclusive;

use reqwest::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use reqwest::{Client, Request, RequestBuilder, Url};
use secrecy::ExposeSecret;
use time::OffsetDateTime;

use super::amount::to_wire;
use crate::psp::{Account, Aim, AmountRefused, CaptureMethod, Errand, Expected, Method, PspReference};

/// The version of the API that this connector is written against.
const VERSION: HeaderValue = HeaderValue::from_static("2026-08-26.dahlia");
const VERSION_HEADER: HeaderName = HeaderName::from_static("stripe-version");
const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");

const INTENTS: &str = "payment_intents";
const REFUNDS: &str = "refunds";
const CHECKOUT: &str = "checkout";
const SESSIONS: &str = "sessions";
/// What the names of pages begin with.
const PAGE_PREFIX: &str = "cs_";
const PAYOUTS: &str = "payouts";

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

/// What does the errand. The same errand makes the same bytes, whenever and wherever it is made.
pub(super) fn of(client: &Client, account: &Account, errand: &Errand) -> Result<Request, Unsendable> {
    let expected = &errand.expected;
    match &expected.aim {
        Aim::Authorize { capture } => match &errand.method {
            Some(Method::Token { token, return_url }) => {
                authorize(client, account, errand, *capture, (token, return_url.as_deref()))
            }
            Some(Method::Page { return_url }) => open_page(client, account, errand, *capture, return_url),
            None => Err(Unsendable::Request),
        },
        Aim::Capture { of, last, .. } => capture(client, account, expected, of, *last),
        Aim::Void { of, .. } => cancel(client, account, of),
        Aim::Refund { of } => refund(client, account, expected, of),
        Aim::Payout { to, statement_descriptor, .. } => {
            payout(client, account, expected, to, statement_descriptor.as_deref())
        }
    }
}

/// Create and confirm in one request.
fn authorize(
    client: &Client,
    account: &Account,
    errand: &Errand,
    capture: CaptureMethod,
    (token, return_url): (&str, Option<&str>),
) -> Result<Request, Unsendable> {
    let Expected { operation_id, amount, .. } = &errand.expected;
    let operation_id = operation_id.to_string();
    let currency = amount.currency.code().to_ascii_lowercase();
    let amount = to_wire(*amount)?.to_string();
    let mut form = vec![
        ("amount", amount.as_str()),
        ("currency", &currency),
        ("payment_method", token),
        ("confirm", "true"),
        ("capture_method", capture.as_str()),
    ];
    match return_url {
        // whatever the account takes: a buyer who is sent away can come back
        Some(url) => form.extend([("automatic_payment_methods[enabled]", "true"), ("return_url", url)]),
        None => form.push(("payment_method_types[0]", "card")),
    }
    form.extend([
        ("metadata[payonce_operation]", operation_id.as_str()),
        ("metadata[order_id]", errand.order_id.as_str()),
    ]);
    if capture == CaptureMethod::Manual {
        // so that it may be captured in parts, where the card allows that
        form.push(("payment_method_options[card][request_multicapture]", "if_available"));
    }
    let url = address(account, INTENTS, &[])?;
    finish(client.post(url).header(KEY_HEADER, &operation_id).form(&form), account)
}

/// Open a page for the buyer. It is priced as one thing: what was ordered is the shop's to know.
fn open_page(
    client: &Client,
    account: &Account,
    errand: &Errand,
    capture: CaptureMethod,
    return_url: &str,
) -> Result<Request, Unsendable> {
    let Expected { operation_id, amount, .. } = &errand.expected;
    let operation_id = operation_id.to_string();
    let currency = amount.currency.code().to_ascii_lowercase();
    let amount = to_wire(*amount)?.to_string();
    let order = errand.order_id.as_str();
    let form = [
        ("mode", "payment"),
        ("line_items[0][quantity]", "1"),
        ("line_items[0][price_data][currency]", currency.as_str()),
        ("line_items[0][price_data][unit_amount]", &amount),
        ("line_items[0][price_data][product_data][name]", order),
        // what is charged is what was asked for, in no other currency
        ("adaptive_pricing[enabled]", "false"),
        ("success_url", return_url),
        ("cancel_url", return_url),
        ("client_reference_id", &operation_id),
        ("metadata[payonce_operation]", &operation_id),
        ("metadata[order_id]", order),
        ("payment_intent_data[capture_method]", capture.as_str()),
        ("payment_intent_data[metadata][payonce_operation]", &operation_id),
        ("payment_intent_data[metadata][order_id]", order),
    ];
    let url = address(account, CHECKOUT, &[SESSIONS])?;
    finish(client.post(url).header(KEY_HEADER, &operation_id).form(&form), account)
}

/// Whether it names a page.
pub(in crate::psp) fn is_page(reference: &PspReference) -> bool {
    reference.as_str().starts_with(PAGE_PREFIX)
}

/// Take what is held, or a part of it.
fn capture(
    client: &Client,
    account: &Account,
    expected: &Expected,
    of: &PspReference,
    last: bool,
) -> Result<Request, Unsendable> {
    let amount = to_wire(expected.amount)?.to_string();
    let mut form = vec![("amount_to_capture", amount.as_str())];
    if !last {
        // named only where it differs from what Stripe does anyway: without multicapture the name alone is refused
        form.push(("final_capture", "false"));
    }
    let url = address(account, INTENTS, &[of.as_str(), "capture"])?;
    finish(client.post(url).header(KEY_HEADER, expected.operation_id.to_string()).form(&form), account)
}

/// Give back.
fn refund(
    client: &Client,
    account: &Account,
    expected: &Expected,
    of: &PspReference,
) -> Result<Request, Unsendable> {
    let operation_id = expected.operation_id.to_string();
    let amount = to_wire(expected.amount)?.to_string();
    let form = [
        ("payment_intent", of.as_str()),
        ("amount", &amount),
        ("metadata[payonce_operation]", &operation_id),
    ];
    let url = address(account, REFUNDS, &[])?;
    finish(client.post(url).header(KEY_HEADER, &operation_id).form(&form), account)
}

/// Send to a seller. The description is what settlement files give back of it: they have no column for its metadata. A claim
/// that was lost and is made again sends the same bytes.
fn payout(
    client: &Client,
    account: &Account,
    expected: &Expected,
    to: &PspReference,
    statement_descriptor: Option<&str>,
) -> Result<Request, Unsendable> {
    let Expected { operation_id, amount, .. } = expected;
    let operation_id = operation_id.to_string();
    let currency = amount.currency.code().to_ascii_lowercase();
    let amount = to_wire(*amount)?.to_string();
    let mut form = vec![
        ("amount", amount.as_str()),
        ("currency", &currency),
        ("destination", to.as_str()),
        ("method", "standard"),
        ("description", &operation_id),
        ("metadata[payonce_operation]", &operation_id),
    ];
    form.extend(statement_descriptor.map(|text| ("statement_descriptor", text)));
    let url = address(account, PAYOUTS, &[])?;
    finish(client.post(url).header(KEY_HEADER, &operation_id).form(&form), account)
}

/// Cancel one object. Without an idempotency key: a cancelled object stays so, a second try says that it is, and a key
/// would only repeat a refusal that time has made untrue.
pub(super) fn cancel(
    client: &Client,
    account: &Account,
    reference: &PspReference,
) -> Result<Request, Unsendable> {
    let url = match is_page(reference) {
        true => address(account, CHECKOUT, &[SESSIONS, reference.as_str(), "expire"])?,
        false => address(account, INTENTS, &[reference.as_str(), "cancel"])?,
    };
    let request = client.post(url).form(&NO_PARAMETERS);
    // the client leaves it out, and some servers insist
    finish(request.header(CONTENT_LENGTH, HeaderValue::from_static("0")), account)
}

/// Show one object; of a page, what was paid on it.
pub(super) fn retrieve(
    client: &Client,
    account: &Account,
    reference: &PspReference,
) -> Result<Request, Unsendable> {
    if is_page(reference) {
        let mut url = address(account, CHECKOUT, &[SESSIONS, reference.as_str()])?;
        url.query_pairs_mut().append_pair("expand[]", "payment_intent");
        return finish(client.get(url), account);
    }
    finish(client.get(address(account, INTENTS, &[reference.as_str()])?), account)
}

/// Show one refund.
pub(super) fn retrieve_refund(
    client: &Client,
    account: &Account,
    reference: &PspReference,
) -> Result<Request, Unsendable> {
    finish(client.get(address(account, REFUNDS, &[reference.as_str()])?), account)
}

/// Show one payout.
pub(super) fn retrieve_payout(
    client: &Client,
    account: &Account,
    reference: &PspReference,
) -> Result<Request, Unsendable> {
    finish(client.get(address(account, PAYOUTS, &[reference.as_str()])?), account)
}

/// Show a page of the payouts that were made in a time, after the one that ended the page before. There is no search for
/// payouts.
pub(super) fn payouts(
    client: &Client,
    account: &Account,
    made: &RangeInclusive<OffsetDateTime>,
    after: Option<&PspReference>,
) -> Result<Request, Unsendable> {
    let mut url = address(account, PAYOUTS, &[])?;
    url.query_pairs_mut()
        .append_pair("created[gte]", &made.start().unix_timestamp().to_string())
        .append_pair("created[lte]", &made.end().unix_timestamp().to_string())
        .append_pair("limit", "100");
    if let Some(after) = after {
        url.query_pairs_mut().append_pair("starting_after", after.as_str());
    }
    finish(client.get(url), account)
}

/// Show the refunds of a payment: a page of as many as there may be.
pub(super) fn refunds_of(
    client: &Client,
    account: &Account,
    payment: &PspReference,
) -> Result<Request, Unsendable> {
    let mut url = address(account, REFUNDS, &[])?;
    url.query_pairs_mut().append_pair("payment_intent", payment.as_str()).append_pair("limit", "100");
    finish(client.get(url), account)
}

/// Find objects by our reference.
pub(super) fn search(
    client: &Client,
    account: &Account,
    operation_id: money::OperationId,
) -> Result<Request, Unsendable> {
    let mut url = address(account, INTENTS, &["search"])?;
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

/// `…/v1`, a collection, and the segments under it.
fn address(account: &Account, collection: &str, under: &[&str]) -> Result<Url, Unsendable> {
    let mut url = Url::parse(&account.base_url).map_err(|_| Unsendable::Address)?;
    let plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    if !plain {
        return Err(Unsendable::Address);
    }
    url.path_segments_mut()
        .map_err(|()| Unsendable::Address)?
        .pop_if_empty()
        .extend(["v1", collection])
        .extend(under);
    Ok(url)
}
