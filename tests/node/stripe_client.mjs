// Drives a running PSP sandbox with the official Stripe library, as a merchant's own code would.
//
//   npm ci && SANDBOX_URL=http://127.0.0.1:PORT node stripe_client.mjs
//
// Prints a line for each thing that works and exits non-zero at the first that does not. It uses an
// account of its own, so that it may share a sandbox with others.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import Stripe from 'stripe';

const address = process.env.SANDBOX_URL;
if (!address) {
  console.error('SANDBOX_URL must name a running sandbox, as in http://127.0.0.1:12111');
  process.exit(2);
}
const { hostname, port } = new URL(address);
const secret = `sk_test_${randomUUID().replaceAll('-', '')}`;
const client = (key) =>
  new Stripe(key, { host: hostname, port, protocol: 'http', maxNetworkRetries: 0, telemetry: false });
const stripe = client(secret);
const signingSecret = 'whsec_stripe_client';

async function control(method, path, body) {
  const answer = await fetch(`${address}/_sandbox/${path}`, {
    method,
    body: body && JSON.stringify(body),
  });
  assert.equal(answer.status, 200, `${method} ${path}: ${await answer.clone().text()}`);
  return answer.json();
}

function payment(operation, method = 'pm_card_visa') {
  return {
    amount: 1099,
    currency: 'eur',
    payment_method: method,
    payment_method_types: ['card'],
    confirm: true,
    metadata: { payonce_operation: operation, order_id: `o & ü=${operation}` },
  };
}

/** Takes webhooks, keeping their raw bodies and signatures. */
async function receiver() {
  const hooks = [];
  const waiting = [];
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const hook = { body: Buffer.concat(parts), signature: request.headers['stripe-signature'] };
    response.end();
    const next = waiting.shift();
    if (next) next(hook);
    else hooks.push(hook);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    next: () => (hooks.length ? hooks.shift() : new Promise((resolve) => waiting.push(resolve))),
    close: () => server.close(),
  };
}

