//! What the benchmark's clients send: checkouts to payment-service, and the same charge to the PSP itself.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::load::Script;
use super::wire::Reply;

/// As many as the payments by hand are for.
pub const SELLERS: u32 = 1000;

/// A client that checks out, each time another order of another seller under another key.
#[derive(Clone)]
pub struct Checkout {
    head: String,
    orders: String,
    body: String,
    count: u64,
    rng: SmallRng,
}

impl Checkout {
    /// A client of the service at `address`; `name` is nobody else's.
    pub fn new(address: SocketAddr, api_key: &str, name: &str, seed: u64) -> Self {
        let head = format!(
            "POST /v1/payments HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {api_key}\r\n\
             Content-Type: application/json\r\n"
        );
        let (body, rng) = (String::with_capacity(512), SmallRng::seed_from_u64(seed));
        Self { head, orders: format!("order-{name}"), body, count: 0, rng }
    }
}

impl Script for Checkout {
    fn next(&mut self, request: &mut Vec<u8>) {
        self.count += 1;
        let amount: u32 = self.rng.random_range(500..=20_000);
        let seller = self.rng.random_range(1..=SELLERS);
        let key: u128 = self.rng.random();
        self.body.clear();
        // neither of the two can fail: they write to memory
        let _ = write!(
            self.body,
            r#"{{"order_id":"{}-{}","amount":{amount},"currency":"EUR","payment_method":"pm_card_visa","splits":[{{"seller":"seller-{seller}","amount":{amount},"platform_fee":{}}}],"metadata":{{"channel":"web"}}}}"#,
            self.orders,
            self.count,
            amount / 20,
        );
        let _ = write!(
            request,
            "{}Idempotency-Key: {key:032x}\r\nContent-Length: {}\r\n\r\n{}",
            self.head,
            self.body.len(),
            self.body
        );
    }

    fn is_right(&self, reply: Reply<'_>) -> bool {
        reply.status == 201 && contains(reply.body, br#""status":"captured""#)
    }
}

/// A client that charges at the PSP itself, as the connector does.
#[derive(Clone)]
pub struct BareCall {
    head: String,
    body: String,
    rng: SmallRng,
}

impl BareCall {
    /// A client of the PSP at `address`, in an account of its own.
    pub fn new(address: SocketAddr, seed: u64) -> Self {
        let head = format!(
            "POST /v1/payment_intents HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer sk_test_bare\r\n\
             Stripe-Version: 2026-08-26.dahlia\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        );
        Self { head, body: String::with_capacity(256), rng: SmallRng::seed_from_u64(seed) }
    }
}

impl Script for BareCall {
    fn next(&mut self, request: &mut Vec<u8>) {
        let (key, amount): (u128, u32) = (self.rng.random(), self.rng.random_range(500..=20_000));
        self.body.clear();
        // neither of the two can fail: they write to memory
        let _ = write!(
            self.body,
            "amount={amount}&currency=eur&payment_method=pm_card_visa&confirm=true&capture_method=automatic\
             &payment_method_types%5B0%5D=card&metadata%5Border_id%5D=order-{key:032x}"
        );
        let _ = write!(
            request,
            "{}Idempotency-Key: {key:032x}\r\nContent-Length: {}\r\n\r\n{}",
            self.head,
            self.body.len(),
            self.body
        );
    }

    fn is_right(&self, reply: Reply<'_>) -> bool {
        reply.status == 200 && contains(reply.body, b"succeeded")
    }
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    body.windows(wanted.len()).any(|window| window == wanted)
}
