-- What an account's PSP does about a request that comes twice. Chosen when the account is made and never changed: what is in
-- flight may be sent again only as it was begun.
alter table psp_account
    add column idempotency text not null default 'native',
    add constraint psp_account_idempotency_known check (idempotency in ('native', 'lookup', 'none'));
comment on column psp_account.idempotency is
    'native: it remembers our keys; lookup: it finds operations by our reference; none: neither';