const checks = {
  async 'the account is the key’s own'() {
    const account = await stripe.accounts.retrieveCurrent();
    assert.match(account.id, /^acct_/);
    const other = await client('sk_test_of_someone_else').accounts.retrieveCurrent();
    assert.notEqual(other.id, account.id);
  },

  async 'create and confirm in one call'() {
    const operation = randomUUID();
    const intent = await stripe.paymentIntents.create(
      { ...payment(operation), expand: ['latest_charge.balance_transaction'] },
      { idempotencyKey: operation },
    );
    assert.equal(intent.status, 'succeeded');
    assert.equal(intent.amount_received, 1099);
    assert.equal(intent.metadata.order_id, `o & ü=${operation}`);
    assert.equal(intent.latest_charge.paid, true);
    const moved = intent.latest_charge.balance_transaction;
    assert.equal(moved.net, moved.amount - moved.fee);
    assert.match(intent.lastResponse.requestId, /^req_/);
    assert.equal(intent.lastResponse.apiVersion, intent.lastResponse.headers['stripe-version']);
  },

  async 'create, update, confirm, retrieve'() {
    const created = await stripe.paymentIntents.create({
      amount: 2000,
      currency: 'usd',
      payment_method_types: ['card'],
    });
    assert.equal(created.status, 'requires_payment_method');
    await stripe.paymentIntents.update(created.id, { metadata: { colour: 'blue' } });
    const confirmed = await stripe.paymentIntents.confirm(created.id, {
      payment_method: 'pm_card_mastercard',
    });
    assert.equal(confirmed.status, 'succeeded');
    const retrieved = await stripe.paymentIntents.retrieve(created.id, { expand: ['latest_charge'] });
    assert.equal(retrieved.metadata.colour, 'blue');
    assert.equal(retrieved.latest_charge.payment_method_details.card.brand, 'mastercard');
  },

  async 'reserve, capture, cancel'() {
    const held = await stripe.paymentIntents.create({
      ...payment(randomUUID()),
      capture_method: 'manual',
    });
    assert.equal(held.status, 'requires_capture');
    const captured = await stripe.paymentIntents.capture(held.id, { amount_to_capture: 1000 });
    assert.equal(captured.amount_received, 1000);
    const other = await stripe.paymentIntents.create({
      ...payment(randomUUID()),
      capture_method: 'manual',
    });
    const canceled = await stripe.paymentIntents.cancel(other.id, {
      cancellation_reason: 'requested_by_customer',
    });
    assert.equal(canceled.status, 'canceled');
  },

  async 'a decline is a StripeCardError with its code and PaymentIntent'() {
    for (const [method, code, declineCode] of [
      ['pm_card_visa_chargeDeclined', 'card_declined', 'generic_decline'],
      ['pm_card_visa_chargeDeclinedInsufficientFunds', 'card_declined', 'insufficient_funds'],
      ['pm_card_chargeDeclinedExpiredCard', 'expired_card', 'expired_card'],
    ]) {
      await assert.rejects(stripe.paymentIntents.create(payment(randomUUID(), method)), (error) => {
        assert.ok(error instanceof Stripe.errors.StripeCardError, error.stack);
        assert.equal(error.statusCode, 402);
        assert.equal(error.code, code);
        assert.equal(error.decline_code, declineCode);
        assert.equal(error.payment_intent.status, 'requires_payment_method');
        assert.equal(error.payment_intent.last_payment_error.decline_code, declineCode);
        assert.match(error.requestId, /^req_/);
        return true;
      });
    }
  },

  async 'authentication is asked for'() {
    const intent = await stripe.paymentIntents.create({
      ...payment(randomUUID(), 'pm_card_threeDSecure2Required'),
      return_url: 'http://127.0.0.1/back',
    });
    assert.equal(intent.status, 'requires_action');
    const page = await fetch(intent.next_action.redirect_to_url.url, {
      method: 'POST',
      body: new URLSearchParams({ outcome: 'complete' }),
      redirect: 'manual',
    });
    assert.equal(page.status, 303);
    const now = await stripe.paymentIntents.retrieve(intent.id);
    assert.equal(now.status, 'succeeded');
  },

  async 'the same key gives the same payment, and other parameters an error'() {
    const operation = randomUUID();
    const options = { idempotencyKey: operation };
    const first = await stripe.paymentIntents.create(payment(operation), options);
    const second = await stripe.paymentIntents.create(payment(operation), options);
    assert.equal(second.id, first.id);
    assert.equal(second.lastResponse.headers['idempotent-replayed'], 'true');
    assert.equal(second.lastResponse.idempotencyKey, operation);
    await assert.rejects(
      stripe.paymentIntents.create({ ...payment(operation), amount: 1100 }, options),
      (error) => {
        assert.ok(error instanceof Stripe.errors.StripeIdempotencyError, error.stack);
        assert.equal(error.statusCode, 400);
        return true;
      },
    );
  },

  async 'bad parameters are StripeInvalidRequestErrors'() {
    const refused = (parameters, code, param) =>
      assert.rejects(stripe.paymentIntents.create(parameters), (error) => {
        assert.ok(error instanceof Stripe.errors.StripeInvalidRequestError, error.stack);
        assert.equal(error.code, code);
        assert.equal(error.param, param);
        return true;
      });
    await refused({ currency: 'eur' }, 'parameter_missing', 'amount');
    await refused({ amount: 1, currency: 'eur' }, 'amount_too_small', 'amount');
    await refused({ ...payment('x'), colour: 'blue' }, 'parameter_unknown', 'colour');
    await assert.rejects(stripe.paymentIntents.retrieve('pi_none'), { code: 'resource_missing' });
    await assert.rejects(client('nonsense').paymentIntents.list(), (error) => {
      assert.ok(error instanceof Stripe.errors.StripeAuthenticationError, error.stack);
      return true;
    });
  },

  async 'refunds in part, and never beyond the charge'() {
    const intent = await stripe.paymentIntents.create(payment(randomUUID()));
    const refund = await stripe.refunds.create({
      payment_intent: intent.id,
      amount: 500,
      reason: 'requested_by_customer',
      metadata: { why: 'broken' },
    });
    assert.equal(refund.status, 'succeeded');
    await assert.rejects(stripe.refunds.create({ payment_intent: intent.id, amount: 600 }), {
      param: 'amount',
    });
    await stripe.refunds.create({ charge: intent.latest_charge });
    const charge = await stripe.charges.retrieve(intent.latest_charge);
    assert.equal(charge.refunded, true);
    const listed = await stripe.refunds.list({ payment_intent: intent.id });
    assert.deepEqual(listed.data.map((it) => it.amount), [599, 500]);
    assert.equal((await stripe.refunds.retrieve(refund.id)).metadata.why, 'broken');
  },

  async 'events are listed page by page'() {
    const made = [];
    for (let number = 0; number < 5; number += 1) {
      made.unshift((await stripe.paymentIntents.create(payment(randomUUID()))).id);
    }
    const seen = [];
    for await (const event of stripe.events.list({ type: 'payment_intent.succeeded', limit: 2 })) {
      seen.push(event.data.object.id);
      if (seen.length === made.length) break;
    }
    assert.deepEqual(seen, made);
    const all = await stripe.events.list({ limit: 3 }).autoPagingToArray({ limit: 1000 });
    assert.equal(new Set(all.map((event) => event.id)).size, all.length);
    const one = await stripe.events.retrieve(all[0].id);
    assert.deepEqual(one.data.object, all[0].data.object);
  },

  async 'search finds a payment by its metadata, in its own time'() {
    const operation = randomUUID();
    const intent = await stripe.paymentIntents.create(payment(operation));
    const query = `metadata['payonce_operation']:'${operation}'`;
    let found = await stripe.paymentIntents.search({ query });
    for (const deadline = Date.now() + 30_000; !found.data.length; ) {
      assert.ok(Date.now() < deadline, 'search never learned of the payment');
      found = await stripe.paymentIntents.search({ query });
    }
    assert.equal(found.data[0].id, intent.id);
  },

  async 'payouts gather balance transactions'() {
    const account = (await stripe.accounts.retrieveCurrent()).id;
    await stripe.paymentIntents.create(payment(randomUUID()));
    await control('POST', 'payouts', { account });
    const [payout] = (await stripe.payouts.list({ limit: 1 })).data;
    const items = await stripe.balanceTransactions
      .list({ payout: payout.id, limit: 100 })
      .autoPagingToArray({ limit: 1000 });
    const net = items.filter((it) => it.type !== 'payout').reduce((sum, it) => sum + it.net, 0);
    assert.equal(net, payout.amount);
    assert.equal((await stripe.payouts.retrieve(payout.id)).reconciliation_status, 'completed');
  },

  async 'a delivered webhook passes constructEvent, and a changed one does not'() {
    const hooks = await receiver();
    const account = (await stripe.accounts.retrieveCurrent()).id;
    const endpoint = await control('POST', 'webhook_endpoints', {
      url: hooks.url,
      secrets: ['whsec_an_older_one', signingSecret],
      enabled_events: ['payment_intent.succeeded'],
      account,
    });
    try {
      const intent = await stripe.paymentIntents.create(payment(randomUUID()));
      const { body, signature } = await hooks.next();
      const event = stripe.webhooks.constructEvent(body, signature, signingSecret);
      assert.equal(event.type, 'payment_intent.succeeded');
      assert.equal(event.data.object.id, intent.id);
      const changed = body.toString().replace('1099', '1098');
      assert.throws(
        () => stripe.webhooks.constructEvent(changed, signature, signingSecret),
        Stripe.errors.StripeSignatureVerificationError,
      );
    } finally {
      await control('DELETE', `webhook_endpoints/${endpoint.id}`);
      hooks.close();
    }
  },
};

for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok    ${name}`);
  } catch (error) {
    console.error(`FAIL  ${name}\n${error.stack ?? error}`);
    process.exit(1);
  }
}
