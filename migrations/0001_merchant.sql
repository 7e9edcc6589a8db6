-- Merchants (tenants), their API keys and their accounts at payment service providers.
--
-- A merchant lives in one mode. A shop that tests and sells has two merchants; nothing can then leak from one
-- mode to the other, because nothing leaks from one tenant to another. `mode` is repeated in the children and
-- tied by a foreign key, so that a live account cannot be hung on a test merchant.

create table merchant (
    merchant_id uuid        not null,
    mode        text        not null,
    name        text        not null,
    created_at  timestamptz not null default now(),
    constraint merchant_pkey primary key (merchant_id),
    -- the target of the children's foreign keys
    constraint merchant_mode_key unique (merchant_id, mode),
    constraint merchant_mode_known check (mode in ('test', 'live')),
    constraint merchant_name_present check (char_length(name) between 1 and 200)
);

create table api_key (
    merchant_id uuid        not null,
    api_key_id  uuid        not null,
    mode        text        not null,
    -- what the key is for; at most two keys of a name are live at once (the rotation), held by the code under a row lock
    name        text        not null,
    scopes      text[]      not null,
    -- SHA-256 of the secret part; the secret itself has 192 random bits, so no slow hash is needed
    secret_hash bytea       not null,
    created_at  timestamptz not null default now(),
    expires_at  timestamptz,
    revoked_at  timestamptz,
    constraint api_key_pkey primary key (merchant_id, api_key_id),
    constraint api_key_merchant_fkey foreign key (merchant_id, mode) references merchant (merchant_id, mode),
    constraint api_key_name_present check (char_length(name) between 1 and 100),
    constraint api_key_scopes_known
        check (cardinality(scopes) > 0 and scopes <@ array['payments', 'finance_read', 'finance_write', 'webhooks']),
    constraint api_key_secret_hash_sha256 check (octet_length(secret_hash) = 32),
    constraint api_key_expires_after_creation check (expires_at > created_at)
);

create table psp_account (
    merchant_id     uuid        not null,
    psp_account_id  uuid        not null,
    mode            text        not null,
    psp             text        not null,
    name            text        not null,
    base_url        text        not null,
    -- sealed with the configuration's key; the associated data binds them to this row and column
    api_secret      bytea       not null,
    webhook_secrets bytea       not null,
    -- the day a captured payment may be missed in the settlement files: captured + this many days
    settlement_delay_days integer not null default 7,
    created_at      timestamptz not null default now(),
    disabled_at     timestamptz,
    constraint psp_account_pkey primary key (merchant_id, psp_account_id),
    constraint psp_account_merchant_fkey foreign key (merchant_id, mode) references merchant (merchant_id, mode),
    constraint psp_account_name_key unique (merchant_id, name),
    constraint psp_account_psp_known check (psp in ('stripe')),
    constraint psp_account_name_present check (char_length(name) between 1 and 100),
    -- a live account is reached over TLS; a test account may be a sandbox on this machine
    constraint psp_account_live_over_tls check (mode = 'test' or base_url like 'https://%'),
    constraint psp_account_base_url_http check (base_url ~ '^https?://[^/]+$'),
    -- the version byte and the least length of the sealed form: a secret in the clear has neither
    constraint psp_account_api_secret_sealed
        check (octet_length(api_secret) > 30 and get_byte(api_secret, 0) = 1),
    constraint psp_account_webhook_secrets_sealed
        check (octet_length(webhook_secrets) >= 30 and get_byte(webhook_secrets, 0) = 1),
    constraint psp_account_settlement_delay_sane check (settlement_delay_days between 0 and 365)
);
-- a webhook's path names the account alone: whose it is, is looked up here
create index psp_account_by_id on psp_account (psp_account_id);
